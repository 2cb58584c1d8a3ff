// The stream (protocol section 4): opens it and hands the socket to delivery/event-stream.
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { EventStream } from '../../delivery/event-stream.ts'
import type { HttpContext } from '../context.ts'
import { ResponseSink } from '../response-sink.ts'
import { nonceQuery, operation, ticketQuery } from './operation.ts'
import { readNonce, readQuery, readSince } from './parameters.ts'
import { endWhenGone, readExpiry } from './reads.ts'

/** Streams end spread out, so that their readers do not all come back at once. */
const AGE_SPREAD = 0.1

const STREAM_HEADERS = {
  // Without parameters: some boxes compare the whole string (networks, R20).
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
  'Content-Encoding': 'identity',
  'X-Content-Type-Options': 'nosniff',
}

export function eventRoutes(app: FastifyInstance, context: HttpContext): void {
  app.get(
    '/events',
    {
      config: { auth: 'read', stream: true },
      exposeHeadRoute: false,
      schema: operation({
        id: 'streamMessages',
        tag: 'stream',
        summary: 'Messages as server-sent events',
        description:
          'Optional: generated clients should poll. The data of each event without a name is one Message. Other events: hello, proof, heartbeat, token-expiring, bye.',
        headers: {
          'Last-Event-ID': Type.Optional(
            Type.String({ description: 'The id of the last event; wins over `since`.' }),
          ),
        },
        query: {
          since: Type.Optional(Type.Integer({ format: 'int64', description: 'A cursor.' })),
          nudge: Type.Optional(
            Type.String({
              description:
                '`1`: a comment behind each event, for boxes that hold the last piece back.',
            }),
          ),
          ...nonceQuery,
          ...ticketQuery,
        },
        answer: {
          description: 'The stream; it ends with the event bye.',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
          // biome-ignore lint/suspicious/noExplicitAny: a response object, not a TypeBox schema
        } as any,
        problems: ['invalid-request', 'ticket-unknown'],
      }),
    },
    (request, reply) => openStream(context, request, reply),
  )
}

async function openStream(context: HttpContext, request: FastifyRequest, reply: FastifyReply) {
  const { hub, sweep, http } = context
  const query = readQuery(request)
  const { peer } = request.identity
  const expiresAt = readExpiry(context, request)
  const since = readSince(lastEventId(request) ?? query['since'])
  const n = readNonce(query['n'])
  const ticket = query['ticket']
  const read = hub.open({ peer, kind: 'stream', n, expiresAt, ticket })
  endWhenGone(read, reply)
  const maxAgeMs = http.streamMaxAgeMs * (1 + AGE_SPREAD * (2 * context.random() - 1))
  const { firstOfTicket } = request
  const nudge = query['nudge'] === '1'
  const stream = new EventStream(context, {
    read,
    since,
    nudge,
    firstOfTicket,
    maxAgeMs,
    random: context.random(),
  })
  try {
    const first = await stream.readFirst()
    if (context.draining) {
      read.end('shutdown')
      if (request.raw.httpVersionMajor === 1) reply.header('Connection', 'close')
    }
    sendHead(reply)
    sweep.add(stream)
    await stream.run(new ResponseSink(reply.raw, context.clock), first)
  } catch (error) {
    if (!reply.sent) throw error
    request.log.error({ err: error }, 'stream failed')
    reply.raw.destroy()
  } finally {
    sweep.delete(stream)
    hub.close(read)
  }
}

/** What is no id of ours (another server's event id) counts as none. */
function lastEventId(request: FastifyRequest): string | undefined {
  const id = request.headers['last-event-id']
  return typeof id === 'string' && /^\d{1,16}$/.test(id) ? id : undefined
}

/** From here on the response is ours: hooks have run, their headers go along. */
function sendHead(reply: FastifyReply): void {
  reply.hijack()
  const headers = { ...reply.getHeaders(), ...STREAM_HEADERS } as Record<
    string,
    string | number | string[]
  >
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) reply.raw.setHeader(name, value)
  }
  reply.raw.statusCode = 200
}
