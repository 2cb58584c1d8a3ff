// Idempotency keys (protocol section 3): the same key, path and body again gets the first answer and
// keeps nothing twice; only success is remembered, for 10 minutes and 256 keys of a sender.
import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { buildServer } from '../../src/server.ts'
import { FakeClock } from '../helpers/clock.ts'
import { isProblem, type Json, type Peer, serve, type TestServer } from '../helpers/server.ts'

const MINUTE = 60_000

async function pair(t: Parameters<typeof serve>[0]): Promise<[TestServer, Peer, Peer]> {
  const s = await serve(t)
  const [alice, bob] = await s.roomOf('alice', 'bob')
  return [s, alice as Peer, bob as Peer]
}

const kept = async (s: TestServer, who: Peer): Promise<number> => {
  const { body } = await s.get('/messages?wait=0', who)
  return body.messages.filter(({ from }: Json) => from !== '@server').length
}

t.test('a repetition gets the first answer', async (t) => {
  const [s, alice, bob] = await pair(t)
  const body = { to: 'bob', type: 'x', payload: { a: 1 }, idempotencyKey: 'key-1' }
  const first = await s.post('/messages', alice, body)
  t.equal(first.status, 201)
  t.equal(first.headers.get('idempotent-replayed'), null)
  for (let n = 0; n < 3; n++) {
    const again = await s.post('/messages', alice, body)
    t.equal(again.status, 201)
    t.equal(again.text, first.text)
    t.equal(again.headers.get('idempotent-replayed'), 'true')
    t.equal(again.headers.get('content-type'), first.headers.get('content-type'))
  }
  t.equal(await kept(s, bob), 1)
})

t.test('without a key everything is new', async (t) => {
  const [s, alice, bob] = await pair(t)
  const body = { to: 'bob', type: 'x' }
  const ids = new Set()
  for (let n = 0; n < 3; n++) {
    const { body: receipt } = await s.post('/messages', alice, body)
    ids.add(receipt.deliveries[0].id)
  }
  t.equal(ids.size, 3)
  t.equal(await kept(s, bob), 3)
})

t.test('the header is the same, and the member wins', async (t) => {
  const [s, alice, bob] = await pair(t)
  const body = { to: 'bob', type: 'x' }
  const post = (key: string | undefined, header: string) =>
    s.post('/messages', alice, { ...body, idempotencyKey: key }, { 'Idempotency-Key': header })
  const replayed = async (key: string | undefined, header: string) => {
    const { status, headers } = await post(key, header)
    return status === 201 ? headers.get('idempotent-replayed') : status
  }
  t.equal(await replayed(undefined, 'key-1'), null)
  t.equal(await replayed(undefined, 'key-1'), 'true')
  t.equal(await replayed(undefined, '"key-1"'), 'true', 'as a structured string')
  t.equal(await replayed('key-1', 'another'), 'true', 'the member wins')
  t.equal(await replayed('another', 'key-1'), null)
  t.equal(await kept(s, bob), 2)
  for (const header of ['a b', 'ä', 'k'.repeat(65), '""']) {
    const answer = await s
      .post('/messages', alice, body, {
        'Idempotency-Key': encodeURIComponent(header) === header ? header : JSON.stringify(header),
      })
      .catch(() => undefined)
    if (answer) isProblem(t, answer, 400, 'invalid-request', header.slice(0, 5))
  }
})

t.test('another body, path or sender', async (t) => {
  const [s, alice, bob] = await pair(t)
  const carol = await s.guest('carol')
  await s.post('/rooms/guest-room/join', carol)
  const body = { to: 'bob', type: 'x', payload: { a: [1, { b: 2 }] }, idempotencyKey: 'key-1' }
  t.equal((await s.post('/messages', alice, body)).status, 201)
  for (const other of [
    { ...body, type: 'y' },
    { ...body, payload: { a: [1, { b: '2' }] } },
    { ...body, payload: { a: [{ b: 2 }, 1] } },
    { ...body, ttl: 30 },
    { ...body, unknown: true },
  ]) {
    const answer = await s.post('/messages', alice, other)
    isProblem(t, answer, 422, 'key-reused', JSON.stringify(other).slice(0, 50))
  }
  const same = [
    '{"type":"x","idempotencyKey":"key-1","payload":{"a":[1,{"b":2.0}]},"to":"bob"}',
    '{ "to": "bob",\n"type": "\\u0078", "payload": {"a":[1,{"b":2}]}, "ttl":null }',
    JSON.stringify({ ...body, token: alice.token }),
  ]
  for (const text of same) {
    const answer = await s.postRaw('/messages', alice, text, {
      'Content-Type': 'text/plain',
      'Idempotency-Key': 'key-1',
    })
    t.equal(answer.headers.get('idempotent-replayed'), 'true', `the same: ${text.slice(0, 40)}`)
  }
  t.equal(await kept(s, bob), 1)
  const theirs = await s.post('/messages', carol, body)
  t.equal(theirs.headers.get('idempotent-replayed'), null, 'another sender has keys of its own')
  const exchanged = await s.post('/exchange', alice, { signals: [body], idempotencyKey: 'key-1' })
  t.equal(exchanged.status, 200)
  t.equal(exchanged.headers.get('idempotent-replayed'), null, 'so has another path')
  t.equal(await kept(s, bob), 3)
})

t.test('only success is remembered', async (t) => {
  const [s, alice] = await pair(t)
  const post = (body: object) => s.post('/messages', alice, { ...body, idempotencyKey: 'key-1' })
  isProblem(t, await post({ to: 'nobody', type: 'x' }), 404, 'peer-not-found')
  isProblem(t, await post({ to: 'bob', type: 'X' }), 400, 'invalid-request')
  isProblem(t, await post({ to: 'bob', type: 'peer-left' }), 400, 'reserved-type')
  const large = { to: 'bob', type: 'x', payload: { t: 'x'.repeat(70_000) } }
  isProblem(t, await post(large), 413, 'too-large')
  const taken = await post({ to: 'bob', type: 'x' })
  t.equal(taken.status, 201)
  t.equal(taken.headers.get('idempotent-replayed'), null)
})

t.test('a refused signal succeeds under its key once there is room', async (t) => {
  const [s, alice, bob] = await pair(t)
  const body = { to: 'bob', type: 'x', ttl: 600 }
  for (let n = 0; n < 64; n++) await s.post('/messages', alice, body)
  const keyed = { ...body, idempotencyKey: 'key-1' }
  const refused = await s.post('/messages', alice, keyed)
  isProblem(t, refused, 429, 'mailbox-full')
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  await s.readAll(bob)
  const { status, headers } = await s.post('/messages', alice, keyed)
  t.equal(status, 201)
  t.equal(headers.get('idempotent-replayed'), null)
})

t.test('a key is remembered for 10 minutes', async (t) => {
  const [s, alice] = await pair(t)
  const body = { room: 'guest-room', type: 'x', idempotencyKey: 'key-1' }
  const post = async () => {
    const { status, headers } = await s.post('/messages', alice, body)
    return status === 201 ? headers.get('idempotent-replayed') : status
  }
  t.equal(await post(), null)
  for (let minutes = 0; minutes < 10; minutes += 0.5) {
    await s.clock.advance(MINUTE / 2 - (minutes === 9.5 ? 1 : 0))
    await s.post('/session/heartbeat', alice)
  }
  t.equal(await post(), 'true')
  await s.clock.advance(1)
  t.equal(await post(), null)
})

t.test('256 newer keys of the sender push it out', async (t) => {
  const [s, alice] = await pair(t)
  const post = async (key: string) => {
    const body = { room: 'guest-room', type: 'x', idempotencyKey: key, ttl: 5 }
    const { status, headers } = await s.post('/messages', alice, body)
    return status === 201 ? headers.get('idempotent-replayed') : status
  }
  t.equal(await post('first'), null)
  for (let n = 1; n < 256; n++) {
    await post(`key-${n}`)
    if (n % 50 === 0) await s.clock.advance(5000)
  }
  t.equal(await post('first'), 'true', 'after 255')
  await post('key-256')
  await s.clock.advance(5000)
  t.equal(await post('first'), null, 'after 256')
})

t.test('a key outlives the session that used it not', async (t) => {
  const [s, alice, bob] = await pair(t)
  const body = { to: 'bob', type: 'x', idempotencyKey: 'key-1' }
  t.equal((await s.post('/messages', alice, body)).status, 201)
  const { body: back } = await s.post('/session/refresh', alice)
  const again = await s.post('/messages', back, body)
  t.equal(again.headers.get('idempotent-replayed'), 'true', 'a fresh token is the same sender')
  t.equal(await kept(s, bob), 1)
})

t.test('an exchange', async (t) => {
  t.test('replays what succeeded and reads what is there now', async (t) => {
    const [s, alice, bob] = await pair(t)
    const since = await s.readAll(alice)
    const signals = [
      { to: 'bob', type: 'x' },
      { to: 'bob', type: 'y' },
    ]
    const body = { signals, since, idempotencyKey: 'key-1' }
    const first = await s.post('/exchange', alice, body)
    t.equal(first.status, 200)
    t.same(first.body.messages, [])
    await s.post('/messages', bob, { to: 'alice', type: 'answered' })
    const again = await s.post('/exchange', alice, {
      ...body,
      limit: 5,
      wait: 3,
      token: alice.token,
    })
    t.equal(again.status, 200, 'since, wait, limit and token may differ')
    t.equal(again.headers.get('idempotent-replayed'), 'true')
    t.same(again.body.results, first.body.results)
    t.match(again.body.messages, [{ type: 'answered' }])
    const later = await s.post('/exchange', alice, { ...body, since: again.body.cursor })
    t.same(later.body.messages, [])
    t.equal(await kept(s, bob), 2)
    const other = await s.post('/exchange', alice, { ...body, signals: signals.slice(1) })
    isProblem(t, other, 422, 'key-reused')
  })

  t.test('tries again what failed, and nothing twice', async (t) => {
    const [s, alice, bob] = await pair(t)
    const signals = [
      { to: 'bob', type: 'x' },
      { to: 'carol', type: 'x' },
      { to: 'bob', type: 'y' },
    ]
    const body = { signals, idempotencyKey: 'key-1' }
    const first = await s.post('/exchange', alice, body)
    const statuses = ({ body }: { body: Json }) => body.results.map((r: Json) => r.status)
    t.same(statuses(first), [201, 404, 201])
    const carol = await s.guest('carol')
    await s.post('/rooms/guest-room/join', carol)
    const again = await s.post('/exchange', alice, body)
    t.same(statuses(again), [201, 201, 201])
    t.same(again.body.results[0], first.body.results[0])
    t.same(again.body.results[2], first.body.results[2])
    const third = await s.post('/exchange', alice, body)
    t.same(third.body.results, again.body.results)
    t.equal(third.headers.get('idempotent-replayed'), 'true')
    t.equal(await kept(s, bob), 2)
    t.equal(await kept(s, carol), 1)
  })

  t.test('of which nothing succeeded is not remembered', async (t) => {
    const [s, alice] = await pair(t)
    const post = (to: string) =>
      s.post('/exchange', alice, { signals: [{ to, type: 'x' }], idempotencyKey: 'key-1' })
    const first = await post('nobody')
    t.equal(first.body.results[0].status, 404)
    t.equal(first.body.results[0].problem.code, 'peer-not-found')
    const second = await post('nobody')
    t.equal(second.headers.get('idempotent-replayed'), null, 'nothing was replayed')
    const other = await post('bob')
    t.equal(other.status, 200, 'another body may take the key')
    t.equal(other.body.results?.[0].status, 201)
  })

  t.test('has one key for all its signals', async (t) => {
    const [s, alice, bob] = await pair(t)
    const signals = [{ to: 'bob', type: 'x', idempotencyKey: 'inner', token: 'inner' }]
    for (let n = 0; n < 2; n++) {
      const { body } = await s.post('/exchange', alice, { signals })
      t.equal(body.results[0].status, 201, 'a key of a signal is an unknown member')
    }
    t.equal(await kept(s, bob), 2)
  })
})

t.test('the first that still runs', async (t) => {
  const config = { ...readConfig([], {}), logLevel: 'silent' as const }
  const clock = new FakeClock()
  const { app, context } = await buildServer(config, { clock })
  t.teardown(() => app.close())
  const post = (path: string, body: object, token?: string) =>
    app.inject({
      method: 'POST',
      url: path,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      payload: JSON.stringify(body),
    })
  const guests = ['alice', 'bob'].map((peer) => post('/sessions', { peer }))
  const [alice, bob] = (await Promise.all(guests)).map((answer) => answer.json() as Peer)
  for (const { token } of [alice, bob] as Peer[]) {
    await post('/rooms/r/join', { create: true }, token)
  }
  const { store } = context
  const append = store.append.bind(store)
  let letGo = () => {}
  let runs = 0
  store.append = async (step) => {
    runs += 1
    if (runs === 1) {
      await new Promise<void>((resolve) => {
        letGo = resolve
      })
    }
    return append(step)
  }
  const body = { to: 'bob', type: 'x', idempotencyKey: 'key-1' }
  const first = post('/messages', body, alice?.token)
  while (runs === 0) await new Promise((resolve) => setImmediate(resolve))

  const second = await post('/messages', body, alice?.token)
  t.equal(second.statusCode, 409)
  t.equal(second.json().code, 'in-progress')
  t.equal(second.headers['retry-after'], '1')
  await clock.advance(10_000)
  const third = await post('/messages', body, alice?.token)
  t.equal(third.statusCode, 201, 'after 10 s another may run in its place')
  letGo()
  t.same((await first).json(), third.json(), 'the first completes nothing twice')
  const page = await app.inject({
    url: '/messages?wait=0',
    headers: { authorization: `Bearer ${bob?.token}` },
  })
  t.equal(page.json().messages.length, 1)
})
