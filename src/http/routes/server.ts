// The server itself: health, metrics, the OpenAPI documents (protocol section 9). Without CORS headers
// where operators ask; with them where a page may want to read the document.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { ProblemError } from '../../core/errors.ts'
import { Health } from '../../protocol/session.ts'
import type { HttpContext } from '../context.ts'
import { toJson, toYaml } from '../openapi.ts'
import { operation } from './operation.ts'

export function healthRoutes(app: FastifyInstance, context: HttpContext): void {
  const config = { auth: 'none' as const, cors: false as const }
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    app.options(path, { config, schema: { hide: true } }, async (_request, reply) =>
      reply.code(204).header('Allow', 'GET, HEAD, OPTIONS').send(),
    )
  }
  app.get(
    '/healthz',
    {
      config,
      schema: operation({
        id: 'getHealth',
        tag: 'server',
        summary: 'Whether the process is alive',
        description:
          'For supervisors that restart what hangs. It says nothing about taking traffic.',
        secured: false,
        answer: Health,
        answerText: 'It is.',
        problems: [],
      }),
    },
    async () => ({ status: 'ok' }),
  )

  app.get(
    '/readyz',
    {
      config,
      schema: operation({
        id: 'getReadiness',
        tag: 'server',
        summary: 'Whether this node takes traffic',
        description: '503 while it stops: balancers send new requests elsewhere.',
        secured: false,
        answer: Health,
        answerText: 'It does.',
        problems: ['store-unavailable'],
      }),
    },
    async () => {
      if (!context.draining) return { status: 'ready' }
      throw new ProblemError('store-unavailable', {
        detail: 'This node is stopping.',
        retryAfterMs: 1000,
      })
    },
  )

  app.get('/metrics', { config, schema: { hide: true } }, async (request, reply) => {
    const { metricsToken } = context.http
    if (metricsToken === undefined) throw new ProblemError('not-found')
    const shown = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    if (shown === undefined) throw new ProblemError('token-missing')
    if (!isSame(shown, metricsToken)) throw new ProblemError('token-invalid')
    const { registry } = context.metrics
    return reply.type(registry.contentType).send(await registry.metrics())
  })
}

export function documentRoutes(app: FastifyInstance): void {
  const options = { config: { auth: 'none' as const }, schema: { hide: true } }
  const documents = new Map<string, string>()
  const serve = (path: string, type: string, make: () => string) =>
    app.get(path, options, async (_request, reply) => {
      const text = documents.get(path) ?? make()
      documents.set(path, text)
      return reply.type(type).send(text)
    })
  serve('/openapi.yaml', 'application/yaml; charset=utf-8', () => toYaml(app))
  serve('/openapi.json', 'application/json; charset=utf-8', () => toJson(app, '3.0.3'))
  serve('/openapi-3.1.json', 'application/json; charset=utf-8', () => toJson(app, '3.1.0'))
}

/** In a time that tells nothing (digests have one length). */
const isSame = (a: string, b: string) =>
  timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
