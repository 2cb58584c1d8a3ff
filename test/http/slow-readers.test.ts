// Readers whose sockets take nothing, beside healthy ones (protocol section 4; trust A5, T13): the
// healthy ones hear everything at once; a stalled one costs at most 256 KiB, is cut off after 10 s and
// goes on from its cursor without a loss. Real time: what is watched is the idle timer of a socket.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createParser } from 'eventsource-parser'
import t, { type Test } from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { LIMITS } from '../../src/protocol/limits.ts'
import { buildServer } from '../../src/server.ts'
import { FakeClock } from '../helpers/clock.ts'
import { type Json, mint, SECRET, StreamReader, until, watchLateness } from '../helpers/server.ts'

const KIB = 1024
const PAYLOAD_BYTES = 56 * KIB
const STALLED = 5
const HEALTHY = 5
/** The message that did not fit any more, and what Node itself adds. */
const SLACK_BYTES = 16 * KIB

const fixture = (name: string) =>
  readFileSync(join(import.meta.dirname, '../fixtures', name), 'utf8')

/** A server of this process whose sockets can be looked at, by the port of the client. */
async function listen(t: Test, overrides: object = {}, clock: Clock = systemClock) {
  const config = {
    ...readConfig([], {}),
    logLevel: 'silent' as const,
    rateLimit: 0,
    streamMaxAgeMs: 600_000,
    secret: SECRET,
    ...overrides,
  }
  const { app, context } = await buildServer(config, { clock })
  const sockets = new Map<number, Socket>()
  app.server.on('connection', (socket: Socket) => sockets.set(socket.remotePort as number, socket))
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    context.hub.endAll('shutdown')
    for (const socket of sockets.values()) socket.destroy()
    await app.close()
  })
  const post = async (path: string, token: string, body: object): Promise<Json> => {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(`${origin}${path}`, init)
    const answer = (await response.json()) as Json
    if (!response.ok) throw new Error(`${path}: ${answer.code}`)
    return answer
  }
  const get = async (path: string, token: string): Promise<Json> => {
    const headers = { Authorization: `Bearer ${token}` }
    return (await fetch(`${origin}${path}`, { headers })).json()
  }
  return { app, context, origin, port: Number(new URL(origin).port), sockets, post, get }
}

type Server = Awaited<ReturnType<typeof listen>>

const tokenOf = (sub: string, now = Date.now()) =>
  mint({ sub, posthorn: { direct: ['*'] } }, { now })
const text = 'x'.repeat(PAYLOAD_BYTES)

const send = async (server: Server, from: string, to: string, payload: object): Promise<number> => {
  const { deliveries } = await server.post('/messages', from, { to, type: 'x', payload, ttl: 600 })
  return deliveries[0].id
}

/** A client that opens a stream and then stops reading from its socket. */
class StalledReader {
  readonly socket: Socket
  readonly peer: string
  readonly token: string
  readonly sent: number[] = []
  readonly #parts: Buffer[] = []
  #isClosed = false
  stalledAt = 0

  constructor(server: Server, peer: string) {
    this.peer = peer
    this.token = tokenOf(peer)
    this.socket = connect(server.port, '127.0.0.1')
    this.socket.on('data', (part) => this.#parts.push(part))
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.#isClosed = true
    })
    const head = `GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${this.token}\r\n\r\n`
    this.socket.write(head)
  }

  /** Opens, stops reading, and is sent to until its queue on the server is full. */
  async stall(server: Server, sender: string): Promise<Socket> {
    await until(() => this.#text().includes('event: proof'), 'the proof')
    this.socket.pause()
    const theirs = server.sockets.get(this.socket.localPort as number) as Socket
    while (theirs.writableLength < LIMITS.streamQueueBytesMax - 2 * PAYLOAD_BYTES) {
      await this.#send(server, sender)
      // Another reader of this peer is up to date, so that its mailbox is never full.
      await server.get(`/messages?wait=0&since=${this.sent.at(-1)}`, this.token)
    }
    this.stalledAt = performance.now()
    return theirs
  }

  async #send(server: Server, sender: string): Promise<void> {
    this.sent.push(await send(server, sender, this.peer, { n: this.sent.length, text }))
  }

  async sendMore(server: Server, sender: string, count: number): Promise<void> {
    for (let n = 0; n < count; n++) await this.#send(server, sender)
  }

  /** Reads what had arrived before it was cut off. @returns the ids of whole events */
  async readRest(): Promise<number[]> {
    this.socket.resume()
    await until(() => this.#isClosed, 'the end of the socket')
    const ids: number[] = []
    const parser = createParser({
      onEvent: ({ event, id }) => event === undefined && ids.push(Number(id)),
    })
    parser.feed(unchunk(this.#text()))
    return ids
  }

  #text(): string {
    return Buffer.concat(this.#parts).toString()
  }
}

/** The body of an answer in chunks; of the last chunk as much as there is. */
function unchunk(answer: string): string {
  let rest = answer.slice(answer.indexOf('\r\n\r\n') + 4)
  let body = ''
  while (rest !== '') {
    const end = rest.indexOf('\r\n')
    const length = Number.parseInt(rest.slice(0, end), 16)
    if (end === -1 || !(length > 0)) break
    body += rest.slice(end + 2, end + 2 + length)
    rest = rest.slice(end + 4 + length)
  }
  return body
}

t.test('stalled readers beside healthy ones', async (t) => {
  const server = await listen(t)
  const [alice, carol] = [tokenOf('alice'), tokenOf('carol')]
  const healthy: StreamReader[] = []
  for (let n = 0; n < HEALTHY; n++) {
    healthy.push(await StreamReader.open(`${server.origin}/events`, tokenOf(`healthy-${n}`), {}))
  }
  const stalled: StalledReader[] = []
  for (let n = 0; n < STALLED; n++) stalled.push(new StalledReader(server, `stalled-${n}`))
  const sockets = await Promise.all(stalled.map((reader) => reader.stall(server, alice)))
  // What comes now is for after their return: it stays in the mailbox.
  for (const reader of stalled) await reader.sendMore(server, carol, 4)
  const before = process.memoryUsage().rss
  const cutAt = new Map<Socket, number>()
  for (const socket of sockets) socket.once('close', () => cutAt.set(socket, performance.now()))

  // One of them is ended for another reason: its bye must not wait for ever for being read.
  const ended = stalled[0] as StalledReader
  const polls = Array.from({ length: LIMITS.readsPerMailboxMax }, () =>
    server.get(`/messages?wait=1&since=${ended.sent.at(-1)}`, ended.token),
  )

  const latenessMs = watchLateness(t)
  const queued: number[] = []
  const latencies: number[] = []
  while (cutAt.size < STALLED && performance.now() - (stalled.at(-1)?.stalledAt ?? 0) < 20_000) {
    const sentAt = performance.now()
    await Promise.all(
      healthy.map(async (reader, n) => {
        const id = await send(server, alice, `healthy-${n}`, { text: 'x' })
        await until(() => reader.of('message').some(({ data }) => data.id === id), `message ${id}`)
        await server.get(`/messages?wait=0&since=${id}`, tokenOf(`healthy-${n}`))
      }),
    )
    latencies.push(performance.now() - sentAt)
    queued.push(...sockets.map((socket) => socket.writableLength))
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  await Promise.all(polls)

  t.ok(
    Math.max(...latencies) < 2000,
    `healthy ones wait ${Math.round(Math.max(...latencies))} ms at most`,
  )
  t.equal(new Set(healthy.map((reader) => reader.of('message').length)).size, 1, 'and miss nothing')
  t.ok(
    Math.max(...queued) <= LIMITS.streamQueueBytesMax + SLACK_BYTES,
    `a stalled one has ${Math.round(Math.max(...queued) / KIB)} KiB queued at most`,
  )
  t.ok(Math.min(...queued.slice(0, STALLED)) > 0, 'they were stalled indeed')
  const grown = process.memoryUsage().rss - before
  t.ok(grown < 100 * KIB * KIB, `memory grew by ${Math.round(grown / KIB / KIB)} MiB`)
  for (const [n, reader] of stalled.entries()) {
    const afterMs = (cutAt.get(sockets[n] as Socket) ?? Number.NaN) - reader.stalledAt
    t.ok(
      afterMs > 8500 && afterMs < 12_500 + 2 * latenessMs(),
      `${reader.peer} is cut off after ${Math.round(afterMs)} ms`,
    )
  }
  t.equal([...server.context.hub.all()].length, HEALTHY, 'and leaves no read behind')

  for (const reader of stalled) {
    const read = await reader.readRest()
    t.same(read, reader.sent.slice(0, read.length), `${reader.peer} had read in order`)
    t.ok(read.length < reader.sent.length, 'but not all')
    const headers = { 'Last-Event-ID': String(read.at(-1)) }
    const resumed = await StreamReader.open(`${server.origin}/events`, reader.token, headers)
    t.equal((await resumed.next('hello')).data.reset, false, 'it resumes')
    await resumed.next('heartbeat')
    const rest = resumed.of('message').map(({ data }) => data.id)
    t.same([...read, ...rest], reader.sent, 'and nothing is missing, nothing doubled')
    resumed.close()
  }
  for (const reader of healthy) reader.close()
})

t.test('over HTTP/2 the stream is cut off, not its connection', async (t) => {
  const cert = fixture('tls-cert.pem')
  // Beside streams that move only whole writes can be watched, with the clock of the server.
  const clock = new FakeClock()
  const server = await listen(t, { tls: { cert, key: fixture('tls-key.pem') } }, clock)
  const session = connectHttp2(server.origin, { ca: cert })
  t.teardown(() => session.destroy())
  const ask = async (path: string, token: string, body?: object): Promise<Json> => {
    const stream = session.request({
      ':method': body ? 'POST' : 'GET',
      ':path': path,
      authorization: `Bearer ${token}`,
      ...(body && { 'content-type': 'application/json' }),
    })
    stream.end(body && JSON.stringify(body))
    let text = ''
    stream.setEncoding('utf8')
    for await (const chunk of stream) text += chunk
    return text === '' ? undefined : JSON.parse(text)
  }
  const open = async (token: string): Promise<ClientHttp2Stream> => {
    const stream = session.request({ ':path': '/events', authorization: `Bearer ${token}` })
    stream.on('error', () => {})
    await once(stream, 'response')
    return stream
  }
  const [alice, bob, carol, dave] = ['alice', 'bob', 'carol', 'dave'].map((sub) =>
    tokenOf(sub, clock.now()),
  ) as [string, string, string, string]
  const signal = (to: string, payload: object) =>
    ask('/messages', alice, { to, type: 'x', payload, ttl: 600 })
  const healthy = await open(carol)
  let heard = ''
  healthy.on('data', (chunk) => {
    heard += chunk
  })
  const stalled = [await open(bob), await open(dave)]
  for (const stream of stalled) stream.pause()
  for (let n = 0; n < 4; n++) for (const to of ['bob', 'dave']) await signal(to, { text })
  // One of them is ended meanwhile: its bye must not wait for ever for being read.
  await ask('/session/end', dave, {})
  for (let n = 0; n < 29; n++) {
    await clock.advance(1000)
    await signal('carol', { n })
    await until(() => heard.includes(`"payload":{"n":${n}}`), 'the healthy stream')
    const { cursor } = await ask('/messages?wait=0', carol)
    await ask(`/messages?wait=0&since=${cursor}`, carol)
  }
  const peers = () => [...server.context.hub.all()].map(({ peer }) => peer).sort()
  t.same(peers(), ['bob', 'carol'], 'it has 30 s')
  await clock.advance(1500)
  t.same(peers(), ['carol'])
  let late = ''
  for (const stream of stalled) {
    stream.on('data', (chunk) => {
      late += chunk
    })
    stream.resume()
  }
  await until(() => stalled.every((stream) => stream.closed), 'both streams to be cut off')
  t.notMatch(late, /event: bye/, 'with what they had not taken')
  t.equal(session.closed, false)
  t.equal(healthy.closed, false)
  const { messages } = await ask('/messages?wait=0', bob)
  t.equal(messages.length, 4, 'what it did not take is kept')
})
