// Bodies: JSON whatever it is called (application/json, text/plain from browsers that avoid a
// preflight), at most 32 levels deep, valid UTF-8. The text is kept beside the value, because
// payloads are forwarded as they came.
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { Static, TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ProblemError } from '../../core/errors.ts'
import { isDeeperThan, memberTexts } from '../../protocol/json-text.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { compileCheck } from '../../protocol/schema.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The text of the JSON body; empty when there is none. */
    bodyText: string
  }
}

export function readBodies(app: FastifyInstance): void {
  app.decorateRequest('bodyText', '')
  app.removeAllContentTypeParsers()
  const types = ['application/json', 'text/plain']
  app.addContentTypeParser(
    types,
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => parseBody(request, body),
  )
  app.addHook('onRequest', async ({ raw }) => {
    if (raw.headers['content-encoding'] !== undefined) {
      throw new ProblemError('unsupported-media-type', {
        detail: 'Send the body without an encoding.',
      })
    }
    const { headers } = raw
    // An empty body is none, whatever it is called (generated clients name a type all the same) ...
    if (headers['content-length'] === '0') delete headers['content-type']
    // ... and where a box on the way took the type, it is JSON: nothing else is ever sent here.
    else if (hasBody(raw)) {
      headers['content-type'] ||= 'application/json'
    }
  })
}

/** In HTTP/2 neither a length nor chunks need tell of a body: the head says whether it is all. */
function hasBody(raw: IncomingMessage): boolean {
  const { headers, httpVersionMajor } = raw
  if (httpVersionMajor === 2) return !(raw as unknown as Http2ServerRequest).stream.endAfterHeaders
  return (headers['content-length'] ?? headers['transfer-encoding']) !== undefined
}

function parseBody(request: FastifyRequest, body: Buffer): unknown {
  if (body.length === 0) return undefined
  if (!isUtf8(body)) throw new ProblemError('invalid-json', { detail: 'The body is not UTF-8.' })
  const text = body.toString('utf8').replace(/^\uFEFF/, '')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new ProblemError('invalid-json')
  }
  if (isDeeperThan(text, LIMITS.jsonDepthMax)) {
    throw new ProblemError('invalid-json', {
      detail: `The body has more than ${LIMITS.jsonDepthMax} levels.`,
    })
  }
  request.bodyText = text
  return value
}

/** The members of the body; those that are null count as left out, a missing body as empty. */
export function bodyMembers(request: FastifyRequest): Record<string, unknown> {
  const { body } = request
  // PHP writes an empty object as `[]`.
  const isEmpty = body === undefined || body === null || (Array.isArray(body) && body.length === 0)
  if (isEmpty) return {}
  return withoutNulls(body, '')
}

/** @throws ProblemError invalid-request when the value is no object */
export function withoutNulls(value: unknown, pointer: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ProblemError('invalid-request', {
      errors: [{ pointer, detail: 'Expected an object' }],
    })
  }
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null))
}

/** The text of the payload in a JSON object, unless it is null. */
export function payloadTextIn(json: string): string | undefined {
  if (!json.includes('payload') && !json.includes('\\u')) return undefined
  const text = memberTexts(json).get('payload')
  return text === 'null' ? undefined : text
}

/** A reader of bodies of one schema. @returns what fits; throws ProblemError invalid-request, too-large */
export function bodyReader<S extends TSchema>(schema: S) {
  const check = compileCheck(schema)
  return (request: FastifyRequest): Static<S> => {
    const members = bodyMembers(request)
    const info = members['info']
    // PHP writes an empty object as `[]`.
    if (Array.isArray(info) && info.length === 0) members['info'] = {}
    const errors = check(members)
    if (errors.length > 0) throw new ProblemError('invalid-request', { errors })
    if (info !== undefined && Buffer.byteLength(JSON.stringify(info)) > LIMITS.infoBytesMax) {
      throw new ProblemError('too-large', {
        detail: 'info is too large.',
        maxBytes: LIMITS.infoBytesMax,
      })
    }
    return members as Static<S>
  }
}
