// JSON lines on standard error (pino). A line per refused request at `info`, per request at `debug`,
// and none of them holds a token, a ticket, a payload or an address.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

const REFUSED = 400

export function loggerOptions(
  level: string,
  stream: { write(line: string): void } = process.stderr,
) {
  return {
    level,
    stream,
    base: null,
    serializers: { req: describeRequest, res: ({ statusCode }: FastifyReply) => ({ statusCode }) },
  }
}

export function logRequests(app: FastifyInstance): void {
  const isVerbose = app.log.level === 'debug' || app.log.level === 'trace'
  app.addHook('onResponse', async (request, reply) => {
    const level = reply.statusCode >= REFUSED ? 'info' : 'debug'
    if (level === 'debug' && !isVerbose) return
    const { method, peer, path } = describeRequest(request)
    request.log[level](
      {
        method,
        path,
        ...(peer !== undefined && { peer }),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 10) / 10,
      },
      'request',
    )
  })
}

export function describeRequest(request: FastifyRequest) {
  const { method, url, identity, is404 } = request
  return { method, path: is404 ? firstSegment(url) : redactQuery(url), peer: identity?.peer }
}

/** Of a path that is none of ours: broken clients escape the `?`, and then it holds their ticket. */
function firstSegment(url: string): string {
  const first = /^\/[a-z-]{0,20}(?![^/?])/.exec(url)?.[0] ?? '/'
  return first === url ? first : `${first}…`
}

/** A query may hold a ticket: only the parameters that say how to read are shown. */
export function redactQuery(url: string): string {
  const [path = '', query] = url.split('?', 2)
  if (query === undefined) return path
  const shown = query
    .split('&')
    .map((pair) =>
      /^(since|wait|limit|nudge)=[\d.]*$/.test(pair) ? pair : pair.replace(/=.*/, '=[redacted]'),
    )
    .filter((pair) => /^[a-z]{1,10}(=|$)/.test(pair))
  return `${path}?${shown.join('&')}`
}
