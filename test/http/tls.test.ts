// HTTPS (protocol rule 1, command line --tls-cert): HTTP/2 and HTTP/1.1 on one port, with the same
// answers; streams over both; what stopping and refusing look like there. The certificate is a fixture.
import { readFileSync } from 'node:fs'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { createParser } from 'eventsource-parser'
import t, { type Test } from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { buildServer } from '../../src/server.ts'
import {
  type Json,
  readRaw,
  type ServerOptions,
  type StreamEvent,
  serve,
  type TestServer,
  until,
} from '../helpers/server.ts'

const fixture = (name: string) =>
  readFileSync(join(import.meta.dirname, '../fixtures', name), 'utf8')
const tls = { cert: fixture('tls-cert.pem'), key: fixture('tls-key.pem') }

const warnings: Error[] = []
process.on('warning', (warning) => warnings.push(warning))

const secure = (t: Test, overrides: object = {}, options: ServerOptions = {}) =>
  serve(t, { tls, ...overrides }, options)

function http2(t: Test, s: TestServer): ClientHttp2Session {
  const session = connectHttp2(s.origin, { ca: tls.cert })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  return session
}

interface Http2Answer {
  status: number
  headers: Record<string, unknown>
  text: string
  body: Json
}

function ask(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body?: string,
): Promise<Http2Answer> {
  const stream = session.request(headers, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  return new Promise((resolve, reject) => {
    let answer: Record<string, unknown> = {}
    let text = ''
    stream.setEncoding('utf8')
    stream.on('response', (received) => {
      answer = received
    })
    stream.on('data', (chunk: string) => {
      text += chunk
    })
    stream.on('error', reject)
    stream.on('end', () => {
      const isJson = String(answer['content-type']).includes('json') && text !== ''
      const parsed = isJson ? JSON.parse(text) : undefined
      resolve({ status: Number(answer[':status']), headers: answer, text, body: parsed })
    })
  })
}

const post = (session: ClientHttp2Session, path: string, body: object, token?: string) =>
  ask(
    session,
    {
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    JSON.stringify(body),
  )

interface Http2Stream {
  stream: ClientHttp2Stream
  events: StreamEvent[]
  headers: Record<string, unknown>
  isOver: () => boolean
  next: (event: string) => Promise<StreamEvent>
}

async function events(session: ClientHttp2Session, path: string): Promise<Http2Stream> {
  const stream = session.request({ ':path': path })
  const seen: StreamEvent[] = []
  let headers: Record<string, unknown> = {}
  let isOver = false
  const parser = createParser({
    onEvent: ({ event = 'message', id, data }) =>
      seen.push({ event, id, data: JSON.parse(data) as Json }),
  })
  stream.setEncoding('utf8')
  stream.on('response', (received) => {
    headers = received
  })
  stream.on('data', (chunk: string) => parser.feed(chunk))
  stream.on('error', () => {})
  stream.on('close', () => {
    isOver = true
  })
  await until(() => headers[':status'] !== undefined, 'the head of the stream')
  const next = async (name: string) => {
    await until(() => seen.some(({ event }) => event === name), name)
    return seen.find(({ event }) => event === name) as StreamEvent
  }
  return { stream, events: seen, headers, isOver: () => isOver, next }
}

const overTls = (s: TestServer, protocol: string): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connectTls({
      port: s.port,
      host: '127.0.0.1',
      ca: tls.cert,
      ALPNProtocols: [protocol],
    })
    socket.once('secureConnect', () => resolve(socket))
    socket.once('error', reject)
  })

async function raw(s: TestServer, bytes: string) {
  const socket = await overTls(s, 'http/1.1')
  socket.write(bytes)
  return readRaw(socket, 100)
}

t.test('one port speaks both', async (t) => {
  const s = await secure(t)
  t.match(s.origin, /^https:\/\/127\.0\.0\.1:\d+$/)
  for (const protocol of ['h2', 'http/1.1']) {
    const socket = await overTls(s, protocol)
    t.equal(socket.alpnProtocol, protocol)
    t.match(socket.getProtocol(), /^TLSv1\.[23]$/)
    socket.destroy()
  }
})

t.test('HTTP/2 gets the same answers', async (t) => {
  const s = await secure(t)
  const session = http2(t, s)
  const made = await post(session, '/sessions', { peer: 'alice' })
  t.equal(made.status, 201)
  const { token } = made.body
  const bearer = { authorization: `Bearer ${token}` }
  const guest = (await post(session, '/sessions', { peer: 'bob' })).body
  for (const who of [token, guest.token]) {
    t.equal((await post(session, '/rooms/r/join', { create: true }, who)).status, 200)
  }
  const sent = await post(session, '/messages', { to: 'bob', type: 'x', payload: { a: 1 } }, token)
  t.equal(sent.status, 201)
  const page = await ask(session, { ':path': `/messages?wait=0&ticket=${guest.ticket}` })
  t.match(page.body.messages.at(-1), { type: 'x', payload: { a: 1 } })
  t.equal(page.headers['content-length'], String(Buffer.byteLength(page.text)))
  t.equal(page.headers['posthorn'], '1')
  for (const name of ['connection', 'keep-alive', 'transfer-encoding']) {
    t.equal(page.headers[name], undefined, `without ${name} (RFC 9113, 8.2.2)`)
  }
  const missing = await ask(session, { ':path': '/nowhere', ...bearer })
  t.equal(missing.status, 404)
  t.equal(missing.body.type, `${s.origin}/problems#not-found`)
  t.equal((await ask(session, { ':path': '/messages', ':method': 'PUT' }, '{')).status, 405)
  t.equal((await post(session, '/messages', { a: 'x'.repeat(300_000) }, token)).status, 413)
  t.equal((await ask(session, { ':path': '/session', ':method': 'HEAD', ...bearer })).status, 200)
  t.equal((await ask(session, { ':path': '/messages', ':method': 'OPTIONS' })).status, 204)
})

t.test('a body over HTTP/2 needs no length and no type', async (t) => {
  const s = await secure(t)
  const session = http2(t, s)
  const { token } = (await post(session, '/sessions', {})).body
  const path = { ':method': 'POST', ':path': '/session/heartbeat' }
  const body = JSON.stringify({ token })
  const plain = { ...path, 'content-type': 'text/plain' }
  t.equal((await ask(session, plain, body)).status, 200, 'without a length')
  t.equal((await ask(session, { ...path, 'content-length': `${body.length}` }, body)).status, 200)
  t.equal((await ask(session, path, body)).status, 200, 'without either')
  const bearer = { authorization: `Bearer ${token}` }
  t.equal((await ask(session, { ...path, ...bearer })).status, 200, 'no body at all')
  t.equal((await ask(session, { ...path, ...bearer }, '')).status, 200, 'an empty body')
  t.equal((await ask(session, { ...plain, ...bearer })).status, 200, 'an empty body with a type')
})

t.test('a stream over HTTP/2', async (t) => {
  const s = await secure(t)
  const session = http2(t, s)
  const alice = (await post(session, '/sessions', { peer: 'alice' })).body
  const bob = (await post(session, '/sessions', { peer: 'bob' })).body
  for (const { token } of [alice, bob])
    await post(session, '/rooms/r/join', { create: true }, token)
  const stream = await events(session, `/events?n=1&nudge=1&ticket=${bob.ticket}`)
  t.equal(stream.headers[':status'], 200)
  t.equal(stream.headers['content-type'], 'text/event-stream')
  t.equal(stream.headers['connection'], undefined)
  await stream.next('hello')
  await stream.next('heartbeat')
  await post(session, '/messages', { to: 'bob', type: 'x', payload: { n: 1 } }, alice.token)
  t.match((await stream.next('message')).data, { type: 'x', payload: { n: 1 } })
  await s.clock.advance(250)
  t.same((await stream.next('proof')).data, { n: '1' })
  await s.clock.advance(55_000)
  t.equal((await stream.next('bye')).data.reason, 'max-age')
  await until(stream.isOver, 'the end of the stream')
  t.equal(session.closed, false, 'the connection goes on')

  const other = await events(session, `/events?ticket=${bob.ticket}`)
  const count = async () => {
    const reads = 'posthorn_reads_open{transport="stream"}'
    const headers = { ':path': '/metrics', authorization: 'Bearer metrics-token-of-the-tests' }
    const { text } = await ask(session, headers)
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(reads))
        ?.split(' ')
        .at(-1),
    )
  }
  t.equal(await count(), 1)
  other.stream.close(constants.NGHTTP2_CANCEL)
  await until(async () => (await count()) === 0, 'the read to be closed')
})

t.test('a stream and a poll over HTTP/1.1', async (t) => {
  const s = await secure(t)
  const session = http2(t, s)
  const { token, ticket } = (await post(session, '/sessions', {})).body
  const socket = await overTls(s, 'http/1.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(`GET /events?ticket=${ticket} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => text.includes('event: heartbeat'), 'the stream')
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  const { answers } = await raw(
    s,
    `GET /messages?wait=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  )
  t.equal(answers[0]?.status, 200)
})

t.test('stopping says bye to both, resets neither and ends soon', async (t) => {
  const s = await secure(t)
  const session = http2(t, s)
  const { ticket, token } = (await post(session, '/sessions', {})).body
  const over2 = await events(session, `/events?ticket=${ticket}`)
  await over2.next('heartbeat')
  const socket = await overTls(s, 'http/1.1')
  let over1 = ''
  let isReset = false
  socket.on('data', (chunk) => {
    over1 += chunk
  })
  socket.on('error', () => {
    isReset = true
  })
  socket.write(`GET /events?ticket=${ticket} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await until(() => over1.includes('event: heartbeat'), 'the stream')
  const page = await ask(session, { ':path': `/messages?wait=0&ticket=${ticket}` })
  const poll = ask(session, {
    ':path': `/messages?wait=25&since=${page.body.cursor}`,
    authorization: `Bearer ${token}`,
  })
  await new Promise((resolve) => setTimeout(resolve, 100))
  const startedAt = performance.now()
  await s.stop()
  t.ok(performance.now() - startedAt < 5000, 'no idle session holds it up')
  t.equal((await over2.next('bye')).data.reason, 'shutdown')
  t.match(over1, /event: bye\ndata: \{"reason":"shutdown"/)
  t.match(await poll, { status: 200, body: { messages: [] } })
  t.equal(isReset, false)
})

t.test('what the parser refuses is a problem document', async (t) => {
  const s = await secure(t)
  for (const [bytes, status] of [
    ['nonsense\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
  ] as const) {
    const { answers } = await raw(s, bytes)
    t.equal(answers[0]?.status, status)
    t.equal(answers[0]?.headers.get('posthorn'), '1')
    t.match(JSON.parse(answers[0]?.body ?? '{}'), { status })
  }
})

t.test('slow requests are cut as without TLS', async (t) => {
  const config = { ...readConfig([], {}), tls, logLevel: 'silent' as const }
  const { app } = await buildServer(config)
  t.teardown(() => app.close())
  t.match(app.server, {
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 76_000,
    timeout: 60_000,
  })
  Object.assign(app.server, { headersTimeout: 300, requestTimeout: 300 })
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  const s = { port: Number(port) } as TestServer
  const socket = await overTls(s, 'http/1.1')
  socket.write('GET / HTTP/1.1\r\nHost:')
  const { answers, isClosed } = await readRaw(socket, 4000)
  t.equal(answers[0]?.status, 408)
  t.ok(isClosed)
})

t.test('whoever speaks no TLS is cut off', async (t) => {
  const s = await secure(t)
  for (const bytes of [
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    '\x16\x03\x01\0\x05hello',
    '\0'.repeat(99),
  ]) {
    const socket = connectTcp(s.port, '127.0.0.1')
    socket.write(bytes)
    const { isClosed } = await readRaw(socket, 1000)
    t.ok(isClosed)
  }
  const session = http2(t, s)
  t.equal((await ask(session, { ':path': '/healthz' })).status, 200, 'and the server lives on')
})

t.test('an HTTP/2 client that breaks the rules hurts nobody else', async (t) => {
  const s = await secure(t)
  const good = http2(t, s)
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const settings = '\0\0\0\x04\0\0\0\0\0'
  for (const bytes of [
    'GET / HTTP/1.1\r\n\r\n',
    `${preface}${'garbage '.repeat(9)}`,
    `${preface}${settings}\xff\xff\xff\x01\x05\0\0\0\x01`,
    `${preface}${settings}\0\0\x05\x01\x05\0\0\0\x01\xff\xff\xff\xff\xff`,
    `${preface}${settings}\0\0\x01\0\x01\0\0\0\x63x`,
  ]) {
    const socket = await overTls(s, 'h2')
    socket.on('error', () => {})
    socket.write(bytes, 'latin1')
    const { isClosed, text } = await readRaw(socket, 300)
    t.ok(isClosed || text.includes('\x07\0\0\0\0\0'), 'it is cut off, or told to go away')
  }
  for (let n = 0; n < 200; n++) {
    const stream = good.request({ ':path': '/messages?wait=25' })
    stream.on('error', () => {})
    stream.close(constants.NGHTTP2_CANCEL)
  }
  t.equal((await ask(good, { ':path': '/healthz' })).status, 200, 'rapid resets are taken')
  const connect = good.request({ ':method': 'CONNECT', ':authority': 'evil.example:443' })
  const status = await new Promise((resolve) => {
    connect.on('response', (headers) => resolve(headers[':status']))
    connect.on('error', () => resolve('reset'))
    connect.on('close', () => resolve('closed'))
  })
  t.not(status, 200, 'it is no proxy')
})

t.test('Node has nothing to warn of', async (t) => {
  // tap's own loader uses what newer versions of Node call deprecated.
  const ours = warnings
    .map(({ message }) => message)
    .filter((text) => !/module\.register/.test(text))
  t.same(ours, [])
})
