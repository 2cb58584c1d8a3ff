// GET /events (protocol section 4): what a stream says and when, how it ends, and how its reader goes
// on. Read with a parser that is not ours; its times are turned by hand.
import { connect } from 'node:net'
import t from 'tap'
import { NOON } from '../helpers/clock.ts'
import {
  isProblem,
  type Json,
  SECRET,
  type ServerOptions,
  type StreamReader,
  serve,
  until,
} from '../helpers/server.ts'

const SECOND = 1000

async function pair(
  t: Parameters<typeof serve>[0],
  overrides: Parameters<typeof serve>[1] = {},
  options: ServerOptions = {},
) {
  const s = await serve(t, { secret: SECRET, ...overrides }, options)
  const exp = NOON / 1000 + 86_400
  const alice = s.token({ sub: 'alice', exp, posthorn: { direct: ['*'] } })
  const token = s.token({ sub: 'bob', exp })
  const bob = await s.open(token)
  const cursor = await s.readAll(token)
  const send = async (members: object = {}) => {
    const { body, status } = await s.post('/messages', alice, { to: 'bob', type: 'x', ...members })
    t.equal(status, 201)
    return body.deliveries[0].id as number
  }
  return { s, alice, bob, token, cursor, send }
}

/** Lets all that was written arrive. */
const arrived = (stream: StreamReader, text: string) =>
  until(() => stream.text.includes(text), `the text ${text}`)

t.test('the opening', async (t) => {
  const { s, token, cursor } = await pair(t)
  const stream = await s.stream(`?since=${cursor}&n=nonce`, token)
  t.equal(stream.status, 200)
  t.equal(stream.headers.get('content-type'), 'text/event-stream', 'without parameters')
  t.equal(stream.headers.get('cache-control'), 'no-store, no-transform')
  t.equal(stream.headers.get('x-accel-buffering'), 'no')
  t.equal(stream.headers.get('content-encoding'), 'identity')
  t.equal(stream.headers.get('x-content-type-options'), 'nosniff')
  t.equal(stream.headers.get('posthorn'), '1')
  t.equal(stream.headers.get('access-control-allow-origin'), '*')
  t.equal(stream.headers.get('content-length'), null)
  const hello = await stream.next('hello')
  t.same(hello.data, {
    peer: 'bob',
    reset: false,
    n: 'nonce',
    heartbeatMs: 15_000,
    maxAgeMs: 55_000,
    serverTime: new Date(NOON).toISOString(),
  })
  t.equal(hello.id, undefined)
  const comment = stream.text.split('\n', 1)[0] as string
  t.match(comment, /^:/)
  t.ok(comment.length >= 2046, '2 KiB of comment come first')
  const beat = await stream.next('heartbeat')
  t.same(beat.data, { cursor, newest: cursor, serverTime: new Date(NOON).toISOString() })
  t.equal(beat.id, String(cursor), "a heartbeat's id is the cursor")
  t.equal(stream.of('proof').length, 0)
  await s.clock.advance(250)
  t.same((await stream.next('proof')).data, { n: 'nonce' }, 'the proof comes 250 ms later')
  t.same(
    stream.events.map(({ event }) => event),
    ['hello', 'heartbeat', 'proof'],
  )
})

t.test('hello is one write, and the proof another', async (t) => {
  const { s, token } = await pair(t)
  const socket = connect(s.port, '127.0.0.1').setNoDelay()
  t.teardown(() => socket.destroy())
  const chunks: string[] = []
  socket.on('data', (chunk) => chunks.push(chunk.toString()))
  socket.write(`GET /events?n=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  await until(() => chunks.join('').includes('event: hello'), 'hello')
  const hello = chunks.join('')
  // Node 26 puts what is written in the same turn behind the head into one chunk with it.
  t.match(hello, /\r\n\r\n[0-9a-f]+\r\n: {2046}\nevent: hello\ndata: \{[^\n]*\}\n\n/)
  t.equal(hello.indexOf('event: proof'), -1)
  await s.clock.advance(250)
  await until(() => chunks.join('').includes('event: proof'), 'proof')
  t.match(chunks.at(-1), /^[0-9a-f]+\r\nevent: proof\ndata: \{"n":"1"\}\n\n\r\n$/)
})

t.test('without a nonce the proof has none', async (t) => {
  const { s, token } = await pair(t)
  const stream = await s.stream('', token)
  t.equal('n' in (await stream.next('hello')).data, false)
  await s.clock.advance(250)
  t.same((await stream.next('proof')).data, {})
})

t.test('messages', async (t) => {
  const { s, token, cursor, send } = await pair(t)
  const first = await send({ payload: { before: true } })
  const stream = await s.stream(`?since=${cursor}`, token)
  const kept = await stream.next('message')
  t.match(kept, { id: String(first), data: { id: first, payload: { before: true } } })
  t.equal((await stream.next('heartbeat')).data.cursor, first, 'what was kept comes first')
  const second = await send({ payload: { sdp: 'v=0\r\n\u2028\n: x\0', '\ndata: y': 1 } })
  const live = await stream.next('message')
  t.match(live, { id: String(second), data: { payload: { sdp: 'v=0\r\n\u2028\n: x\0' } } })
  await send({ type: 'hello' })
  await send({ type: 'bye', payload: { reason: 'shutdown' } })
  await send({ type: 'heartbeat' })
  for (const type of ['hello', 'bye', 'heartbeat']) {
    t.match(
      await stream.next('message'),
      { event: 'message', data: { type } },
      'no type is an event',
    )
  }
  t.equal(stream.of('bye').length, 0)
  const poll = await s.get(`/messages?wait=0&since=${cursor}`, token)
  t.same(
    stream.of('message').map(({ data }) => data),
    poll.body.messages,
    'the same messages as a poll, and reading removed nothing',
  )
})

t.test('what a stream wrote is not acknowledged', async (t) => {
  const { s, token, cursor, send } = await pair(t)
  const stream = await s.stream(`?since=${cursor}`, token)
  const id = await send()
  await stream.next('message')
  t.equal((await s.get('/session', token)).body.cursor, cursor)
  const next = await s.stream('', token, { 'Last-Event-ID': String(id) })
  await next.next('heartbeat')
  t.equal((await s.get('/session', token)).body.cursor, id, 'until a cursor is presented')
})

t.test('Last-Event-ID wins over since', async (t) => {
  const { s, token, cursor, send } = await pair(t)
  const first = await send()
  const second = await send()
  const read = async (query: string, id: string) => {
    const stream = await s.stream(query, token, { 'Last-Event-ID': id })
    await stream.next('heartbeat')
    stream.close()
    return stream.of('message').map(({ data }) => data.id)
  }
  t.same(await read(`?since=${cursor}`, String(first)), [second])
  t.same(await read(`?since=${first}`, 'not-ours'), [second], 'what is no id of ours is none')
  t.same(await read(`?since=${second}`, '0'), [first, second])
})

t.test('heartbeats', async (t) => {
  t.test('come every 15 s in peace', async (t) => {
    const { s, token, cursor } = await pair(t)
    const stream = await s.stream(`?since=${cursor}`, token)
    await stream.next('heartbeat')
    await s.clock.advance(14 * SECOND)
    await s.get('/healthz')
    t.equal(stream.of('heartbeat').length, 1)
    for (const seconds of [1.5, 15.25, 15.25]) {
      await s.clock.advance(seconds * SECOND)
      await stream.next('heartbeat')
    }
    t.equal(stream.of('heartbeat').length, 4)
  })

  t.test('come every 2 s for 30 s after a message', async (t) => {
    const { s, token, cursor, send } = await pair(t, { streamMaxAgeMs: 600_000 })
    const stream = await s.stream(`?since=${cursor}`, token)
    await stream.next('heartbeat')
    const id = await send()
    await stream.next('message')
    for (let beats = 0; beats < 13; beats++) {
      await s.clock.advance(2.25 * SECOND)
      t.equal((await stream.next('heartbeat')).data.cursor, id)
    }
    await s.clock.advance(5 * SECOND)
    const count = stream.of('heartbeat').length
    await s.clock.advance(9 * SECOND)
    await s.get('/healthz')
    t.ok(stream.of('heartbeat').length - count <= 1, 'then they slow down')
  })

  t.test('come every 2 s on the first stream of a ticket', async (t) => {
    const { s, bob, cursor } = await pair(t)
    const count = async () => {
      const stream = await s.stream(`?since=${cursor}&ticket=${bob.ticket}`)
      await stream.next('heartbeat')
      for (let n = 0; n < 5; n++) await s.clock.advance(2.25 * SECOND)
      await s.get('/healthz')
      const beats = stream.of('heartbeat').length
      stream.close()
      return beats
    }
    t.equal(await count(), 6)
    t.equal(await count(), 1, 'not on its second')
  })
})

t.test('nudge follows each event with a comment', async (t) => {
  const { s, token, cursor, send } = await pair(t)
  const stream = await s.stream(`?since=${cursor}&nudge=1`, token)
  await arrived(stream, '\n\n:\n')
  await send()
  await stream.next('message')
  await until(() => stream.text.endsWith('\n\n:\n'), 'the nudge')
  t.equal(stream.of('message').length, 1)
  const plain = await s.stream(`?since=${cursor}&nudge=0`, token)
  await plain.next('heartbeat')
  t.notMatch(plain.text, /\n:\n/)
})

t.test('a reset', async (t) => {
  const { s, token, cursor, send } = await pair(t)
  await send()
  await s.clock.advance(120 * SECOND)
  const id = await send()
  const stream = await s.stream(`?since=${cursor}`, token)
  t.match((await stream.next('hello')).data, { reset: true, resetReason: 'expired' })
  t.equal((await stream.next('message')).data.id, id, 'with everything that is kept')
  t.equal((await stream.next('heartbeat')).data.cursor, id)
  const again = await s.stream(`?since=${id}`, token)
  t.match((await again.next('hello')).data, { reset: false }, 'is told once')
  const ahead = await s.stream(`?since=${id + 1}`, token)
  t.match((await ahead.next('hello')).data, { reset: true, resetReason: 'cursor-ahead' })
})

t.test('the end', async (t) => {
  t.test('comes by itself after 55 s, spread by a tenth', async (t) => {
    for (const [dice, seconds] of [
      [0, 49.5],
      [0.5, 55],
      [0.999999, 60.5],
    ] as const) {
      const { s, token } = await pair(t, {}, { random: () => dice })
      const stream = await s.stream('', token)
      const { maxAgeMs } = (await stream.next('hello')).data
      t.equal(Math.round(maxAgeMs / 10) * 10, seconds * SECOND)
      await s.clock.advance(seconds * SECOND - 250)
      await s.get('/healthz')
      t.equal(stream.of('bye').length, 0)
      await s.clock.advance(500)
      t.same((await stream.next('bye')).data, { reason: 'max-age', retryAfterMs: 0 })
      await stream.ended()
      t.equal(stream.events.at(-1)?.event, 'bye', 'bye is last')
    }
  })

  t.test('is told a minute ahead when it is that of the token', async (t) => {
    const { s } = await pair(t, { streamMaxAgeMs: 3_600_000 })
    const stream = await s.stream('', s.token({ sub: 'bob', exp: NOON / 1000 + 100 }))
    await stream.next('heartbeat')
    await s.clock.advance(39 * SECOND)
    await s.get('/healthz')
    t.equal(stream.of('token-expiring').length, 0)
    await s.clock.advance(1.5 * SECOND)
    const { expiresInMs } = (await stream.next('token-expiring')).data
    t.ok(expiresInMs <= 60_000 && expiresInMs > 58_000, `${expiresInMs}`)
    await s.clock.advance(66 * SECOND)
    t.equal((await stream.next('bye')).data.reason, 'token-expired')
    await stream.ended()
    t.equal(stream.of('token-expiring').length, 1, 'once')
  })

  t.test('is told at the opening where less is left', async (t) => {
    const { s } = await pair(t)
    const stream = await s.stream('', s.token({ sub: 'bob', exp: NOON / 1000 + 20 }))
    t.same((await stream.next('token-expiring')).data, { expiresInMs: 20_000 })
  })

  t.test('comes with the session', async (t) => {
    const { s, token } = await pair(t)
    const stream = await s.stream('', token)
    await stream.next('heartbeat')
    await s.post('/session/end', token)
    t.same((await stream.next('bye')).data, { reason: 'session-ended', retryAfterMs: 0 })
    await stream.ended()
  })

  t.test('comes when the server stops, for all at another time', async (t) => {
    const dice = [0.1, 0.5, 0.9]
    let rolled = 0
    const options = { random: () => dice[Math.floor(rolled++ / 2) % dice.length] as number }
    const { s, token } = await pair(t, {}, options)
    const streams = [
      await s.stream('', token),
      await s.stream('', token),
      await s.stream('', token),
    ]
    for (const stream of streams) await stream.next('heartbeat')
    const poll = s.get('/messages?wait=25&since=999', token).catch(() => undefined)
    await s.stop({ quick: true })
    const retries = []
    for (const stream of streams) {
      const { reason, retryAfterMs } = (await stream.next('bye')).data
      t.equal(reason, 'shutdown')
      retries.push(retryAfterMs)
      await stream.ended()
    }
    t.equal(new Set(retries).size, 3)
    await poll
  })

  t.test('does not come because what it wrote expires', async (t) => {
    const { s, token, cursor, send } = await pair(t, { streamMaxAgeMs: 600_000 })
    const stream = await s.stream(`?since=${cursor}`, token)
    await send()
    await stream.next('message')
    await s.clock.advance(125 * SECOND)
    await s.get('/healthz')
    t.equal(stream.of('bye').length, 0)
    await send()
    await stream.next('message')
  })
})

t.test('an opening that is refused has its status', async (t) => {
  const { s, token, bob } = await pair(t)
  const opening = async (query: string, who?: string, headers = {}) => {
    const answer = await s.get(`/events${query}`, who, headers)
    t.equal(answer.headers.get('access-control-allow-origin'), '*')
    return answer
  }
  isProblem(t, await opening(''), 401, 'token-missing')
  isProblem(t, await opening('', 'no-token'), 401, 'token-invalid')
  isProblem(t, await opening('?ticket=unknown'), 403, 'ticket-unknown')
  isProblem(t, await opening('?since=abc', token), 400, 'invalid-request')
  isProblem(t, await opening('?since=1&since=2', token), 400, 'invalid-request')
  isProblem(t, await opening(`?n=${'n'.repeat(65)}`, token), 400, 'invalid-request')
  t.equal(await s.metric('posthorn_reads_open{transport="stream"}'), 0, 'and leaves no read behind')
  await s.post('/session/end', token)
  isProblem(t, await opening(`?ticket=${bob.ticket}`), 403, 'ticket-unknown')
  isProblem(t, await opening('', token), 401, 'token-invalid')
})

t.test('a reader that goes away leaves nothing behind', async (t) => {
  const { s, token, send } = await pair(t)
  const streams = [await s.stream('', token), await s.stream('', token)]
  for (const stream of streams) await stream.next('heartbeat')
  await s.holds('stream', 2)
  for (const stream of streams) stream.close()
  await s.holds('stream', 0)
  await send()
  await s.clock.advance(60 * SECOND)
  const socket = connect(s.port, '127.0.0.1')
  socket.end(`GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`, () =>
    socket.destroy(),
  )
  await new Promise((resolve) => socket.once('close', resolve))
  await s.holds('stream', 0)
})

t.test('several streams of a peer hear the same', async (t) => {
  const { s, token, cursor, send } = await pair(t)
  const streams: StreamReader[] = []
  for (let n = 0; n < 8; n++) streams.push(await s.stream(`?since=${cursor}`, token))
  const ids = [await send(), await send(), await send()]
  for (const stream of streams) {
    const seen = []
    for (let n = 0; n < 3; n++) seen.push((await stream.next('message')).data.id)
    t.same(seen, ids)
  }
  const texts = streams.map(({ text }) =>
    text.slice(text.indexOf('\nid: '), text.lastIndexOf('}\n\n')),
  )
  t.equal(new Set(texts.map((text) => text.slice(text.indexOf('data: {"id"')))).size, 1)
})

t.test('a thousand messages come whole and in order', async (t) => {
  const { s, alice, token, cursor } = await pair(t)
  const sent: number[] = []
  const stream = await s.stream(`?since=${cursor}`, token)
  for (let page = 0; page < 16; page++) {
    const signals = Array.from({ length: 62 }, (_, n) => ({
      to: 'bob',
      type: 'x',
      payload: { page, n, text: 'é'.repeat(n * 3) },
    }))
    const { body } = await s.post('/exchange', alice, { signals })
    for (const { receipt } of body.results) sent.push(receipt.deliveries[0].id)
    await until(() => stream.of('message').length === sent.length, 'the messages')
    await s.get(`/messages?wait=0&since=${sent.at(-1)}`, token)
  }
  t.same(
    stream.of('message').map(({ data }: Json) => data.id),
    sent,
  )
})

t.test('HTTP/1.0 gets a stream too', async (t) => {
  const { s, token } = await pair(t)
  const { text } = await s.raw(`GET /events HTTP/1.0\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  t.match(text, /\r\n\r\n: {2046}\nevent: hello\n/, 'without chunks')
})
