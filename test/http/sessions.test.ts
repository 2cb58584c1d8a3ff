// Sessions over HTTP (protocol section 2): guests and who holds a name, tokens of an application,
// tickets, refreshing, ending, the snapshot. Lifetimes are turned by hand.
import t from 'tap'
import { clientLimits } from '../../src/protocol/limits.ts'
import { NOON } from '../helpers/clock.ts'
import { forge, isProblem, type Peer, SECRET, serve, withSecret } from '../helpers/server.ts'

const SECOND = 1000
const LEEWAY = 5 * SECOND
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

t.test('a guest', async (t) => {
  const s = await serve(t)
  const { status, body, headers } = await s.post('/sessions', undefined, { peer: 'alice' })
  t.equal(status, 201)
  t.same(Object.keys(body).sort(), [
    'expiresAt',
    'limits',
    'peer',
    'refreshAfterMs',
    'server',
    'ticket',
    'token',
  ])
  t.equal(body.peer, 'alice', 'gets the name it wishes')
  t.equal(body.expiresAt, new Date(NOON + 15 * MINUTE).toISOString(), 'for 15 minutes')
  t.equal(body.refreshAfterMs, 12 * MINUTE, 'and refreshes after four fifths of them')
  t.same(body.limits, clientLimits({ messageTtlMs: 120_000, rateLimit: 0 }))
  t.same(body.server, { version: body.server.version, store: 'memory' })
  t.match(body.server.version, /^\d+\.\d+\.\d+/)
  t.match(body.ticket, /^[\w-]{22}$/, 'a ticket has 128 bits')
  t.equal(headers.get('posthorn'), '1')
  t.equal(headers.get('cache-control'), 'no-store')

  const nameless = await s.post('/sessions')
  t.equal(nameless.status, 201)
  t.match(nameless.body.peer, /^guest-[0-9a-f-]{36}$/, 'gets an unguessable name without a wish')
  t.equal((await s.request('/sessions', { method: 'POST' })).status, 201, 'needs no body')
  t.equal((await s.post('/sessions', undefined, { peer: null, info: null })).status, 201)
  t.equal((await s.post('/sessions', undefined, { info: [] })).status, 201, 'PHP writes {} as []')
  t.equal((await s.postText('/sessions', undefined, { peer: 'text' })).status, 201)
})

t.test('what a guest asks for is checked', async (t) => {
  const s = await serve(t)
  for (const peer of [
    '',
    '@server',
    '-a',
    '.a',
    'a b',
    'a:b:c',
    'a:',
    ':a',
    'a'.repeat(65),
    5,
    {},
  ]) {
    const answer = await s.post('/sessions', undefined, { peer })
    isProblem(t, answer, 400, 'invalid-request', JSON.stringify(peer).slice(0, 20))
    t.equal(answer.body.errors[0].pointer, '/peer')
  }
  for (const info of ['x', 5, [1], true]) {
    const answer = await s.post('/sessions', undefined, { info })
    isProblem(t, answer, 400, 'invalid-request', `info ${JSON.stringify(info)}`)
  }
  const large = await s.post('/sessions', undefined, { info: { text: 'x'.repeat(1024) } })
  isProblem(t, large, 413, 'too-large')
  t.equal(large.body.maxBytes, 1024)
  const fits = await s.post('/sessions', undefined, { info: { t: 'x'.repeat(1024 - 8) } })
  t.equal(fits.status, 201, '1 KiB of info is allowed')
  const wide = await s.post('/sessions', undefined, { info: { t: 'ä'.repeat(510) } })
  isProblem(t, wide, 413, 'too-large', 'bytes count, not characters')
  for (const token of [5, {}, true]) {
    const answer = await s.post('/sessions', undefined, { token })
    isProblem(t, answer, 400, 'invalid-request', `token ${JSON.stringify(token)}`)
  }
})

t.test('the name of a guest', async (t) => {
  t.test('is taken while it is known', async (t) => {
    const s = await serve(t)
    const alice = await s.guest('alice')
    const again = () => s.post('/sessions', undefined, { peer: 'alice' })
    isProblem(t, await again(), 409, 'peer-taken')
    await s.clock.advance(45 * SECOND + 9 * MINUTE)
    isProblem(t, await again(), 409, 'peer-taken', 'after its lease')
    await s.clock.advance(MINUTE)
    const other = await again()
    t.equal(other.status, 201, 'not ten minutes after its lease')
    const back = await s.post('/sessions', undefined, { peer: 'alice', token: alice.token })
    isProblem(t, back, 409, 'peer-taken', 'its earlier holder')
  })

  t.test('comes back to whoever shows the token', async (t) => {
    const s = await serve(t)
    const alice = await s.guest('alice')
    const back = await s.post('/sessions', undefined, { peer: 'alice', token: alice.token })
    t.equal(back.status, 201)
    t.not(back.body.token, alice.token)
    await s.clock.advance(16 * MINUTE)
    const late = await s.post('/sessions', undefined, { peer: 'alice', token: back.body.token })
    t.equal(late.status, 201, 'also when it has ended')
    const bob = await s.guest('bob')
    const stolen = await s.post('/sessions', undefined, { peer: 'alice', token: bob.token })
    isProblem(t, stolen, 409, 'peer-taken', 'another token')
    const broken = await s.post('/sessions', undefined, { peer: 'alice', token: 'broken' })
    isProblem(t, broken, 409, 'peer-taken', 'no token')
  })

  t.test('is reserved for an hour when it was given up', async (t) => {
    const s = await serve(t)
    const alice = await s.guest('alice')
    t.equal((await s.post('/session/end', alice)).status, 204)
    const wish = { peer: 'alice' }
    isProblem(t, await s.post('/sessions', undefined, wish), 409, 'peer-taken')
    const back = await s.post('/sessions', undefined, { ...wish, token: alice.token })
    t.equal(back.status, 201, 'for its holder')
    t.equal((await s.post('/session/end', back.body)).status, 204)
    await s.clock.advance(HOUR - SECOND)
    isProblem(t, await s.post('/sessions', undefined, wish), 409, 'peer-taken')
    await s.clock.advance(SECOND)
    t.equal((await s.post('/sessions', undefined, wish)).status, 201)
  })

  t.test('is not free while its mailbox holds something', async (t) => {
    const s = await serve(t, { secret: SECRET, guests: true })
    const alice = s.token({ sub: 'alice', posthorn: { direct: ['*'] } })
    const sent = await s.post('/messages', alice, { to: 'guest-new', type: 'x', ttl: 3600 })
    t.equal(sent.status, 201)
    const wish = { peer: 'guest-new' }
    isProblem(t, await s.post('/sessions', undefined, wish), 409, 'peer-taken')
    await s.clock.advance(HOUR)
    t.equal((await s.post('/sessions', undefined, wish)).status, 201, 'once that has expired')
  })

  t.test('belongs to one holder with all its devices', async (t) => {
    const s = await serve(t)
    const alice = await s.guest('alice')
    const wish = { peer: 'alice:phone' }
    isProblem(t, await s.post('/sessions', undefined, wish), 409, 'peer-taken', 'a stranger')
    const phone = await s.post('/sessions', undefined, { ...wish, token: alice.token })
    t.equal(phone.status, 201, 'who holds the name gets a device of it')
    t.equal(phone.body.peer, 'alice:phone')
    const lonely = await s.post('/sessions', undefined, { peer: 'bob:phone' })
    isProblem(t, lonely, 409, 'peer-taken', 'of a name that nobody holds')
  })
})

t.test('where guests are off nobody gets a session', async (t) => {
  const s = await serve(t, { guests: false })
  isProblem(t, await s.post('/sessions'), 403, 'guests-off')
  isProblem(t, await s.post('/sessions', undefined, { peer: '@' }), 403, 'guests-off', 'first')
})

t.test('beside a secret guests have names and rooms of their own', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true })
  isProblem(t, await s.post('/sessions', undefined, { peer: 'alice' }), 403, 'not-allowed')
  const guest = await s.guest('guest-a')
  t.equal((await s.post('/rooms/guest-x/join', guest, { create: true })).status, 200)
  const other = await s.post('/rooms/team/join', guest, { create: true })
  isProblem(t, other, 404, 'room-not-found')
  const impostor = s.token({ sub: 'alice', posthorn: { peer: 'guest-a' } })
  isProblem(t, await s.get('/session', impostor), 401, 'token-invalid', 'an application')
})

t.test('a guest has no direct', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  await s.guest('bob')
  const answer = await s.post('/messages', alice, { to: 'bob', type: 'x' })
  isProblem(t, answer, 404, 'peer-not-found')
})

t.test('session/open', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const claims = { sub: 'alice', exp: NOON / 1000 + 600 }
  const token = s.token(claims)
  const { status, body } = await s.post('/session/open', token)
  t.equal(status, 200)
  t.match(body, { peer: 'alice', token, ticket: /^[\w-]{22}$/, refreshAfterMs: 480_000 })
  t.equal(body.expiresAt, new Date(NOON + 600_000).toISOString())
  const inBody = await s.postText('/session/open', token)
  t.equal(inBody.status, 200, 'takes the token in a text/plain body')
  t.not(inBody.body.ticket, body.ticket)

  const poll = s.get(`/messages?wait=25&ticket=${body.ticket}`)
  await s.holds('poll', 1)
  const stream = await s.stream(`?ticket=${body.ticket}`)
  await stream.next('hello')
  const fresh = s.token({ ...claims, exp: NOON / 1000 + 1200 })
  t.equal((await s.post('/session/open', fresh)).status, 200)
  await s.clock.advance(25 * SECOND)
  t.equal((await poll).status, 200)
  await s.clock.advance(30 * SECOND)
  t.equal((await stream.next('bye')).data.reason, 'max-age')
  for (let minutes = 1; minutes <= 10; minutes++) {
    await s.clock.advance(MINUTE)
    t.equal((await s.get(`/session?ticket=${body.ticket}`)).status, 200, `minute ${minutes}`)
  }
  isProblem(t, await s.get('/session', token), 401, 'token-expired', 'the old token')
  const { expiresAt } = (await s.get(`/session?ticket=${body.ticket}`)).body
  t.equal(expiresAt, new Date(NOON + 1_200_000).toISOString(), 'carries tickets on')
})

t.test('a fresh token carries an open stream over the end of the old one', async (t) => {
  const s = await serve(t, { secret: SECRET, streamMaxAgeMs: 10 * MINUTE })
  const exp = NOON / 1000 + 90
  const stream = await s.stream('', s.token({ sub: 'alice', exp }))
  await stream.next('hello')
  await s.clock.advance(30 * SECOND)
  t.equal((await stream.next('token-expiring')).data.expiresInMs, 60_000)
  await s.post('/session/open', s.token({ sub: 'alice', exp: exp + 300 }))
  await s.clock.advance(2 * MINUTE)
  t.equal(stream.of('bye').length, 0)
  await s.clock.advance(4 * MINUTE)
  t.equal((await stream.next('bye')).data.reason, 'token-expired', 'until its own end')
})

t.test('session/refresh', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true })
  const guest = await s.guest('guest-a')
  const { status, body } = await s.post('/session/refresh', guest)
  t.equal(status, 200)
  t.not(body.token, guest.token)
  t.equal((await s.get('/session', guest)).status, 200, 'leaves the old token alive')
  await s.clock.advance(15 * MINUTE + LEEWAY)
  isProblem(t, await s.get('/session', body), 401, 'token-expired')
  t.equal((await s.post('/session/refresh', body)).status, 200, 'takes a token that has ended')
  await s.clock.advance(MINUTE - LEEWAY - SECOND)
  t.equal((await s.post('/session/refresh', body)).status, 200, 'until 60 s after its end')
  await s.clock.advance(SECOND)
  isProblem(t, await s.post('/session/refresh', body), 401, 'token-expired')
  const token = s.token({ sub: 'alice' })
  isProblem(t, await s.post('/session/refresh', token), 403, 'not-allowed', 'of others')
})

t.test('a guest session lasts 24 hours', async (t) => {
  const s = await serve(t)
  let session = await s.guest('alice')
  const pass = (ms: number) => {
    // Times in tokens are those of the system's clock.
    s.clock.wallAheadMs += ms
  }
  for (let minutes = 0; minutes + 14 < 24 * 60; minutes += 14) {
    pass(14 * MINUTE)
    const { status, body } = await s.post('/session/refresh', session)
    if (status !== 200) t.fail(`refused after ${minutes + 14} minutes`)
    session = body as Peer
  }
  const leftMs = NOON + 24 * HOUR - s.clock.wall()
  const { body } = await s.get('/session', session)
  t.equal(Date.parse(body.expiresAt) - s.clock.now(), leftMs, 'its last token ends with it')
  pass(leftMs - SECOND)
  t.equal((await s.post('/session/refresh', session)).status, 200)
  pass(SECOND)
  isProblem(t, await s.post('/session/refresh', session), 401, 'token-expired')
})

t.test('session/heartbeat renews the lease', async (t) => {
  const s = await serve(t, { leaseMs: 20_000 })
  const [alice, bob] = await s.roomOf('alice', 'bob')
  await s.clock.advance(15 * SECOND)
  const beat = await s.post('/session/heartbeat', bob)
  t.equal(beat.status, 200)
  t.same(beat.body, { leaseExpiresInMs: 20_000 })
  await s.postText('/session/heartbeat', alice)
  await s.clock.advance(15 * SECOND)
  const { body } = await s.get('/peers/bob', alice)
  t.same(body, { peer: 'bob', online: true, lastSeenAt: new Date(NOON + 15_000).toISOString() })
  await s.clock.advance(10 * SECOND)
  t.equal((await s.get('/peers/bob', alice)).status, 404, 'gone from the room by timeout')
})

t.test('session/end', async (t) => {
  const s = await serve(t)
  const [alice, bob] = await s.roomOf('alice', 'bob')
  t.ok(alice && bob)
  await s.post('/messages', alice, { to: 'bob', type: 'x' })
  const poll = s.get(`/messages?wait=25&since=${NOON * 2000}`, alice)
  const held = s.get(`/messages?wait=25&since=${await s.readAll(alice)}`, alice)
  await s.holds('poll', 1)
  const stream = await s.stream('', alice)
  await stream.next('hello')
  const end = await s.postText('/session/end', alice)
  t.equal(end.status, 204, 'takes what navigator.sendBeacon posts')
  t.equal(end.text, '')
  t.equal((await poll).body.resetReason, 'cursor-ahead')
  t.same((await held).body.messages, [], 'answers the polls')
  t.equal((await stream.next('bye')).data.reason, 'session-ended', 'ends the streams')
  await stream.ended()
  isProblem(t, await s.get('/session', alice), 401, 'token-invalid', 'revokes the token')
  isProblem(t, await s.post('/session/refresh', alice), 401, 'token-invalid')
  isProblem(t, await s.post('/session/end', alice), 401, 'token-invalid')
  isProblem(t, await s.get(`/session?ticket=${alice?.ticket}`), 403, 'ticket-unknown')
  const { body } = await s.get('/messages?wait=0', bob)
  t.same(
    body.messages.map(({ type, from, payload }: Record<string, unknown>) => [type, from, payload]),
    [
      ['x', 'alice', undefined],
      ['peer-left', '@server', { peer: 'alice', reason: 'ended' }],
    ],
    'leaves the rooms',
  )
  t.same((await s.get('/rooms/guest-room', bob)).body.members, [])
  t.equal(await s.metric('posthorn_mailboxes'), 1, 'forgets the mailbox')
})

t.test('an ended token stays revoked however its signature is spelled', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const claims = { sub: 'alice', exp: NOON / 1000 + 600 }
  const token = forge({ alg: 'HS256' }, claims, withSecret(SECRET))
  t.equal((await s.post('/session/end', token)).status, 204)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(token.at(-1) as string)
  for (let bits = 0; bits < 4; bits++) {
    const spelled = token.slice(0, -1) + alphabet[(last & ~3) | bits]
    isProblem(t, await s.get('/session', spelled), 401, 'token-invalid', `bits ${bits}`)
  }
  for (const spelled of [`${token}=`, token.replaceAll('-', '+').replaceAll('_', '/')]) {
    isProblem(t, await s.get('/session', spelled), 401, 'token-invalid', 'other alphabets')
  }
})

t.test('an ended token is revoked for all tokens with its jti', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const first = s.token({ sub: 'alice', jti: 'one' })
  const same = s.token({ sub: 'alice', jti: 'one', exp: NOON / 1000 + 900 })
  const other = s.token({ sub: 'alice', jti: 'two' })
  t.equal((await s.post('/session/end', first)).status, 204)
  isProblem(t, await s.get('/session', same), 401, 'token-invalid')
  t.equal((await s.get('/session', other)).status, 200, 'others live on')
})

t.test('a ticket', async (t) => {
  const s = await serve(t)
  const { ticket, token } = await s.guest('alice')
  for (const path of ['/session', '/messages?wait=0', '/peers/alice']) {
    const glue = path.includes('?') ? '&' : '?'
    const { status } = await s.get(`${path}${glue}ticket=${ticket}`)
    t.equal(status, path === '/peers/alice' ? 404 : 200, `reads ${path}`)
  }
  for (const path of ['/messages', '/session/heartbeat', '/session/end', '/rooms/r/join']) {
    const answer = await s.post(`${path}?ticket=${ticket}`, undefined, { ticket })
    isProblem(t, answer, 401, 'token-missing', `does not post ${path}`)
  }
  const asToken = await s.get('/session', ticket)
  isProblem(t, asToken, 401, 'token-invalid', 'is no token')
  const repeated = await s.get(`/session?ticket=${ticket}&ticket=${ticket}`)
  isProblem(t, repeated, 400, 'invalid-request', 'stands once')
  isProblem(t, await s.get('/session?ticket='), 403, 'ticket-unknown', 'empty')
  isProblem(t, await s.get(`/session?ticket=${token}`), 403, 'ticket-unknown', 'a token')
  const both = await s.get('/session?ticket=unknown', token)
  t.equal(both.status, 200, 'is not looked at beside a token')
  const basic = await s.get(`/session?ticket=${ticket}`, undefined, { Authorization: 'Basic YTpi' })
  t.equal(basic.status, 200, 'counts beside another scheme')

  await s.clock.advance(2 * MINUTE - SECOND)
  t.equal((await s.get(`/session?ticket=${ticket}`)).status, 200, 'lives while it is used')
  await s.clock.advance(2 * MINUTE)
  isProblem(t, await s.get(`/session?ticket=${ticket}`), 403, 'ticket-unknown', 'two minutes later')
})

t.test('a ticket dies with its token', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const { ticket } = await s.open(s.token({ sub: 'alice', exp: NOON / 1000 + 30 }))
  t.equal((await s.get(`/session?ticket=${ticket}`)).status, 200)
  await s.clock.advance(30 * SECOND + LEEWAY)
  isProblem(t, await s.get(`/session?ticket=${ticket}`), 403, 'ticket-unknown')
})

t.test('a ninth ticket ends the oldest', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const token = s.token({ sub: 'alice' })
  const tickets: string[] = []
  for (let n = 0; n < 9; n++) tickets.push((await s.open(token)).ticket)
  const statuses = []
  for (const ticket of tickets) statuses.push((await s.get(`/session?ticket=${ticket}`)).status)
  t.same(statuses, [403, ...Array(8).fill(200)])
})

t.test('where the token stands', async (t) => {
  const s = await serve(t)
  const { token } = await s.guest('alice')
  const other = (await s.guest('bob')).token
  const beat = (headers: Record<string, string>, body: unknown) =>
    s.post('/session/heartbeat', undefined, body, headers)
  const bearer = { Authorization: `Bearer ${token}` }
  t.equal((await beat(bearer, {})).status, 200, 'as Bearer')
  t.equal((await beat({ Authorization: `bEARER   ${token} ` }, {})).status, 200, 'in any case')
  t.equal((await beat({}, { token })).status, 200, 'in the body')
  t.equal((await beat(bearer, { token })).status, 200, 'in both')
  t.equal((await beat(bearer, { token: null })).status, 200, 'null counts as left out')
  t.equal((await beat({ Authorization: 'Basic YTpi' }, { token })).status, 200, 'beside Basic')
  isProblem(t, await beat(bearer, { token: other }), 400, 'invalid-request', 'two tokens')
  isProblem(t, await beat(bearer, { token: '' }), 400, 'invalid-request', 'an empty second')
  isProblem(t, await beat({}, { token: 5 }), 400, 'invalid-request', 'a number')
  isProblem(t, await beat({}, {}), 401, 'token-missing', 'nowhere')
  isProblem(t, await beat({ Authorization: 'Basic YTpi' }, {}), 401, 'token-missing', 'Basic')
  isProblem(t, await s.get(`/session?token=${token}`), 401, 'token-missing', 'never in a URL')
  const cookie = await s.get('/session', undefined, { Cookie: `token=${token}` })
  isProblem(t, cookie, 401, 'token-missing', 'never in a cookie')
})

t.test('the snapshot', async (t) => {
  const s = await serve(t)
  const [alice, bob] = await s.roomOf('alice', 'bob')
  const before = (await s.get('/session', bob)).body
  await s.clock.advance(SECOND)
  const sent = (await s.post('/messages', alice, { to: 'bob', type: 'x' })).body
  const { id } = sent.deliveries[0]
  t.ok(id > before.newest, 'what is stored later has a greater id')
  const { status, body } = await s.get('/session', bob)
  t.equal(status, 200)
  t.match(body, {
    peer: 'bob',
    cursor: before.cursor,
    newest: id,
    rooms: ['guest-room'],
    calls: [],
  })
  await s.get(`/messages?wait=0&since=${id}`, bob)
  t.equal((await s.get('/session', bob)).body.cursor, id, 'shows the greatest cursor presented')
  await s.get(`/messages?wait=0&since=${before.cursor}`, bob)
  t.equal((await s.get('/session', bob)).body.cursor, id, 'also when a reader is behind')
  t.equal((await s.get('/session', await s.guest('carol'))).body.cursor, 0, '0 without a reader')
  isProblem(t, await s.get('/session?a=1&a=2', bob), 400, 'invalid-request', 'a repeated parameter')
})
