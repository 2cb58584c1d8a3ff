// Logs hold nothing that opens anything or tells what peers say: canaries in tokens, tickets, SDP,
// names in queries, headers and bodies go through all routes at `debug`, and none turns up.
import t from 'tap'
import { NOON } from '../helpers/clock.ts'
import { type Json, METRICS_TOKEN, SECRET, serve } from '../helpers/server.ts'

const CANARY = 'CaNaRy'

const lines = (logs: string[]): Json[] => logs.map((line) => JSON.parse(line))

t.test('no canary gets into the log', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true, logLevel: 'debug' })
  const exp = NOON / 1000 + 3600
  const grants = { rooms: ['*'], create: true, direct: ['*'] }
  const alice = s.token({ sub: 'alice', exp, jti: `${CANARY}-jti`, posthorn: grants })
  const { ticket } = await s.open(alice)
  const guest = await s.guest()
  const sdp = `v=0\r\na=ice-pwd:${CANARY}\r\n`
  const offer = { to: 'bob', type: 'offer', payload: { type: 'offer', sdp } }
  const bad = `${alice.slice(0, -10)}${CANARY}`
  const query = `ticket=${ticket}&n=${CANARY}&room=${CANARY}&token=${alice}&${CANARY}=${CANARY}`
  const posts: [path: string, body: object][] = [
    ['/sessions', { peer: `@${CANARY}`, token: CANARY, info: { a: CANARY } }],
    ['/session/open', {}],
    ['/session/heartbeat', {}],
    ['/session/refresh', {}],
    ['/messages', { ...offer, idempotencyKey: CANARY }],
    ['/messages', { ...offer, type: CANARY }],
    ['/messages', { to: `@${CANARY}`, room: `@${CANARY}`, type: 'x' }],
    ['/exchange', { signals: [offer, { to: CANARY }], since: 0, idempotencyKey: CANARY }],
    ['/rooms/r/join', { create: true, info: { name: CANARY } }],
    ['/rooms/r/leave', {}],
    ['/nowhere', { canary: CANARY }],
  ]
  const headers = {
    'X-Canary': CANARY,
    'User-Agent': CANARY,
    Referer: `http://x/?${CANARY}`,
    Cookie: CANARY,
    'Idempotency-Key': CANARY,
    'Content-Type': 'application/json',
  }
  for (const [path, body] of posts) {
    for (const token of [alice, bad, CANARY]) {
      const init = { method: 'POST', headers, body: JSON.stringify(body) }
      await s.request(`${path}?${query}`, { ...init, who: token })
      const inBody = { ...init, body: JSON.stringify({ ...body, token }) }
      await s.request(`${path}?${query}`, inBody)
    }
    await s.request(path, { method: 'POST', headers, body: `{"${CANARY}` })
    const type = { ...headers, 'Content-Type': CANARY }
    await s.request(path, { method: 'POST', headers: type, body: CANARY })
  }
  for (const path of ['/session', '/messages', '/events', '/rooms/r', '/peers/bob', '/nowhere']) {
    for (const who of [bad, CANARY, undefined]) {
      await s.get(`${path}?wait=0&since=${CANARY}&${query}`, who, { 'Last-Event-ID': CANARY })
      await s.get(`${path}?wait=0&ticket=${CANARY}`, who)
    }
    if (path !== '/events') await s.get(`${path}?wait=0&${query}`, alice)
  }
  const stream = await s.stream(`?ticket=${ticket}&n=${CANARY}`, undefined, headers)
  await stream.next('heartbeat')
  stream.close()
  await s.holds('stream', 0)
  const bob = await s.stream('', s.token({ sub: 'bob', exp }))
  t.equal((await bob.next('message')).data.payload.sdp, sdp)
  bob.close()
  await s.get('/metrics', CANARY)
  for (const path of [
    `/messages%3Fticket=${ticket}`,
    `/messages;ticket=${ticket}`,
    `/messages/${alice}`,
    `/messages&ticket=${ticket}`,
    `/session/${ticket}`,
    `/events?wait=0#ticket=${ticket}`,
    `/%zz?ticket=${ticket}`,
    `//x?ticket=${ticket}`,
    `/rooms/%zz/${ticket}`,
  ]) {
    await s.raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  }
  for (const bytes of [
    `GET /?${CANARY} HTTP/9.9\r\n\r\n`,
    `${CANARY} / HTTP/1.1\r\nHost: ${CANARY}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\nHost: ${CANARY}\r\n\r\n`,
    `GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: ${CANARY}\r\n\r\n`,
    `GET / HTTP/1.1\r\nAuthorization: Bearer ${alice}\r\nHost: x\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`,
  ]) {
    await s.raw(bytes)
  }
  await s.postText('/session/end', guest)
  await s.stop()

  const log = s.logs.join('')
  t.ok(s.logs.length > 100, 'every request has a line')
  const secrets = {
    canary: CANARY,
    token: alice.split('.')[2] as string,
    claims: alice.split('.')[1] as string,
    ticket,
    'guest token': guest.token.split('.')[2] as string,
    'guest ticket': guest.ticket,
    secret: SECRET,
    'metrics token': METRICS_TOKEN,
    sdp: 'ice-pwd',
    address: '127.0.0.1',
  }
  for (const [name, secret] of Object.entries(secrets)) {
    const found = s.logs.filter((line) => line.toLowerCase().includes(secret.toLowerCase()))
    t.same(found.slice(0, 3), [], `no ${name}`)
  }
  t.notMatch(log, /authorization|cookie|user-agent/i, 'no header')
})

t.test('a line says what an operator needs', async (t) => {
  const s = await serve(t, { logLevel: 'debug' })
  const alice = await s.guest('alice')
  await s.get('/messages?wait=0&since=5&limit=3&n=secret', alice)
  const { body } = await s.get('/rooms/r', alice)
  const all = lines(s.logs)
  const poll = all.find(({ path }) => path?.startsWith('/messages'))
  t.match(poll, { level: 20, method: 'GET', status: 200, peer: 'alice', msg: 'request' })
  t.match(poll.path, '/messages?wait=0&since=5&limit=3')
  t.type(poll.ms, 'number')
  const refused = all.find(({ status }) => status === 404)
  t.match(refused, { level: 30, method: 'GET', path: '/rooms/r', status: 404 })
  t.equal(refused.reqId, body.requestId, 'the id of the problem finds the line')
})

t.test('at info only refusals have a line', async (t) => {
  const s = await serve(t, { logLevel: 'info' })
  const alice = await s.guest('alice')
  await s.get('/session', alice)
  const before = s.logs.length
  t.same(
    lines(s.logs).filter(({ msg }) => msg === 'request'),
    [],
  )
  await s.get('/session')
  t.equal(s.logs.length, before + 1)
})

t.test('silent is silent', async (t) => {
  const s = await serve(t, { logLevel: 'silent' })
  await s.get('/nowhere')
  await s.raw('nonsense\r\n\r\n')
  t.same(s.logs, [])
})
