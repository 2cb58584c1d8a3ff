// What HTTP itself demands and Node or Fastify leave open: one Host header (RFC 9112, 3.2), no
// unknown Expect; and path, then verb, before anything of the body is looked at, with the verbs that
// the path takes in `Allow` (RFC 9110, 15.5.6).
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { ProblemError } from '../../core/errors.ts'

export function guardHttp(app: FastifyInstance): void {
  const paths = new Map<string, Path>()
  app.addHook('onRoute', ({ url, method, config }) => {
    const isPrivate = (config as { cors?: unknown } | undefined)?.cors === false
    const path = paths.get(url) ?? {
      pattern: toPattern(url),
      methods: new Set(['OPTIONS']),
      isPrivate,
    }
    for (const name of [method].flat()) path.methods.add(name)
    // The catch-all that answers OPTIONS is no path.
    if (!url.endsWith('*')) paths.set(url, path)
  })
  app.addHook('onRequest', async ({ raw }) => {
    if (raw.httpVersionMajor === 1 && !hasOneHost(raw)) {
      throw new ProblemError('invalid-request', { detail: 'Expected one Host header.' })
    }
  })
  const server = app.server as Server
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    Object.assign(request, { expectationFailed: true })
    server.emit('request', request, response)
  })
  app.addHook('onRequest', async ({ raw }) => {
    if ((raw as { expectationFailed?: boolean }).expectationFailed) {
      throw new ProblemError('invalid-request', {
        detail: 'This Expect is not known.',
        status: 417,
      })
    }
  })
  app.addHook('onRequest', async (request, reply) => {
    const isRoute = !request.is404 && !Object.values(request.params as object).includes('')
    if (isRoute || request.method === 'OPTIONS') return
    const found = pathsOf(request.url)
    if (found.length === 0) throw new ProblemError('not-found')
    // The plugin could not know the path: it has given CORS headers to all that has no route.
    if (found.some(({ isPrivate }) => isPrivate)) dropCorsHeaders(reply)
    const allow = [...new Set(found.flatMap(({ methods }) => [...methods]))].sort()
    throw new ProblemError('method-not-allowed', { allow })
  })

  function pathsOf(url: string): Path[] {
    const path = url.split('?', 1)[0] as string
    return [...paths.values()].filter(({ pattern }) => pattern.test(path))
  }
}

interface Path {
  pattern: RegExp
  methods: Set<string>
  /** For operators: without CORS headers. */
  isPrivate: boolean
}

function dropCorsHeaders(reply: FastifyReply): void {
  for (const name of Object.keys(reply.getHeaders())) {
    if (name.startsWith('access-control-')) reply.removeHeader(name)
  }
}

function hasOneHost({ rawHeaders, httpVersionMinor }: IncomingMessage): boolean {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1
  }
  return hosts === 1 || (hosts === 0 && httpVersionMinor === 0)
}

/** `/rooms/:room/join` as a regular expression. */
const toPattern = (url: string) => {
  const literal = url.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${literal.replace(/:[a-z]+/g, '[^/]+')}$`)
}
