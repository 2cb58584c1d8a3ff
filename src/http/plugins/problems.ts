// The one place where errors become HTTP answers (protocol section 8, RFC 9457). Rules throw
// ProblemError with a code; this file knows status, headers and body. No stack, no echo of input.
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { ProblemError } from '../../core/errors.ts'
import { LIMITS } from '../../protocol/limits.ts'
import {
  POSTHORN_HEADER,
  PROBLEMS,
  PROTOCOL_VERSION,
  type ProblemCode,
} from '../../protocol/names.ts'

export const PROBLEM_TYPE = 'application/problem+json'
export const PROBLEMS_PATH = '/problems'

/** What Fastify and Node refuse by themselves, in our words. */
const FASTIFY_CODES: Record<string, () => ProblemError> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new ProblemError('too-large', { maxBytes: LIMITS.requestBytesMax }),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new ProblemError('unsupported-media-type', {
      detail: 'Send application/json (curl: --json instead of -d) or text/plain.',
    }),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new ProblemError('invalid-request', {
      detail: 'The body is not as long as Content-Length says.',
    }),
  FST_ERR_BAD_URL: () => new ProblemError('invalid-request', { detail: 'The path is not valid.' }),
}

export interface ProblemBody {
  type: string
  title: string
  status: number
  detail: string
  code: ProblemCode
  requestId: string
  [member: string]: unknown
}

/** Any error as a ProblemError; undefined when it is a fault of the server. */
export function toProblemError(error: unknown): ProblemError | undefined {
  if (error instanceof ProblemError) return error
  const { code, statusCode } = error as Partial<FastifyError>
  const known = code && FASTIFY_CODES[code]
  if (known) return known()
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new ProblemError('invalid-request', { detail: 'The request is not valid HTTP.' })
  }
  return undefined
}

export function problemBody(error: ProblemError, requestId: string, base: string): ProblemBody {
  const { code, details } = error
  const { status, title } = PROBLEMS[code]
  const { detail = `${title}.`, errors, maxBytes, call } = details
  return {
    type: `${base}${PROBLEMS_PATH}#${code}`,
    title,
    status: details.status ?? status,
    detail,
    code,
    requestId,
    ...(errors && { errors }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(call !== undefined && { call }),
  }
}

function problemHeaders({ code, details }: ProblemError): Record<string, string> {
  const headers: Record<string, string> = {}
  const { retryAfterMs, policy, allow } = details
  const seconds = Math.max(1, Math.ceil((retryAfterMs ?? 0) / 1000))
  if (retryAfterMs !== undefined) headers['Retry-After'] = String(seconds)
  if (policy) {
    // draft-ietf-httpapi-ratelimit-headers: structured fields.
    headers['RateLimit'] = `"${policy.name}";r=0;t=${seconds}`
    headers['RateLimit-Policy'] =
      `"${policy.name}";q=${policy.quota};w=${Math.ceil(policy.windowMs / 1000)}`
  }
  if (allow) headers['Allow'] = allow.join(', ')
  // RFC 6750, 3: without credentials no error code.
  if (code === 'token-missing') headers['WWW-Authenticate'] = 'Bearer'
  if (code === 'token-invalid' || code === 'token-expired') {
    headers['WWW-Authenticate'] = 'Bearer error="invalid_token"'
  }
  return headers
}

/** Hosts as they may stand in a URL that is sent back: nothing else of the request is. */
const PLAIN_HOST = /^[A-Za-z0-9.-]{1,253}(:\d{1,5})?$|^\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?$/

/**
 * Where this server is: the base of the URLs in problems. What a trusted proxy says its name is, else
 * the address that the client has reached; never the Host header, which anybody can write.
 */
export function baseUrl(request: FastifyRequest, { basePath, trustProxy }: UrlSettings): string {
  const { localAddress = '', localPort } = request.raw.socket
  const address = localAddress.replace(/^::ffff:/, '')
  const own = `${address.includes(':') ? `[${address}]` : address}:${localPort}`
  const host = trustProxy.length > 0 ? request.host : own
  return PLAIN_HOST.test(host) ? `${request.protocol}://${host}${basePath}` : basePath
}

export interface UrlSettings {
  basePath: string
  trustProxy: string[]
}

/** Only `application/json` is asked for: some clients parse nothing else. */
function mediaType(request: FastifyRequest): string {
  const accept = (request.headers.accept ?? '').toLowerCase()
  return accept.includes('application/json') && !accept.includes(PROBLEM_TYPE)
    ? 'application/json; charset=utf-8'
    : PROBLEM_TYPE
}

/** Answers with the problem that the error stands for. */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  settings: UrlSettings & { onRefused: (code: string) => void },
): FastifyReply {
  const problem = toProblemError(error)
  settings.onRefused(problem?.code ?? 'internal')
  if (!problem) request.log.error({ err: error }, 'request failed')
  const body = problem
    ? problemBody(problem, request.id, baseUrl(request, settings))
    : internalBody(request.id)
  // Fastify would close the connection; but the body was read to its end, or ends with its stream.
  const isHttp2 = request.raw.httpVersionMajor === 2
  if (problem?.code === 'invalid-json' || isHttp2) reply.removeHeader('connection')
  return reply
    .code(body.status)
    .headers(problem ? problemHeaders(problem) : {})
    .header('Content-Type', mediaType(request))
    .header('Cache-Control', 'no-store')
    .send(JSON.stringify(body))
}

/** A fault of the server: what it was stands in its log only. */
const internalBody = (requestId: string) => ({
  type: 'about:blank',
  title: 'Internal error',
  status: 500,
  detail: 'The server failed; its log says more under this requestId.',
  code: 'internal',
  requestId,
})

/** Refusals of the HTTP parser, where there is no request yet. */
function toClientProblem(code: string | undefined): ProblemError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new ProblemError('too-large', {
      detail: 'The head is too large.',
      status: 431,
      maxBytes: MAX_HEAD_BYTES,
    })
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ProblemError('invalid-request', {
      detail: 'The request took too long to arrive.',
      status: 408,
    })
  }
  return new ProblemError('invalid-request', { detail: 'This is not valid HTTP.' })
}

export const MAX_HEAD_BYTES = 16 * 1024

/** Fastify's `clientErrorHandler`: writes the answer on the socket itself. */
export function answerClientError(
  basePath: string,
  onRefused: (code: string) => void,
  error: Error & { code?: string },
  socket: Socket,
) {
  // A reset has nobody to answer; behind a half-written answer nothing may be written.
  const { _httpMessage: current } = socket as Socket & { _httpMessage?: { headersSent: boolean } }
  if (error.code === 'ECONNRESET' || !socket.writable || current?.headersSent) {
    socket.destroy()
    return
  }
  const problem = toClientProblem(error.code)
  onRefused(problem.code)
  const body = problemBody(problem, 'none', basePath)
  const text = JSON.stringify(body)
  socket.end(
    `HTTP/1.1 ${body.status} ${STATUS_CODES[body.status]}\r\n${POSTHORN_HEADER}: ${PROTOCOL_VERSION}\r\n` +
      `Content-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n` +
      `Cache-Control: no-store\r\nConnection: close\r\n\r\n${text}`,
  )
}
