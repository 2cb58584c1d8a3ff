// GET /metrics (protocol section 9): for whoever shows the token of the operator and nobody else; what
// it counts, and that no label holds anything of a request.
import t from 'tap'
import { PROBLEMS } from '../../src/protocol/names.ts'
import { isProblem, METRICS_TOKEN, type Peer, serve } from '../helpers/server.ts'

t.test('is not there without a token in the settings', async (t) => {
  const s = await serve(t)
  const off = await serve(t, { metricsToken: undefined } as unknown as Parameters<typeof serve>[1])
  isProblem(t, await off.get('/metrics'), 404, 'not-found')
  isProblem(t, await off.get('/metrics', 'undefined'), 404, 'not-found')
  t.equal((await s.get('/metrics', METRICS_TOKEN)).status, 200)
})

t.test('takes its token and no other', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  isProblem(t, await s.get('/metrics'), 401, 'token-missing')
  for (const token of [
    alice.token,
    alice.ticket,
    `${METRICS_TOKEN}x`,
    METRICS_TOKEN.slice(1),
    METRICS_TOKEN.toUpperCase(),
    'undefined',
  ]) {
    isProblem(t, await s.get('/metrics', token), 401, 'token-invalid', token.slice(0, 12))
  }
  const basic = await s.get('/metrics', undefined, { Authorization: `Basic ${METRICS_TOKEN}` })
  isProblem(t, basic, 401, 'token-missing', 'Basic')
  const query = await s.get(`/metrics?token=${METRICS_TOKEN}`)
  isProblem(t, query, 401, 'token-missing', 'in the query')
  isProblem(
    t,
    await s.get('/session', METRICS_TOKEN),
    401,
    'token-invalid',
    'it opens nothing else',
  )
  const { status, headers } = await s.get('/metrics', METRICS_TOKEN)
  t.equal(status, 200)
  t.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
})

t.test('counts', async (t) => {
  const s = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  const of = (name: string, labels = '') => s.metric(`posthorn_${name}${labels}`)
  t.equal(await of('mailboxes'), 2)
  t.equal(await of('rooms'), 1)
  t.equal(await of('messages'), 1, 'alice was told of bob')

  const accepted = (type: string) => of('messages_accepted_total', `{type="${type}"}`)
  const offer = { to: 'bob', type: 'offer', payload: { type: 'offer', sdp: 'v=0' } }
  await s.post('/messages', alice, offer)
  await s.post('/messages', alice, { to: 'bob', type: 'of-my-own' })
  await s.post('/messages', alice, { room: 'guest-room', type: 'another' })
  t.equal(await accepted('offer'), 1)
  t.equal(await accepted('other'), 2)
  t.equal(await of('messages'), 4)
  t.ok((await of('store_bytes')) > 0)

  const delivered = (by: string) => of('messages_delivered_total', `{transport="${by}"}`)
  const { body } = await s.get('/messages?wait=0', bob)
  t.equal(await delivered('poll'), 3 + 1, 'with the notice that alice read')
  await s.post('/exchange', bob, { since: 0 })
  t.equal(await delivered('exchange'), 3)
  const stream = await s.stream('', bob)
  await stream.next('heartbeat')
  t.equal(await delivered('stream'), 3)
  t.equal(await of('reads_open', '{transport="stream"}'), 1)
  stream.close()
  await s.holds('stream', 0)
  t.equal(await of('delivery_seconds_count', '{transport="stream"}'), 3)

  await s.get(`/messages?wait=0&since=${body.messages[0].id}`, bob)
  await s.clock.advance(122_000)
  t.equal(await of('messages_unread_dropped_total', '{why="expired"}'), 2, 'what nobody had read')

  const refused = (code: string) => of('requests_refused_total', `{code="${code}"}`)
  await s.get('/nowhere')
  await s.get('/session')
  await s.post('/messages', bob, {})
  await s.raw('nonsense\r\n\r\n')
  const before = await refused('peer-not-found')
  await s.post('/exchange', alice, { signals: [{ to: 'x', type: 'x' }] })
  t.equal(await refused('not-found'), 1)
  t.equal(await refused('token-missing'), 1)
  t.equal(await refused('invalid-request'), 2, "a handler's and the parser's")
  t.equal(await refused('peer-not-found'), (before || 0) + 1, 'also of one signal of an exchange')
  t.ok((await s.metric('process_cpu_seconds_total')) > 0, 'the process too')
})

t.test('labels come from closed lists', async (t) => {
  const s = await serve(t)
  const [alice] = (await s.roomOf('canary-alice', 'canary-bob')) as [Peer]
  await s.post('/messages', alice, { to: 'canary-bob', type: 'canary-type' })
  await s.post('/messages', alice, { to: 'canary-nobody', type: 'canary-type' })
  await s.post('/rooms/canary-room/join', alice, { create: true })
  await s.get('/canary-path?canary=1')
  await s.get('/session?ticket=canary')
  await s.request('/messages', { method: 'PROPFIND', headers: { 'User-Agent': 'canary' } })
  const { text } = await s.get('/metrics', METRICS_TOKEN)
  t.notMatch(text, /canary/)
  const labels = new Map<string, Set<string>>()
  for (const [, names] of text.matchAll(/^posthorn_\w+\{([^}]*)\}/gm)) {
    for (const [, name, value] of (names as string).matchAll(/(\w+)="([^"]*)"/g)) {
      labels.set(name as string, (labels.get(name as string) ?? new Set()).add(value as string))
    }
  }
  const closed: Record<string, readonly string[]> = {
    type: ['offer', 'answer', 'ice-candidate', 'other'],
    transport: ['poll', 'stream', 'exchange'],
    why: ['expired', 'evicted'],
    code: [...Object.keys(PROBLEMS), 'internal'],
  }
  for (const [name, values] of labels) {
    if (name === 'le') continue
    for (const value of values) t.ok(closed[name]?.includes(value), `${name}="${value}"`)
  }
})

t.test('what ended is counted back to nothing', async (t) => {
  const s = await serve(t)
  for (let round = 0; round < 3; round++) {
    const [alice, bob] = (await s.roomOf(`a${round}`, `b${round}`)) as [Peer, Peer]
    await s.post('/messages', alice, { to: bob.peer, type: 'x', idempotencyKey: 'k' })
    const stream = await s.stream('', bob)
    const poll = s.get(`/messages?wait=25&since=${await s.readAll(bob)}`, bob)
    await s.holds('poll', 1)
    for (const peer of [alice, bob]) await s.post('/session/end', peer)
    await stream.ended()
    await poll
  }
  for (const name of ['mailboxes', 'messages', 'rooms']) {
    t.equal(await s.metric(`posthorn_${name}`), 0, name)
  }
  await s.clock.advance(17 * 60_000)
  t.equal(
    await s.metric('posthorn_store_bytes'),
    0,
    'no byte is left once keys and tokens are over',
  )
})
