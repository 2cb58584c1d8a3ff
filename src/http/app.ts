// The Fastify app: plugins, then routes, in reading order. Nothing listens here (server.ts does).
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import cors, { type FastifyCorsOptions } from '@fastify/cors'
import swaggerUi from '@fastify/swagger-ui'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import { ProblemError } from '../core/errors.ts'
import { LIMITS } from '../protocol/limits.ts'
import { POSTHORN_HEADER, PROTOCOL_VERSION } from '../protocol/names.ts'
import type { HttpContext } from './context.ts'
import { describeRoutes } from './openapi.ts'
import { authenticateRoutes } from './plugins/authenticate.ts'
import { readBodies } from './plugins/body.ts'
import { guardHttp } from './plugins/guard.ts'
import { loggerOptions, logRequests } from './plugins/log.ts'
import { answerClientError, MAX_HEAD_BYTES, sendProblem } from './plugins/problems.ts'
import { eventRoutes } from './routes/events.ts'
import { messageRoutes } from './routes/messages.ts'
import { pageRoutes } from './routes/pages.ts'
import { roomRoutes } from './routes/rooms.ts'
import { documentRoutes, healthRoutes } from './routes/server.ts'
import { sessionRoutes } from './routes/sessions.ts'

/** Above the 60 s of balancers, which else reuse a connection that we are closing (networks, R35). */
const KEEP_ALIVE_MS = 76_000
const HEAD_TIMEOUT_MS = 10_000
/** For a request to arrive whole: 256 KiB at 10 kB/s. Answers may take as long as they take. */
const REQUEST_TIMEOUT_MS = 30_000
const TIMEOUTS = {
  requestTimeout: REQUEST_TIMEOUT_MS,
  headersTimeout: HEAD_TIMEOUT_MS,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: KEEP_ALIVE_MS,
  // A connection on which nothing moves: longer than a poll waits or a stream is silent. Whoever
  // does not take an answer would else make the server hold it for ever.
  timeout: 60_000,
}
const PREFLIGHT_SECONDS = 7200
const EXPOSED_HEADERS = [
  POSTHORN_HEADER,
  'Allow',
  'Idempotent-Replayed',
  'Preference-Applied',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
]

/** Swagger UI writes style attributes; nothing comes from elsewhere. */
const DOCS_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

export async function buildApp(
  context: HttpContext,
  logStream?: { write(line: string): void },
): Promise<FastifyInstance> {
  const { basePath } = context.http
  const problems = problemSettings(context)
  const app = Fastify(fastifyOptions(context, logStream))
  // Node's HTTP/2 server takes none of them as an option, and has laxer ones of its own.
  Object.assign(app.server, TIMEOUTS)
  // Schemas describe; bodies are checked by `bodyReader`, answers are written by hand or as they are.
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => JSON.stringify)
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header(POSTHORN_HEADER, PROTOCOL_VERSION)
    if (context.gate) context.gate.then(() => done())
    else done()
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    if (context.draining && request.raw.httpVersionMajor === 1) reply.header('Connection', 'close')
    if (context.gate) context.gate.then(() => done(null, payload))
    else done(null, payload)
  })
  logRequests(app)
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, problems))
  // What has a route but is not there: files of the documentation.
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new ProblemError('not-found'), request, reply, problems),
  )
  await app.register(cors, corsOptions(context))
  guardHttp(app)
  readBodies(app)
  await describeRoutes(app, basePath, context.version)
  await app.register(
    async (prefixed) => {
      await prefixed.register(async (operators) => {
        authenticateRoutes(operators, context)
        healthRoutes(operators, context)
      })
      await prefixed.register(async (api) => {
        await api.register(async (open) => {
          authenticateRoutes(open, context)
          open.addHook('onRequest', noStore)
          sessionRoutes(open, context)
          messageRoutes(open, context)
          eventRoutes(open, context)
          roomRoutes(open, context)
          documentRoutes(open)
          pageRoutes(open, basePath)
        })
        await api.register(swaggerUi, {
          routePrefix: '/docs',
          indexPrefix: basePath,
          staticCSP: DOCS_POLICY,
        })
      })
    },
    { prefix: basePath },
  )
  await app.ready()
  return app
}

function fastifyOptions(
  context: HttpContext,
  stream?: { write(line: string): void },
): FastifyServerOptions {
  const { tls, trustProxy, basePath } = context.http
  const { onRefused } = context.metrics
  const options = {
    ...TIMEOUTS,
    maxHeaderSize: MAX_HEAD_BYTES,
    // Node would refuse a missing Host in its own words; guardHttp does it in ours.
    requireHostHeader: false,
  }
  const transport = tls
    ? {
        http2: true,
        https: { ...options, ...tls, allowHTTP1: true, handshakeTimeout: HEAD_TIMEOUT_MS },
        http2SessionTimeout: KEEP_ALIVE_MS,
      }
    : { http: options }
  return {
    ...transport,
    logger: loggerOptions(context.http.logLevel, stream),
    // Requests are logged by plugins/log, without what must not be in a log.
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: requestIds(),
    bodyLimit: LIMITS.requestBytesMax,
    connectionTimeout: TIMEOUTS.timeout,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    trustProxy: trustProxy.length > 0 ? trustProxy : false,
    routerOptions: { maxParamLength: 1024 },
    return503OnClosing: false,
    frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      reply.header(POSTHORN_HEADER, PROTOCOL_VERSION)
      sendProblem(error, request, reply, problemSettings(context))
    },
    clientErrorHandler: (error: Error, socket: Socket) =>
      answerClientError(basePath, onRefused, error, socket),
  } as unknown as FastifyServerOptions
}

function problemSettings({ http, metrics }: HttpContext) {
  const { basePath, trustProxy } = http
  return { basePath, trustProxy, onRefused: metrics.onRefused }
}

/** Every answer has CORS headers, refusals too, so that scripts can read them. */
function corsOptions({ http }: HttpContext): FastifyCorsOptions {
  return {
    origin: http.corsOrigins,
    methods: ['GET', 'HEAD', 'POST'],
    exposedHeaders: EXPOSED_HEADERS,
    maxAge: PREFLIGHT_SECONDS,
    // OPTIONS is answered and never needed: also without the headers of a preflight.
    strictPreflight: false,
  }
}

async function noStore(_request: unknown, reply: { header(name: string, value: string): unknown }) {
  reply.header('Cache-Control', 'no-store')
  reply.header('Referrer-Policy', 'no-referrer')
  reply.header('X-Content-Type-Options', 'nosniff')
}

/** Unique over restarts, short enough to read out. */
function requestIds(): () => string {
  const boot = randomBytes(4).toString('hex')
  let count = 0
  return () => `${boot}-${(++count).toString(36)}`
}
