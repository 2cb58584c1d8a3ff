// Rooms and presence over HTTP (protocol section 5): who may join and see, what the others are told,
// capacity, politeness, leases.
import t from 'tap'
import { NOON } from '../helpers/clock.ts'
import {
  isProblem,
  type Json,
  type Peer,
  SECRET,
  serve,
  type TestServer,
  type Who,
} from '../helpers/server.ts'

const SECOND = 1000

const notices = async (s: TestServer, who: Who) =>
  (await s.get('/messages?wait=0', who)).body.messages.map(
    ({ type, from, room, payload }: Json) => ({
      type,
      from,
      room,
      payload,
    }),
  )

t.test('joining', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  const bob = await s.guest('bob')
  isProblem(t, await s.post('/rooms/r/join', alice), 404, 'room-not-found', 'without create')
  const created = await s.post('/rooms/r/join', alice, { create: true, info: { name: 'Alice' } })
  t.equal(created.status, 200)
  const { newest } = created.body
  t.same(created.body, { room: 'r', created: true, members: [], newest })
  t.type(newest, 'number')
  await s.clock.advance(SECOND)
  const joined = await s.post('/rooms/r/join', bob, { create: true })
  t.same(joined.body.created, false)
  t.same(joined.body.members, [
    {
      peer: 'alice',
      info: { name: 'Alice' },
      joinedAt: new Date(NOON).toISOString(),
      online: true,
      polite: true,
    },
  ])
  const told = { type: 'peer-joined', from: '@server', room: 'r' }
  t.same(await notices(s, alice), [{ ...told, payload: { peer: 'bob', polite: false } }])
  t.same(await notices(s, bob), [], 'the newcomer is not told of itself')

  const again = await s.post('/rooms/r/join', bob, { info: { other: 1 } })
  t.same(again.body.members, joined.body.members, 'twice is the same as once')
  t.equal((await notices(s, alice)).length, 1)
  const carol = await s.guest('carol')
  const info = { lang: ['de', 'en'] }
  t.equal(
    (await s.post('/rooms/r/join', carol, { info })).status,
    200,
    'without create once it is there',
  )
  t.same((await notices(s, bob))[0].payload, { peer: 'carol', info, polite: false })
})

t.test('the two sides of a pair are told opposite politeness', async (t) => {
  const s = await serve(t)
  const peers = await s.roomOf('a', 'b', 'c', 'd')
  const views = new Map<string, Map<string, boolean>>()
  for (const peer of peers) {
    const { body } = await s.get('/rooms/guest-room', peer)
    views.set(peer.peer, new Map(body.members.map((m: Json) => [m.peer, m.polite])))
  }
  for (const { peer: one } of peers) {
    for (const { peer: other } of peers) {
      if (one === other) continue
      t.equal(views.get(one)?.get(other), !views.get(other)?.get(one), `${one} and ${other}`)
    }
  }
})

t.test('the room is shown to its members', async (t) => {
  const s = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  const { status, body } = await s.get('/rooms/guest-room', alice)
  t.equal(status, 200)
  t.equal(body.capacity, 1024)
  t.same(
    body.members.map((m: Json) => m.peer),
    ['bob'],
    'without themselves',
  )
  t.match(await s.get(`/rooms/guest-room?ticket=${bob.ticket}`), { status: 200 }, 'with a ticket')
  t.same((await s.get('/session', bob)).body.rooms, ['guest-room'])
  const carol = await s.guest('carol')
  isProblem(t, await s.get('/rooms/guest-room', carol), 404, 'room-not-found', 'a stranger')
  isProblem(t, await s.get('/rooms/nowhere', alice), 404, 'room-not-found')
  isProblem(t, await s.post('/rooms/guest-room/leave', carol), 404, 'room-not-found')
  isProblem(t, await s.get('/rooms/guest-room'), 401, 'token-missing')
})

t.test('leaving', async (t) => {
  const s = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  const left = await s.post('/rooms/guest-room/leave', bob)
  t.equal(left.status, 204)
  t.equal(left.text, '')
  const payload = { peer: 'bob', reason: 'left' }
  const told = { type: 'peer-left', from: '@server', room: 'guest-room', payload }
  t.same((await notices(s, alice)).at(-1), told)
  t.same(await notices(s, bob), [], 'who left is not told')
  isProblem(t, await s.post('/rooms/guest-room/leave', bob), 404, 'room-not-found', 'twice')
  isProblem(t, await s.get('/rooms/guest-room', bob), 404, 'room-not-found')
  t.equal((await s.postText('/rooms/guest-room/leave', alice)).status, 204)
  isProblem(
    t,
    await s.post('/rooms/guest-room/join', bob),
    404,
    'room-not-found',
    'with the last one it is gone',
  )
})

t.test('rights', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const as = (posthorn: object) => s.token({ sub: 'alice', posthorn })
  const join = (who: string, room: string, create = true) =>
    s.post(`/rooms/${room}/join`, who, { create })
  const grants = { rooms: ['exact', 'team-*'], create: true }
  for (const room of ['exact', 'team-', 'team-7']) {
    t.equal((await join(as(grants), room)).status, 200, room)
  }
  for (const room of ['exac', 'exact1', 'team', 'Team-7', 'other']) {
    isProblem(t, await join(as(grants), room), 404, 'room-not-found', room)
  }
  isProblem(t, await join(as({}), 'exact'), 404, 'room-not-found', 'an empty claim allows none')
  const visitor = as({ rooms: ['*'] })
  isProblem(t, await join(visitor, 'new'), 403, 'not-allowed', 'to create')
  isProblem(t, await join(visitor, 'new', false), 404, 'room-not-found')
  const bob = s.token({ sub: 'bob', posthorn: { rooms: ['*'] } })
  t.match((await join(bob, 'exact')).body, { created: false }, 'to join what is there')
  t.equal(
    (await join(s.token({ sub: 'carol' }), 'any')).status,
    200,
    'without the claim all of them',
  )
  const hidden = await join(as({ rooms: ['exact'] }), 'any')
  isProblem(t, hidden, 404, 'room-not-found', 'a room that may not be joined is not seen')
})

t.test('capacity', async (t) => {
  const s = await serve(t)
  const [a, b, c] = [await s.guest('a'), await s.guest('b'), await s.guest('c')]
  t.equal((await s.post('/rooms/r/join', a, { create: true, capacity: 2 })).status, 200)
  t.equal((await s.get('/rooms/r', a)).body.capacity, 2)
  t.equal((await s.post('/rooms/r/join', b, { capacity: 9 })).status, 200)
  isProblem(t, await s.post('/rooms/r/join', c), 409, 'room-full')
  t.equal((await s.post('/rooms/r/join', b)).status, 200, 'members may join again')
  await s.post('/rooms/r/leave', a)
  t.equal((await s.post('/rooms/r/join', c)).status, 200)
  t.equal((await s.get('/rooms/r', c)).body.capacity, 2, 'is set by the creator')
})

t.test('content that is refused', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  for (const [body, pointer] of [
    [{ create: 'yes' }, '/create'],
    [{ create: 1 }, '/create'],
    [{ capacity: 0 }, '/capacity'],
    [{ capacity: 1025 }, '/capacity'],
    [{ capacity: 1.5 }, '/capacity'],
    [{ capacity: '2' }, '/capacity'],
    [{ info: 'text' }, '/info'],
    [{ info: [1] }, '/info'],
  ] as const) {
    await s.post('/rooms/r/join', alice, { create: true })
    const answer = await s.post('/rooms/r/join', alice, body)
    isProblem(t, answer, 400, 'invalid-request', JSON.stringify(body))
    t.equal(answer.body.errors[0].pointer, pointer)
  }
  const large = await s.post('/rooms/r/join', alice, { info: { t: 'x'.repeat(1024) } })
  isProblem(t, large, 413, 'too-large')
  t.equal(large.body.maxBytes, 1024)
  t.equal((await s.post('/rooms/r/join', alice, { info: [], capacity: null })).status, 200)
  for (const room of ['-a', '.a', 'a%20b', 'a%2Fb', 'r'.repeat(129), '%00', 'ä', '@server']) {
    const paths: [string, string][] = [
      ['POST', `/rooms/${room}/join`],
      ['POST', `/rooms/${room}/leave`],
      ['GET', `/rooms/${room}`],
    ]
    for (const [method, path] of paths) {
      const answer = await s.request(path, { method, who: alice })
      isProblem(t, answer, 400, 'invalid-request', `${method} ${path.slice(0, 30)}`)
    }
  }
  const stranger = await s.post('/rooms/elsewhere/join', alice, { capacity: 'x' })
  isProblem(t, stranger, 404, 'room-not-found', 'rights come before content')
  for (const room of ['__proto__', 'constructor', '0', '_', `${'r'.repeat(128)}`]) {
    t.equal((await s.post(`/rooms/${room}/join`, alice, { create: true })).status, 200, room)
  }
})

t.test('a member whose lease ran out', async (t) => {
  const s = await serve(t, { messageTtlMs: 60_000 })
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  for (let n = 0; n < 5; n++) {
    await s.clock.advance(10 * SECOND)
    await s.post('/session/heartbeat', alice)
  }
  const payload = { peer: 'bob', reason: 'timeout' }
  const left = { type: 'peer-left', from: '@server', room: 'guest-room', payload }
  t.same((await notices(s, alice)).at(-1), left, 'leaves by timeout')
  await s.clock.advance(10 * 60 * SECOND)
  t.same(await notices(s, bob), [left], 'and finds that out when it comes back late')
  t.same((await s.get('/session', bob)).body.rooms, [])
})

t.test('an open read keeps a member in its room', async (t) => {
  const s = await serve(t, { secret: SECRET, streamMaxAgeMs: 300_000 })
  const [alice, bob] = ['alice', 'bob'].map((sub) => s.token({ sub }))
  for (const who of [alice, bob]) await s.post('/rooms/r/join', who, { create: true })
  const stream = await s.stream('', bob)
  for (let n = 0; n < 10; n++) {
    await s.clock.advance(20 * SECOND)
    await s.post('/session/heartbeat', alice)
  }
  t.match((await s.get('/rooms/r', alice)).body.members, [{ peer: 'bob', online: true }])
  stream.close()
  await s.holds('stream', 0)
  for (let n = 0; n < 3; n++) {
    await s.clock.advance(20 * SECOND)
    await s.post('/session/heartbeat', alice)
  }
  t.same((await s.get('/rooms/r', alice)).body.members, [])
})

t.test('presence', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = s.token({ sub: 'alice', posthorn: { rooms: ['*'], direct: ['bob', 'nobody'] } })
  t.same((await s.get('/peers/nobody', alice)).body, { peer: 'nobody', online: false })
  isProblem(t, await s.get('/peers/carol', alice), 404, 'peer-not-found', 'a stranger')
  const phone = s.token({ sub: 'bob:phone', posthorn: {} })
  const desk = s.token({ sub: 'bob:desk', posthorn: {} })
  await s.post('/session/heartbeat', phone)
  await s.clock.advance(30 * SECOND)
  await s.post('/session/heartbeat', desk)
  await s.clock.advance(20 * SECOND)
  const lastSeenAt = new Date(NOON + 30 * SECOND).toISOString()
  t.same((await s.get('/peers/bob', alice)).body, { peer: 'bob', online: true, lastSeenAt })
  t.same((await s.get('/peers/bob:phone', alice)).body, {
    peer: 'bob:phone',
    online: false,
    lastSeenAt: new Date(NOON).toISOString(),
  })
  await s.clock.advance(26 * SECOND)
  t.same((await s.get('/peers/bob', alice)).body, { peer: 'bob', online: false, lastSeenAt })
  isProblem(
    t,
    await s.get('/peers/bob', phone),
    404,
    'peer-not-found',
    'no way back without a signal',
  )
  for (const peer of ['a%20b', '@server', 'a:b:c', '.a', 'p'.repeat(65)]) {
    isProblem(t, await s.get(`/peers/${peer}`, alice), 400, 'invalid-request', peer.slice(0, 10))
  }
})

t.test('a guest may carry info of its session into rooms', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  await s.post('/rooms/r/join', alice, { create: true })
  const { body: bob } = await s.post('/sessions', undefined, { peer: 'bob', info: { name: 'Bob' } })
  await s.post('/rooms/r/join', bob)
  t.same((await notices(s, alice))[0].payload, {
    peer: 'bob',
    info: { name: 'Bob' },
    polite: false,
  })
  const { body: fresh } = await s.post('/session/refresh', bob)
  await s.post('/rooms/q/join', alice, { create: true })
  await s.post('/rooms/q/join', fresh)
  t.same((await notices(s, alice)).at(-1).payload.info, { name: 'Bob' }, 'also with a fresh token')
  await s.post('/rooms/q/leave', fresh)
  await s.post('/rooms/q/join', fresh, { info: { name: 'Robert' } })
  t.same((await notices(s, alice)).at(-1).payload.info, { name: 'Robert' }, 'its own wins')
})
