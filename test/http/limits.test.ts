// Every limit of protocol section 3, from both sides: what just fits is taken, what is beyond is
// refused with its code, and what makes room again does.
import t from 'tap'
import { LIMITS } from '../../src/protocol/limits.ts'
import { NOON } from '../helpers/clock.ts'
import {
  type Answer,
  isProblem,
  type Json,
  type Peer,
  SECRET,
  serve,
  type TestServer,
  type Who,
} from '../helpers/server.ts'

const SECOND = 1000
const KIB = 1024

const sender = (s: TestServer, sub: string) =>
  s.token({
    sub,
    exp: NOON / 1000 + 86_400,
    posthorn: { rooms: ['*'], create: true, direct: ['*'] },
  })

/** Sends signals of about so many bytes until one is refused. @returns how many were kept, and that one */
async function fill(s: TestServer, who: Who, to: string, bytes: number, atMost = 400) {
  const payload = { t: 'x'.repeat(bytes) }
  const signals = (count: number) => Array(count).fill({ to, type: 'x', payload, ttl: 3600 })
  const batch = Math.max(1, Math.min(64, Math.floor((200 * KIB) / (bytes + 200))))
  for (let kept = 0; kept < atMost; ) {
    const { body } = await s.post('/exchange', who, {
      signals: signals(Math.min(batch, atMost - kept)),
    })
    for (const { status, problem } of body.results) {
      if (status !== 201) return { kept, problem }
      kept += 1
    }
  }
  return { kept: atMost, problem: undefined }
}

function isMailboxFull(t: Parameters<typeof serve>[0], answer: Answer, name: string): void {
  isProblem(t, answer, 429, 'mailbox-full', name)
  t.match(answer.headers.get('retry-after'), /^[1-9]\d*$/, `${name} has Retry-After`)
  t.equal(answer.headers.get('ratelimit'), null)
}

t.test('a signal has 64 KiB, as the JSON of its message', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = sender(s, 'alice')
  const bob = s.token({ sub: 'bob' })
  const post = (text: string) =>
    s.post('/messages', alice, { to: 'bob', type: 'x', payload: { t: text } })
  await post('')
  const empty = JSON.stringify((await s.get('/messages?wait=0', bob)).body.messages[0]).length
  const left = LIMITS.signalBytesMax - empty
  t.equal((await post('x'.repeat(left))).status, 201)
  const beyond = await post('x'.repeat(left + 1))
  isProblem(t, beyond, 413, 'too-large')
  t.equal(beyond.body.maxBytes, 65_536)
  t.equal((await post('é'.repeat(Math.floor(left / 2)))).status, 201, 'bytes count')
  isProblem(t, await post('é'.repeat(Math.floor(left / 2) + 1)), 413, 'too-large')
  t.equal((await post('\r\n'.repeat(Math.floor(left / 4)))).status, 201, 'a line end counts four')
  isProblem(t, await post('\r\n'.repeat(Math.floor(left / 4) + 1)), 413, 'too-large')
  const { messages } = (await s.get('/messages?wait=0', bob)).body
  t.same(
    messages.map((message: Json) => Buffer.byteLength(JSON.stringify(message)) <= 65_536),
    [true, true, true, true],
  )
})

t.test('a request has 256 KiB', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = sender(s, 'alice')
  const body = (bytes: number) => {
    const frame = JSON.stringify({ to: 'bob', type: 'x', ignored: '' }).length
    return JSON.stringify({ to: 'bob', type: 'x', ignored: 'x'.repeat(bytes - frame) })
  }
  t.equal((await s.postRaw('/messages', alice, body(LIMITS.requestBytesMax))).status, 201)
  const beyond = await s.postRaw('/messages', alice, body(LIMITS.requestBytesMax + 1))
  isProblem(t, beyond, 413, 'too-large')
  t.equal(beyond.body.maxBytes, 262_144)
})

t.test('JSON has 32 levels', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = sender(s, 'alice')
  const nested = (levels: number, open = '{"a":', close = '}') =>
    `{"to":"bob","type":"x","payload":{"a":${open.repeat(levels - 2)}1${close.repeat(levels - 2)}}}`
  for (const [open, close] of [
    ['{"a":', '}'],
    ['[', ']'],
  ]) {
    t.equal((await s.postRaw('/messages', alice, nested(32, open, close))).status, 201)
    const beyond = await s.postRaw('/messages', alice, nested(33, open, close))
    isProblem(t, beyond, 400, 'invalid-json', open)
    const abyss = await s.postRaw('/messages', alice, nested(30_000, open, close))
    isProblem(t, abyss, 400, 'invalid-json', 'very deep')
  }
  const unread = await s.postRaw('/session/heartbeat', alice, nested(33))
  isProblem(t, unread, 400, 'invalid-json', 'on every path')
  const broken = await s.postRaw('/messages', alice, '['.repeat(LIMITS.requestBytesMax))
  isProblem(t, broken, 400, 'invalid-json', 'also when it never ends')
})

t.test('unread messages of one sender: 64 in a mailbox', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const [alice, carol, bob] = [sender(s, 'alice'), sender(s, 'carol'), s.token({ sub: 'bob' })]
  const { kept, problem } = await fill(s, alice, 'bob', 1)
  t.equal(kept, 64)
  t.equal(problem.code, 'mailbox-full')
  isMailboxFull(t, await s.post('/messages', alice, { to: 'bob', type: 'x' }), 'the 65th')
  const other = { to: 'bob', type: 'x' }
  t.equal((await s.post('/messages', carol, other)).status, 201, 'others still get through')
  t.equal((await s.post('/messages', alice, { ...other, to: 'dave' })).status, 201, 'to others too')
  await s.readAll(bob)
  t.equal((await s.post('/messages', alice, other)).status, 201, 'what is acknowledged makes room')
})

t.test('unread messages of one sender: 256 KiB in a mailbox', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const { kept } = await fill(s, sender(s, 'alice'), 'bob', 60 * KIB)
  t.equal(kept, 4)
})

t.test('unread messages of one sender: 4 MiB in all mailboxes', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = sender(s, 'alice')
  let kept = 0
  let refused: string | undefined
  for (let n = 0; refused === undefined; n++) {
    const outcome = await fill(s, alice, `peer-${n}`, 63 * KIB, 4)
    kept += outcome.kept
    refused = outcome.problem?.code
  }
  t.equal(refused, 'mailbox-full')
  t.equal(kept, 64)
  isMailboxFull(
    t,
    await s.post('/messages', alice, {
      to: 'new',
      type: 'x',
      payload: { t: 'x'.repeat(63 * KIB) },
    }),
    'beyond 4 MiB',
  )
  await s.readAll(s.token({ sub: 'peer-0' }))
  t.equal((await fill(s, alice, 'new', 63 * KIB, 4)).kept, 4, 'whoever reads makes room')
})

t.test('a mailbox: 256 messages', async (t) => {
  const s = await serve(t, { secret: SECRET })
  for (let n = 0; n < 4; n++) t.equal((await fill(s, sender(s, `s${n}`), 'bob', 1)).kept, 64)
  const late = sender(s, 'late')
  isMailboxFull(t, await s.post('/messages', late, { to: 'bob', type: 'x' }), 'the 257th')
  const bob = s.token({ sub: 'bob' })
  const { messages } = (await s.get('/messages?wait=0', bob)).body
  await s.get(`/messages?wait=0&since=${messages[9].id}`, bob)
  t.equal((await fill(s, late, 'bob', 1)).kept, 10, 'ten were read')
  const { body } = await s.get('/messages?wait=0', bob)
  t.equal(body.messages.length, 256)
  t.equal(body.messages[0].id, messages[10].id, 'the oldest went first')
})

t.test('a mailbox: 1 MiB', async (t) => {
  const s = await serve(t, { secret: SECRET })
  let kept = 0
  for (let n = 0; n < 5; n++) kept += (await fill(s, sender(s, `s${n}`), 'bob', 60 * KIB)).kept
  t.equal(kept, 17)
})

t.test('all guests together: half a mailbox', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true })
  const bob = s.token({ sub: 'bob', posthorn: { rooms: ['*'], create: true } })
  await s.post('/rooms/guest-r/join', bob, { create: true })
  const guests: Peer[] = []
  for (let n = 0; n < 4; n++) guests.push(await s.guest(`guest-${n}`))
  for (const guest of guests) await s.post('/rooms/guest-r/join', guest)
  let kept = 0
  for (const guest of guests) kept += (await fill(s, guest, 'bob', 1)).kept
  t.equal(kept, 128)
  const direct = s.token({ sub: 'alice', posthorn: { direct: ['bob'] } })
  t.equal((await fill(s, direct, 'bob', 1)).kept, 64, 'the other half is for the others')
})

t.test('the server has 64 places more', async (t) => {
  const s = await serve(t)
  const [bob] = await s.roomOf('bob')
  t.ok(bob)
  const others: Peer[] = []
  for (let n = 0; n < 2; n++) others.push(await s.guest(`g${n}`))
  for (const other of others) {
    await s.post('/rooms/guest-room/join', other)
    await fill(s, other, 'bob', 1)
  }
  const { cursor } = (await s.get('/messages?wait=0', bob)).body
  const stays = others[0] as Peer
  for (let n = 0; n < 31; n++) {
    await s.post('/rooms/guest-room/leave', stays)
    await s.post('/rooms/guest-room/join', stays)
  }
  const page = () => s.get('/messages?wait=0', bob)
  t.equal((await page()).body.messages.length, 128 + 64, 'in a full mailbox too')
  t.match((await s.get(`/messages?wait=0&since=${cursor}`, bob)).body, { reset: false })
  const first = (await page()).body.messages[0].id
  await s.post('/rooms/guest-room/leave', stays)
  await s.post('/rooms/guest-room/join', stays)
  const { body } = await s.get(`/messages?wait=0&since=${first - 1}`, bob)
  t.match(
    body,
    { reset: true, resetReason: 'evicted' },
    'then its oldest goes, and the reader is told',
  )
  t.equal(body.messages.length, 128 + 64)
})

t.test('the store', async (t) => {
  const s = await serve(t, { secret: SECRET, memoryMaxBytes: 512 * KIB })
  const [bob, alice] = [s.token({ sub: 'p0' }), sender(s, 'alice')]
  let problem: Json
  const receivers: string[] = []
  for (let n = 0; problem === undefined; n++) {
    receivers.push(`p${n}`)
    problem = (await fill(s, sender(s, `s${n}`), `p${n}`, 30 * KIB)).problem
    if (problem?.code === 'mailbox-full') problem = undefined
  }
  t.equal(problem.code, 'store-full')
  t.equal(problem.status, 507)
  const large = { to: 'p0', type: 'x', payload: { t: 'x'.repeat(30 * KIB) } }
  isProblem(t, await s.post('/messages', alice, large), 507, 'store-full')
  const read = await s.get('/messages?wait=0', bob)
  t.equal(read.status, 200, 'reads go on')
  t.ok(read.body.messages.length > 0)
  isProblem(t, await s.post('/messages', alice, large), 507, 'store-full', 'what is unread stays')
  await s.get(`/messages?wait=0&since=${read.body.cursor}`, bob)
  t.equal(
    (await s.post('/messages', alice, { ...large, to: 'p0' })).status,
    201,
    'what is read goes',
  )
  const reset = await s.get(`/messages?wait=0&since=${read.body.messages[0].id}`, bob)
  t.match(reset.body, { reset: true, resetReason: 'evicted' }, 'and its reader is told')
})

t.test('signals a second', async (t) => {
  const s = await serve(t, { secret: SECRET, rateLimit: 10 })
  const alice = sender(s, 'alice')
  const post = (who = alice, to = 'bob') => s.post('/messages', who, { to, type: 'x', ttl: 5 })
  const burst = async () => {
    for (let kept = 0; ; kept++) {
      const answer = await post()
      if (answer.status !== 201) return { kept, answer }
    }
  }
  const { kept, answer } = await burst()
  t.equal(kept, 20, 'a burst of twice the rate')
  isProblem(t, answer, 429, 'rate-limited')
  t.equal(answer.headers.get('retry-after'), '1')
  t.equal(answer.headers.get('ratelimit'), '"signals";r=0;t=1')
  t.equal(answer.headers.get('ratelimit-policy'), '"signals";q=20;w=2')
  t.equal((await post(sender(s, 'carol'))).status, 201, 'each peer has its own')
  await s.clock.advance(SECOND)
  t.equal((await burst()).kept, 10)
  await s.clock.advance(60 * SECOND)
  const signals = Array(30).fill({ to: 'bob', type: 'x', ttl: 5 })
  const { body } = await s.post('/exchange', alice, { signals })
  t.equal(body.results.filter((r: Json) => r.status === 201).length, 20, 'in an exchange too')
  t.equal(body.results[25].problem.code, 'rate-limited')
  t.equal((await s.get('/messages?wait=0', alice)).status, 200, 'reading costs nothing')
  t.equal((await s.get('/session', alice)).body.limits.signalsPerSecondMax, 10)
})

t.test('a signal costs one for each 10 recipients begun', async (t) => {
  const s = await serve(t, { secret: SECRET, rateLimit: 10 })
  const tokens = Array.from({ length: 22 }, (_, n) => sender(s, `p${n}`))
  for (const token of tokens) {
    t.equal((await s.post('/rooms/r/join', token, { create: true })).status, 200)
  }
  await s.clock.advance(10 * SECOND)
  let kept = 0
  while ((await s.post('/messages', tokens[0], { room: 'r', type: 'x' })).status === 201) kept += 1
  t.equal(kept, 6, '21 recipients cost three')
  await s.clock.advance(10 * SECOND)
  let moves = 0
  const who = tokens[1]
  for (const path of Array(20).fill(['leave', 'join']).flat()) {
    const answer = await s.post(`/rooms/r/${path}`, who)
    if (answer.status > 204) {
      isProblem(t, answer, 429, 'rate-limited', path)
      break
    }
    moves += 1
  }
  t.ok(moves === 6 || moves === 7, `a join or leave costs as much (${moves})`)
})

t.test('a rate limit of 0 is none', async (t) => {
  const s = await serve(t, { secret: SECRET, rateLimit: 0 })
  const alice = sender(s, 'alice')
  const signals = Array.from({ length: 64 }, (_, n) => ({ to: `p${n}`, type: 'x' }))
  for (let n = 0; n < 10; n++) {
    const { body } = await s.post('/exchange', alice, { signals })
    t.equal(body.results.filter((r: Json) => r.status === 201).length, 64)
  }
})

t.test('rooms of a peer: 64', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  for (let n = 0; n < 64; n++) {
    const { status } = await s.post(`/rooms/r${n}/join`, alice, { create: true })
    if (status !== 200) t.fail(`room ${n}: ${status}`)
  }
  const beyond = await s.post('/rooms/r64/join', alice, { create: true })
  isProblem(t, beyond, 429, 'rate-limited')
  t.match(beyond.headers.get('retry-after'), /^\d+$/)
  t.equal((await s.post('/rooms/r5/join', alice)).status, 200, 'joining again is no new one')
  await s.post('/rooms/r0/leave', alice)
  t.equal((await s.post('/rooms/r64/join', alice, { create: true })).status, 200)
})

t.test('new guest sessions: 30 a minute and 60 at once, of one address', async (t) => {
  const s = await serve(t, { rateLimit: 100 })
  const burst = async () => {
    for (let count = 0; ; count++) {
      const answer = await s.post('/sessions')
      if (answer.status !== 201) return { count, answer }
    }
  }
  const { count, answer } = await burst()
  t.equal(count, 60)
  isProblem(t, answer, 429, 'rate-limited')
  t.equal(answer.headers.get('retry-after'), '2')
  t.equal(answer.headers.get('ratelimit'), '"guests";r=0;t=2')
  t.equal(answer.headers.get('ratelimit-policy'), '"guests";q=60;w=120')
  await s.clock.advance(20 * SECOND)
  t.equal((await burst()).count, 10)
})

t.test('a token: 4 KiB', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const long = (chars: number) => s.token({ sub: 'alice', ignored: 'x'.repeat(chars) })
  let chars = 2900
  while (long(chars + 1).length <= LIMITS.tokenBytesMax) chars += 1
  t.equal((await s.get('/session', long(chars))).status, 200)
  isProblem(t, await s.get('/session', long(chars + 3)), 401, 'token-invalid')
})

t.test('the limits that a client is told are the ones that hold', async (t) => {
  const s = await serve(t, { rateLimit: 7, messageTtlMs: 9000 })
  const { limits } = (await s.get('/session', await s.guest('alice'))).body
  for (const [name, number] of Object.entries(limits)) {
    t.ok(Number.isInteger(number), `${name} is an integer`)
    const fixed = (LIMITS as Record<string, number>)[name]
    if (fixed !== undefined) t.equal(number, fixed, name)
  }
  t.match(limits, { signalsPerSecondMax: 7, messageTtlDefaultMs: 9000 })
})
