// POST /messages (protocol section 3): who may be reached, what a signal must look like, what a
// receipt says, and that what was kept is read as it was sent.
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
const SDP = 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n'
const CANDIDATE = 'candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host'

/** What waits in the mailbox from other peers. */
async function waiting(s: TestServer, who: Who): Promise<Json[]> {
  const { body } = await s.get('/messages?wait=0', who)
  return body.messages.filter(({ from }: Json) => from !== '@server')
}

async function pair(t: Parameters<typeof serve>[0]): Promise<[TestServer, Peer, Peer]> {
  const s = await serve(t)
  const [alice, bob] = await s.roomOf('alice', 'bob')
  return [s, alice as Peer, bob as Peer]
}

t.test('a signal is kept and read as it was sent', async (t) => {
  const [s, alice, bob] = await pair(t)
  const payload = { type: 'offer', sdp: SDP }
  const sent = await s.post('/messages', alice, { to: 'bob', type: 'offer', payload })
  t.equal(sent.status, 201)
  const { id } = sent.body.deliveries[0]
  t.same(sent.body, {
    kept: 1,
    deliveries: [{ to: 'bob', id, online: true }],
    durability: 'memory',
  })
  t.equal(sent.headers.get('content-type'), 'application/json; charset=utf-8')
  t.equal(sent.headers.get('cache-control'), 'no-store')
  t.equal(sent.headers.get('posthorn'), '1')
  const [message] = await waiting(s, bob)
  t.same(message, {
    id,
    type: 'offer',
    from: 'alice',
    payload,
    sentAt: new Date(NOON).toISOString(),
    expiresAt: new Date(NOON + 120 * SECOND).toISOString(),
  })
  t.equal(Object.keys(message)[0], 'id', 'its id is its first member')
  t.same(await waiting(s, bob), [message], 'reading removes nothing')
  t.same(await waiting(s, alice), [], 'its sender gets no copy')
})

t.test('the token may stand in the body', async (t) => {
  const [s, alice, bob] = await pair(t)
  const sent = await s.postText('/messages', alice, { to: 'bob', type: 'x', payload: { a: 1 } })
  t.equal(sent.status, 201)
  t.notMatch((await s.get('/messages?wait=0', bob)).text, alice.token, 'and goes nowhere else')
})

t.test('a payload is opaque', async (t) => {
  const [s, alice, bob] = await pair(t)
  const payloads = [
    '{"n":12345678901234567890,"f":1.0,"e":1E5,"z":-0}',
    '{"a":1,"a":2}',
    '{"\\u0061":"\\u00e9\\/\\ud83d\\ude00","raw":"é😀\u2028\u2029\u007f"}',
    '{"lone":"\\ud800","nul":"\\u0000","cr":"\\r\\ndata: forged\\n\\n"}',
    '{"__proto__":{"admin":true},"constructor":{"prototype":1},"toString":null}',
    '{"payload":{"payload":{"to":"x"}},"from":"@server","id":1}',
    '{"\\"":"}{][","b":"\\\\","c":"\\\\\\""}',
    '{}',
  ]
  for (const payload of payloads) {
    const body = `{"payload":{"not":"this"},"type":"x","to":"bob","payload":${payload}}`
    const { status } = await s.postRaw('/messages', alice, body)
    t.equal(status, 201)
    const { text } = await s.get('/messages?wait=0', bob)
    t.ok(text.includes(`"payload":${payload},"sentAt"`), payload.slice(0, 40))
    await s.readAll(bob)
  }
  const spaced = '{ "a" : [ 1 ,\r\n\t2 ] , "s" : " \\n : , " }'
  const quoted = `{\n "to":"bob", "type":"x",\n "payload": ${spaced}\n}\n`
  t.equal((await s.postRaw('/messages', alice, quoted)).status, 201)
  const { text } = await s.get('/messages?wait=0', bob)
  t.match(text, '"payload":{"a":[1,2],"s":" \\n : , "}', 'only the space between tokens goes')
})

t.test('payload may be left out', async (t) => {
  const [s, alice, bob] = await pair(t)
  for (const [text, expected] of [
    ['{"to":"bob","type":"x"}', undefined],
    ['{"to":"bob","type":"x","payload":null}', undefined],
    ['{"to":"bob","type":"x","payload":[]}', {}],
    ['{"to":"bob","type":"x","payload":{}}', {}],
  ] as const) {
    t.equal((await s.postRaw('/messages', alice, text)).status, 201, text)
    const message = (await waiting(s, bob)).at(-1)
    t.same(message.payload, expected)
    t.equal('payload' in message, expected !== undefined, 'absent is absent, never null')
  }
})

t.test('what counts as left out', async (t) => {
  const [s, alice, bob] = await pair(t)
  const nulls = {
    room: null,
    call: null,
    ttl: null,
    payload: null,
    idempotencyKey: null,
    from: null,
  }
  const body = { to: 'bob', type: 'x', ...nulls, unknown: 5, deep: { er: [] } }
  t.equal((await s.post('/messages', alice, body)).status, 201, 'null, and unknown members')
  const [message] = await waiting(s, bob)
  t.same(Object.keys(message), ['id', 'type', 'from', 'sentAt', 'expiresAt'])
})

t.test('recipients', async (t) => {
  t.test('a room without to: every other member', async (t) => {
    const s = await serve(t)
    const [alice, bob, carol] = await s.roomOf('alice', 'bob', 'carol')
    const sent = await s.post('/messages', alice, { room: 'guest-room', type: 'x' })
    t.equal(sent.status, 201)
    t.same(sent.body, { kept: 2, deliveries: [], durability: 'memory' })
    for (const peer of [bob, carol]) t.match(await waiting(s, peer), [{ room: 'guest-room' }])
    t.same(await waiting(s, alice), [])
  })

  t.test('a room with nobody else keeps nothing', async (t) => {
    const s = await serve(t)
    const [alice] = await s.roomOf('alice')
    const sent = await s.post('/messages', alice, { room: 'guest-room', type: 'x' })
    t.equal(sent.status, 201)
    t.same(sent.body, { kept: 0, deliveries: [], durability: 'memory' })
  })

  t.test('room and to: the members of that name', async (t) => {
    const s = await serve(t, { secret: SECRET })
    const tokens = ['alice', 'bob:phone', 'bob:desk', 'bob', 'carol'].map((sub) => s.token({ sub }))
    for (const token of tokens) await s.post('/rooms/r/join', token, { create: true })
    const [alice, phone, , , carol] = tokens
    const sent = await s.post('/messages', alice, { to: 'bob', room: 'r', type: 'x' })
    t.equal(sent.status, 201)
    t.same(
      sent.body.deliveries.map(({ to }: Json) => to),
      ['bob:phone', 'bob:desk', 'bob'],
      'a name: all its devices, and itself',
    )
    const one = await s.post('/messages', alice, { to: 'bob:phone', room: 'r', type: 'y' })
    t.same(
      one.body.deliveries.map(({ to }: Json) => to),
      ['bob:phone'],
    )
    t.match((await waiting(s, phone)).at(-1), { type: 'y', room: 'r' })
    const nobody = await s.post('/messages', carol, { to: 'dave', room: 'r', type: 'x' })
    isProblem(t, nobody, 404, 'peer-not-found')
  })

  t.test('a peer of a shared room', async (t) => {
    const s = await serve(t, { secret: SECRET })
    const tokens = ['alice', 'bob:phone', 'bob:desk'].map((sub) => s.token({ sub }))
    const [alice, phone, desk] = tokens
    for (const token of [alice, phone]) await s.post('/rooms/r/join', token, { create: true })
    await s.post('/session/heartbeat', desk)
    const sent = await s.post('/messages', alice, { to: 'bob', type: 'x' })
    t.same(
      sent.body.deliveries.map(({ to }: Json) => to),
      ['bob:phone'],
      'by its name: the devices that are in the room',
    )
    const other = await s.post('/messages', alice, { to: 'bob:desk', type: 'x' })
    isProblem(t, other, 404, 'peer-not-found')
    await s.post('/rooms/r/leave', phone)
    const left = await s.post('/messages', alice, { to: 'bob:phone', type: 'x' })
    isProblem(t, left, 404, 'peer-not-found', 'as long as it is there')
  })

  t.test('whom direct names, connected or not', async (t) => {
    const s = await serve(t, { secret: SECRET })
    const direct = ['bob', 'team-*', 'carol:desk']
    const alice = s.token({ sub: 'alice', posthorn: { direct } })
    for (const to of ['bob', 'bob:phone', 'team-a', 'team-', 'team-b:x', 'carol:desk']) {
      const { status, body } = await s.post('/messages', alice, { to, type: 'x' })
      t.equal(status, 201, to)
      t.match(body.deliveries, [{ to, online: false }])
    }
    for (const to of ['bobby', 'tea', 'carol', 'carol:phone', 'carol:desktop', 'alice']) {
      const answer = await s.post('/messages', alice, { to, type: 'x' })
      isProblem(t, answer, 404, 'peer-not-found', to)
    }
    const bob = s.token({ sub: 'bob' })
    t.equal((await waiting(s, bob)).length, 1, 'it waits for who comes')
    const known = await s.post('/messages', alice, { to: 'bob', type: 'x' })
    t.match(known.body.deliveries, [{ to: 'bob', online: true }])
  })

  t.test('a name reaches its known devices, the bare one where it was used', async (t) => {
    const s = await serve(t, { secret: SECRET })
    const alice = s.token({ sub: 'alice', posthorn: { direct: ['*'] } })
    const names = async () => {
      const { body } = await s.post('/messages', alice, { to: 'bob', type: 'x' })
      return body.deliveries.map(({ to }: Json) => to).sort()
    }
    t.same(await names(), ['bob'], 'an ordinary peer where no device is known')
    const phone = s.token({ sub: 'bob:phone' })
    const handedOver = await waiting(s, phone)
    t.match(handedOver, [{ type: 'x' }], 'what waited goes to the first device')
    await s.post('/session/heartbeat', s.token({ sub: 'bob:desk' }))
    t.same(await names(), ['bob:desk', 'bob:phone'])
    await s.post('/session/heartbeat', s.token({ sub: 'bob' }))
    t.same(await names(), ['bob', 'bob:desk', 'bob:phone'])
    t.equal((await s.post('/session/end', phone)).status, 204)
    t.same(await names(), ['bob', 'bob:desk'], 'until session/end')
  })

  t.test('who was reached by direct may reply for an hour', async (t) => {
    const s = await serve(t, { secret: SECRET })
    const alice = s.token({ sub: 'alice:phone', posthorn: { direct: ['bob'] }, exp: NOON })
    const late = { exp: NOON / 1000 + 100_000 }
    const caller = s.token({ sub: 'alice:phone', posthorn: { direct: ['bob'] }, ...late })
    const bob = s.token({ sub: 'bob', posthorn: {}, ...late })
    isProblem(t, await s.get('/session', alice), 401, 'token-invalid')
    const reply = () => s.post('/messages', bob, { to: 'alice:phone', type: 'x' })
    isProblem(t, await reply(), 404, 'peer-not-found', 'not before')
    t.equal((await s.post('/messages', caller, { to: 'bob', type: 'x' })).status, 201)
    t.equal((await reply()).status, 201)
    const byName = await s.post('/messages', bob, { to: 'alice', type: 'x' })
    t.equal(byName.status, 201, 'also by the name')
    await s.clock.advance(3600 * SECOND - 1)
    t.equal((await reply()).status, 201)
    await s.clock.advance(1)
    isProblem(t, await reply(), 404, 'peer-not-found', 'an hour later')
  })

  t.test('a stranger cannot tell who exists', async (t) => {
    const s = await serve(t)
    await s.guest('bob')
    const alice = await s.guest('alice')
    const shape = async (to: string) => {
      const { status, body, headers } = await s.post('/messages', alice, { to, type: 'x' })
      const names = [...headers.keys()].sort()
      return { status, body: { ...body, requestId: '' }, names }
    }
    t.same(await shape('bob'), await shape('nobody'))
    t.same(await shape('alice'), await shape('nobody'), 'oneself is nobody')
  })

  t.test('a room that one is not in is no room', async (t) => {
    const [s, , bob] = await pair(t)
    const carol = await s.guest('carol')
    for (const body of [
      { room: 'guest-room' },
      { room: 'nowhere' },
      { room: 'nowhere', to: 'bob' },
    ]) {
      const answer = await s.post('/messages', carol, { ...body, type: 'x' })
      isProblem(t, answer, 404, 'room-not-found', JSON.stringify(body))
    }
    t.same(await waiting(s, bob), [])
  })
})

t.test('content that is refused', async (t) => {
  const [s, alice, bob] = await pair(t)
  const refused: [name: string, body: Json, pointer: string][] = [
    ['no recipient', { type: 'x' }, '/to'],
    ['to is no address', { to: 'a b', type: 'x' }, '/to'],
    ['to is a number', { to: 5, type: 'x' }, '/to'],
    ['to is a list', { to: ['bob'], type: 'x' }, '/to'],
    ['to is the server', { to: '@server', type: 'x' }, '/to'],
    ['room is no name', { room: 'a/b', type: 'x' }, '/room'],
    ['room is too long', { room: 'r'.repeat(129), type: 'x' }, '/room'],
    ['no type', { to: 'bob' }, '/type'],
    ['type is empty', { to: 'bob', type: '' }, '/type'],
    ['type in capitals', { to: 'bob', type: 'Offer' }, '/type'],
    ['type with a line end', { to: 'bob', type: 'x\nevent: bye' }, '/type'],
    ['type is too long', { to: 'bob', type: 'x'.repeat(65) }, '/type'],
    ['type is a number', { to: 'bob', type: 5 }, '/type'],
    ['payload is a text', { to: 'bob', type: 'x', payload: 'text' }, '/payload'],
    ['payload is a number', { to: 'bob', type: 'x', payload: 5 }, '/payload'],
    ['payload is a list', { to: 'bob', type: 'x', payload: [1] }, '/payload'],
    ['payload is false', { to: 'bob', type: 'x', payload: false }, '/payload'],
    ['from is written by the server', { to: 'bob', type: 'x', from: 'alice' }, '/from'],
    ['ttl is a text', { to: 'bob', type: 'x', ttl: '30' }, '/ttl'],
    ['call is too short', { to: 'bob', type: 'x', call: 'short' }, '/call'],
    ['call with a dot', { to: 'bob', type: 'x', call: 'call.1234' }, '/call'],
    ['call is too long', { to: 'bob', type: 'x', call: 'c'.repeat(65) }, '/call'],
    ['call without to', { room: 'guest-room', type: 'x', call: 'call-1234' }, '/call'],
    ['the key is no key', { to: 'bob', type: 'x', idempotencyKey: 'a b' }, '/idempotencyKey'],
    ['the key is empty', { to: 'bob', type: 'x', idempotencyKey: '' }, '/idempotencyKey'],
    [
      'the key is too long',
      { to: 'bob', type: 'x', idempotencyKey: 'k'.repeat(65) },
      '/idempotencyKey',
    ],
    ['the key is a number', { to: 'bob', type: 'x', idempotencyKey: 5 }, '/idempotencyKey'],
    ['an offer without payload', { to: 'bob', type: 'offer' }, '/payload'],
    ['an offer of another type', offer({ type: 'answer', sdp: SDP }), '/payload/type'],
    ['an offer without sdp', offer({ type: 'offer' }), '/payload/sdp'],
    ['an offer whose sdp is none', offer({ type: 'offer', sdp: 'x=0' }), '/payload/sdp'],
    [
      'an answer that offers',
      { ...offer({ type: 'offer', sdp: SDP }), type: 'answer' },
      '/payload/type',
    ],
    ['a candidate without candidate', ice({ sdpMid: '0' }), '/payload/candidate'],
    ['a candidate that is null', ice({ candidate: null }), '/payload/candidate'],
    ['sdpMid is a number', ice({ candidate: '', sdpMid: 0 }), '/payload/sdpMid'],
    [
      'sdpMLineIndex is a text',
      ice({ candidate: '', sdpMLineIndex: '0' }),
      '/payload/sdpMLineIndex',
    ],
    [
      'sdpMLineIndex is negative',
      ice({ candidate: '', sdpMLineIndex: -1 }),
      '/payload/sdpMLineIndex',
    ],
    [
      'usernameFragment is a number',
      ice({ candidate: '', usernameFragment: 1 }),
      '/payload/usernameFragment',
    ],
    ['candidates is no list', ice({ candidates: {} }), '/payload/candidates'],
    [
      'one of the candidates is none',
      ice({ candidates: [{ candidate: '' }, {}] }),
      '/payload/candidates/1/candidate',
    ],
    ['no candidate at all', { to: 'bob', type: 'ice-candidate' }, '/payload/candidate'],
  ]
  for (const [name, body, pointer] of refused) {
    const answer = await s.post('/messages', alice, body)
    isProblem(t, answer, 400, 'invalid-request', name)
    const pointers = answer.body.errors.map((error: Json) => error.pointer)
    t.ok(
      pointers.some((seen: string) => seen.startsWith(pointer)),
      `${name}: names ${pointer}`,
      { pointers },
    )
  }
  for (const type of ['peer-joined', 'peer-left', 'call-cancelled', 'call-missed']) {
    const answer = await s.post('/messages', alice, { to: 'bob', type })
    isProblem(t, answer, 400, 'reserved-type', type)
  }
  for (const body of ['[]', '"text"', '5', 'true', '[{"to":"bob","type":"x"}]']) {
    const answer = await s.postRaw('/messages', alice, body)
    isProblem(t, answer, 400, 'invalid-request', body)
  }
  isProblem(t, await s.postRaw('/messages', alice, 'null'), 400, 'invalid-request', 'null')
  t.same(await waiting(s, bob), [], 'nothing of it was kept')
})

const offer = (payload: object) => ({ to: 'bob', type: 'offer', payload })
const ice = (payload: object) => ({ to: 'bob', type: 'ice-candidate', payload })

t.test('content that is taken', async (t) => {
  const [s, alice, bob] = await pair(t)
  const taken: [name: string, body: Json][] = [
    ['an offer', offer({ type: 'offer', sdp: SDP })],
    ['an answer', { to: 'bob', type: 'answer', payload: { type: 'answer', sdp: SDP } }],
    [
      'a provisional answer',
      { to: 'bob', type: 'answer', payload: { type: 'pranswer', sdp: SDP } },
    ],
    ['a candidate', ice({ candidate: CANDIDATE, sdpMid: '0', sdpMLineIndex: 0 })],
    ['the end of candidates', ice({ candidate: '' })],
    [
      'null in a candidate',
      ice({ candidate: '', sdpMid: null, sdpMLineIndex: null, usernameFragment: null }),
    ],
    ['several candidates', ice({ candidates: [{ candidate: CANDIDATE }, { candidate: '' }] })],
    ['no candidates', ice({ candidates: [] })],
    ['members that are not known', ice({ candidate: '', foundation: '1' })],
    [
      'a type of the application',
      { to: 'bob', type: 'chat:v2.text-x', payload: { any: ['thing'] } },
    ],
    ['a key', { to: 'bob', type: 'x', idempotencyKey: 'A-z_0.9:~' }],
  ]
  for (const [name, body] of taken) {
    const { status } = await s.post('/messages', alice, body)
    t.equal(status, 201, name)
  }
  t.same(
    (await waiting(s, bob)).map(({ type, payload }) => ({ type, payload })),
    taken.map(([, { type, payload }]) => ({ type, payload })),
    'in the order of sending',
  )
})

t.test('the life of a message', async (t) => {
  const [s, alice, bob] = await pair(t)
  for (const [ttl, seconds] of [
    [undefined, 120],
    [30, 30],
    [5.5, 5.5],
    [0, 5],
    [-1, 5],
    [1e9, 3600],
    [3600, 3600],
  ] as const) {
    await s.post('/messages', alice, { to: 'bob', type: 'x', ttl })
    const { sentAt, expiresAt } = (await waiting(s, bob)).at(-1)
    t.equal(Date.parse(expiresAt) - Date.parse(sentAt), seconds * SECOND, `ttl ${ttl}`)
  }
  await s.clock.advance(5 * SECOND)
  t.equal((await waiting(s, bob)).length, 5, 'what is over is not offered')
  await s.clock.advance(115 * SECOND)
  t.equal((await waiting(s, bob)).length, 2)
})

t.test('ids strictly increase, whatever the clock does', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = s.token({ sub: 'alice', posthorn: { direct: ['bob'] } })
  const ids: number[] = []
  const send = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const { body } = await s.post('/messages', alice, { to: 'bob', type: 'x' })
      ids.push(body.deliveries[0].id)
    }
  }
  await send(5)
  s.clock.wallAheadMs = -86_400_000
  await send(5)
  await s.clock.advance(SECOND)
  await send(1)
  t.same(
    ids,
    [...new Set(ids)].sort((a, b) => a - b),
  )
  t.equal(ids.at(-1), (NOON + SECOND) * 1000, 'the microsecond at which it was stored')
  s.clock.wallAheadMs = 0
  const read = await waiting(s, s.token({ sub: 'bob' }))
  t.same(
    read.map(({ id }) => id),
    ids,
  )
})

t.test('ids that are names of Object.prototype are ordinary names', async (t) => {
  const s = await serve(t)
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']
  const peers = await s.roomOf('alice', ...names)
  for (const [index, to] of names.entries()) {
    const sent = await s.post('/messages', peers[0], { to, type: 'x' })
    t.same(
      sent.body.deliveries?.map((delivery: Json) => delivery.to),
      [to],
      to,
    )
    t.match(await waiting(s, peers[index + 1]), [{ type: 'x', from: 'alice' }])
    const key = { to: 'alice', type: 'x', idempotencyKey: to }
    t.equal((await s.post('/messages', peers[index + 1], key)).status, 201, `key ${to}`)
  }
  t.equal(({} as Record<string, unknown>)['type'], undefined)
})

t.test('whoever lost the right token sends nothing', async (t) => {
  const [s, alice, bob] = await pair(t)
  isProblem(t, await s.post('/messages', undefined, { to: 'bob', type: 'x' }), 401, 'token-missing')
  const forged = `${alice.token.slice(0, -8)}AAAAAAAA`
  isProblem(t, await s.post('/messages', forged, { to: 'bob', type: 'x' }), 401, 'token-invalid')
  await s.clock.advance(16 * 60 * SECOND)
  isProblem(t, await s.post('/messages', alice, { to: 'bob', type: 'x' }), 401, 'token-expired')
  t.equal((await s.post('/session/refresh', bob)).status, 401)
})
