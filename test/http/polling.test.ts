// GET /messages and what an exchange reads (protocol section 4): pages, waiting, cursors, resets,
// nonces, how many reads a mailbox may have. Waiting is turned by hand.
import t from 'tap'
import { NOON } from '../helpers/clock.ts'
import {
  isProblem,
  type Json,
  type Peer,
  SECRET,
  serve,
  type TestServer,
} from '../helpers/server.ts'

const SECOND = 1000

/** A server on which alice sends and bob reads; `cursor` is bob's. */
async function pair(t: Parameters<typeof serve>[0]) {
  const s = await serve(t, { secret: SECRET })
  const exp = NOON / 1000 + 86_400
  const alice = s.token({ sub: 'alice', exp, posthorn: { direct: ['*'] } })
  const bob = await s.open(s.token({ sub: 'bob', exp }))
  const cursor = await s.readAll(bob)
  const send = async (payload?: object) => {
    const { body, status } = await s.post('/messages', alice, { to: 'bob', type: 'x', payload })
    t.equal(status, 201)
    return body.deliveries[0].id as number
  }
  return { s, alice, bob, cursor, send }
}

const ids = ({ body }: { body: Json }) => body.messages.map(({ id }: Json) => id)

t.test('a page', async (t) => {
  const { s, bob, cursor, send } = await pair(t)
  const id = await send({ a: 1 })
  const page = await s.get(`/messages?since=${cursor}&wait=25`, bob)
  t.equal(page.status, 200, 'comes at once when something is there')
  t.equal(page.headers.get('content-type'), 'application/json; charset=utf-8')
  t.equal(page.headers.get('content-length'), String(Buffer.byteLength(page.text)))
  t.equal(page.headers.get('cache-control'), 'no-store')
  const { messages, ...rest } = page.body
  const serverTime = new Date(NOON).toISOString()
  t.same(rest, { cursor: id, newest: id, reset: false, serverTime })
  t.same(ids(page), [id])
  const empty = await s.get(`/messages?since=${id}&wait=0`, bob)
  t.same(empty.body, { messages: [], cursor: id, newest: id, reset: false, serverTime })
  t.equal(
    JSON.stringify(messages[0]),
    page.text.slice('{"messages":['.length, page.text.indexOf('],"cursor"')),
  )
})

t.test('waiting', async (t) => {
  t.test('ends when a message comes', async (t) => {
    const { s, bob, cursor, send } = await pair(t)
    const poll = s.get(`/messages?since=${cursor}&wait=25`, bob)
    await s.holds('poll', 1)
    const id = await send()
    t.same(ids(await poll), [id])
    await s.holds('poll', 0)
  })

  for (const [query, seconds] of [
    ['wait=25', 25],
    ['wait=3', 3],
    ['wait=0.5', 0.5],
    ['wait=99', 25],
    ['', 5],
  ] as const) {
    t.test(`ends with an empty page after ${seconds} s (${query || 'left out'})`, async (t) => {
      const { s, bob, cursor } = await pair(t)
      let isAnswered = false
      const poll = s.get(`/messages?since=${cursor}&${query}`, bob).finally(() => {
        isAnswered = true
      })
      await s.holds('poll', 1)
      await s.clock.advance(seconds * SECOND - 1)
      await s.get('/healthz')
      t.equal(isAnswered, false)
      await s.clock.advance(1)
      t.same((await poll).body.messages, [])
      t.equal((await poll).body.cursor, cursor)
    })
  }

  t.test('is 0 below 0', async (t) => {
    const { s, bob, cursor } = await pair(t)
    const { status } = await s.get(`/messages?since=${cursor}&wait=-3`, bob)
    t.equal(status, 200)
  })

  t.test('takes Prefer, but the query wins', async (t) => {
    const { s, bob, cursor } = await pair(t)
    const prefer = (value: string, query = '') =>
      s.get(`/messages?since=${cursor}${query}`, bob, { Prefer: value })
    for (const value of ['wait=2', 'respond-async, wait=2', 'wait="2"', 'WAIT = 2; foo=1']) {
      const poll = prefer(value)
      await s.holds('poll', 1)
      await s.clock.advance(2 * SECOND)
      t.equal((await poll).headers.get('preference-applied'), 'wait=2', value)
    }
    const clamped = prefer('wait=99')
    await s.holds('poll', 1)
    await s.clock.advance(25 * SECOND)
    t.equal((await clamped).headers.get('preference-applied'), 'wait=25', 'says what it applied')
    const both = await prefer('wait=20', '&wait=0')
    t.equal(both.headers.get('preference-applied'), null)
    const other = prefer('return=minimal')
    await s.holds('poll', 1)
    await s.clock.advance(5 * SECOND)
    t.equal((await other).headers.get('preference-applied'), null)
  })

  t.test('ends at once when the client goes away', async (t) => {
    const { s, bob, cursor } = await pair(t)
    const abort = new AbortController()
    const poll = s.request(`/messages?since=${cursor}&wait=25`, { who: bob, signal: abort.signal })
    await s.holds('poll', 1)
    abort.abort()
    await t.rejects(poll)
    await s.holds('poll', 0)
  })

  t.test('ends with its token', async (t) => {
    const { s, cursor } = await pair(t)
    const short = s.token({ sub: 'bob', exp: NOON / 1000 + 10 })
    const poll = s.get(`/messages?since=${cursor}&wait=25`, short)
    await s.holds('poll', 1)
    await s.clock.advance(15 * SECOND)
    t.equal((await poll).status, 200)
  })

  t.test('hears of a burst in one page', async (t) => {
    const { s, alice, bob, cursor } = await pair(t)
    const poll = s.get(`/messages?since=${cursor}&wait=25`, bob)
    await s.holds('poll', 1)
    const signals = Array.from({ length: 20 }, () => ({ to: 'bob', type: 'x' }))
    await s.post('/exchange', alice, { signals })
    t.equal((await poll).body.messages.length, 20)
  })

  t.test('keeps the peer online', async (t) => {
    const { s, alice, bob, cursor } = await pair(t)
    for (let polls = 0; polls < 3; polls++) {
      const poll = s.get(`/messages?since=${cursor}&wait=25`, bob)
      await s.holds('poll', 1)
      await s.clock.advance(25 * SECOND)
      await poll
    }
    t.equal((await s.get('/peers/bob', alice)).body.online, true)
  })
})

t.test('limit', async (t) => {
  const { s, bob, cursor, send } = await pair(t)
  const sent: number[] = []
  for (let n = 0; n < 7; n++) sent.push(await send())
  const page = (query: string) => s.get(`/messages?wait=0&${query}`, bob)
  t.same(ids(await page(`since=${cursor}&limit=3`)), sent.slice(0, 3))
  const second = await page(`since=${sent[2]}&limit=3`)
  t.same(ids(second), sent.slice(3, 6))
  t.equal(second.body.cursor, sent[5])
  t.equal(second.body.newest, sent[6], 'newest runs ahead of the cursor')
  t.same(ids(await page(`since=${cursor}&limit=0`)), sent.slice(0, 1), 'is at least 1')
  t.same(ids(await page(`since=${cursor}&limit=-5`)), sent.slice(0, 1))
  t.equal((await page(`since=${cursor}&limit=9999`)).body.messages.length, 7)
  const all = await page('since=0&limit=1')
  t.same(ids(all), sent, 'from 0 everything that is kept comes, whatever limit says')
  t.equal(all.body.cursor, sent[6])
})

t.test('reading is safe', async (t) => {
  const { s, bob, cursor, send } = await pair(t)
  const id = await send()
  for (let n = 0; n < 3; n++) t.same(ids(await s.get('/messages?wait=0', bob)), [id])
  await s.get(`/messages?wait=0&since=${id}`, bob)
  t.same(ids(await s.get('/messages?wait=0', bob)), [id], 'a cursor deletes nothing by itself')
  t.same(ids(await s.get(`/messages?wait=0&since=${cursor}`, bob)), [id])
})

t.test('resets', async (t) => {
  t.test('expired: below what has gone, and told once', async (t) => {
    const { s, bob, cursor, send } = await pair(t)
    await send()
    await s.clock.advance(120 * SECOND)
    const id = await send()
    const page = await s.get(`/messages?since=${cursor}&wait=25&limit=1`, bob)
    t.match(page.body, { reset: true, resetReason: 'expired', cursor: id, newest: id })
    t.same(ids(page), [id], 'with everything that is kept')
    const next = await s.get(`/messages?since=${page.body.cursor}&wait=0`, bob)
    t.equal(next.body.reset, false)
    t.equal('resetReason' in next.body, false)
  })

  t.test('expired, with nothing left: the cursor is the floor', async (t) => {
    const { s, bob, cursor, send } = await pair(t)
    const id = await send()
    await s.clock.advance(120 * SECOND)
    const { body } = await s.get(`/messages?since=${cursor}&wait=25`, bob)
    t.match(body, { messages: [], reset: true, resetReason: 'expired', cursor: id, newest: id })
  })

  t.test('evicted: acknowledged messages that made room', async (t) => {
    const { s, bob, cursor, send } = await pair(t)
    let newest = cursor
    for (let n = 0; n < 257; n++) {
      newest = await send()
      if (n % 60 === 59) await s.get(`/messages?since=${newest}&wait=0`, bob)
    }
    const { body } = await s.get(`/messages?since=${cursor}&wait=0`, bob)
    t.match(body, { reset: true, resetReason: 'evicted', cursor: newest })
    t.equal(body.messages.length, 256)
  })

  t.test('cursor-ahead: a cursor from another life', async (t) => {
    const { s, bob, cursor } = await pair(t)
    for (const since of [cursor + 1, Number.MAX_SAFE_INTEGER, '9'.repeat(30)]) {
      const { body } = await s.get(`/messages?since=${since}&wait=25`, bob)
      t.match(body, {
        messages: [],
        reset: true,
        resetReason: 'cursor-ahead',
        cursor,
        newest: cursor,
      })
    }
  })

  t.test('store-restarted: a cursor from before', async (t) => {
    const { s, bob, cursor } = await pair(t)
    const { body } = await s.get(`/messages?since=${cursor - 1}&wait=25`, bob)
    t.match(body, { reset: true, resetReason: 'store-restarted', cursor })
  })

  t.test('never from 0', async (t) => {
    const { s, bob, send } = await pair(t)
    await send()
    await s.clock.advance(120 * SECOND)
    t.equal((await s.get('/messages?since=0&wait=0', bob)).body.reset, false)
    t.equal((await s.get('/messages?wait=0', bob)).body.reset, false)
  })
})

t.test('a poll that is held is not told of a reset that is none', async (t) => {
  const { s, bob, cursor, send } = await pair(t)
  const poll = s.get(`/messages?since=${cursor}&wait=25`, bob)
  await s.holds('poll', 1)
  const id = await send()
  const { body } = await poll
  t.equal(body.reset, false)
  await s.clock.advance(200 * SECOND)
  const { body: later } = await s.get(`/messages?since=${id}&wait=0`, bob)
  t.match(later, { reset: false, messages: [], cursor: id }, 'what was read may expire')
})

t.test('nonces', async (t) => {
  const { s, bob, cursor } = await pair(t)
  const page = await s.get(`/messages?since=${cursor}&wait=0&n=a%22%3C%C3%A9`, bob)
  t.equal(page.body.n, 'a"<é', 'are echoed')
  t.equal('proof' in page.body, false)
  t.equal((await s.get(`/messages?wait=0&n=${'n'.repeat(64)}`, bob)).status, 200)
  isProblem(t, await s.get(`/messages?n=${'n'.repeat(65)}`, bob), 400, 'invalid-request')
})

t.test('a proven stream answers the polls with its nonce', async (t) => {
  const { s, bob, cursor } = await pair(t)
  const poll = s.get(`/messages?since=${cursor}&wait=25&n=nonce-1`, bob)
  const other = s.get(`/messages?since=${cursor}&wait=25&n=nonce-2`, bob)
  await s.holds('poll', 2)
  const stream = await s.stream(`?since=${cursor}&n=nonce-1`, bob)
  t.equal((await stream.next('hello')).data.n, 'nonce-1')
  await s.clock.advance(250)
  t.same((await stream.next('proof')).data, { n: 'nonce-1' })
  t.match((await poll).body, { n: 'nonce-1', proof: 'nonce-1', messages: [] })
  await s.holds('poll', 1)
  await s.clock.advance(25 * SECOND)
  t.match((await other).body, { n: 'nonce-2' })
  t.equal('proof' in (await other).body, false)
})

t.test('a ninth read ends the oldest', async (t) => {
  const { s, bob, cursor } = await pair(t)
  const query = `since=${cursor}&wait=25`
  const stream = await s.stream(`?since=${cursor}`, bob)
  await stream.next('heartbeat')
  const polls: Promise<unknown>[] = []
  for (let n = 0; n < 7; n++) {
    polls.push(s.get(`/messages?${query}`, bob))
    await s.holds('poll', n + 1)
  }
  t.equal(stream.of('bye').length, 0)
  const eighth = s.get(`/messages?${query}`, bob)
  const { reason, retryAfterMs } = (await stream.next('bye')).data
  t.equal(reason, 'too-many-reads', 'a stream with bye')
  t.ok(retryAfterMs > 0)
  await s.holds('poll', 8)
  const ninth = s.get(`/messages?${query}`, bob)
  t.same(((await polls[0]) as Json).body.messages, [], 'a poll with an empty page')
  await s.clock.advance(25 * SECOND)
  await Promise.all([...polls, eighth, ninth])
})

t.test('a query that is refused', async (t) => {
  const { s, bob } = await pair(t)
  const refused: [query: string, pointer: string][] = [
    ['since=abc', '/since'],
    ['since=', '/since'],
    ['since=1.5', '/since'],
    ['since=1e3', '/since'],
    ['since=0x10', '/since'],
    ['since=%201', '/since'],
    ['wait=abc', '/wait'],
    ['wait=', '/wait'],
    ['wait=1e3', '/wait'],
    ['wait=Infinity', '/wait'],
    ['wait=NaN', '/wait'],
    ['limit=abc', '/limit'],
    ['limit=1.5', '/limit'],
    ['limit=', '/limit'],
    ['since=1&since=1', '/since'],
    ['wait=0&wait=0', '/wait'],
    ['n=1&n=2', '/n'],
    ['other=1&other=2', '/other'],
  ]
  for (const [query, pointer] of refused) {
    const answer = await s.get(`/messages?${query}`, bob)
    isProblem(t, answer, 400, 'invalid-request', query)
    t.equal(answer.body.errors[0].pointer, pointer)
  }
  t.equal((await s.get('/messages?wait=0&unknown=%00&x', bob)).status, 200, 'not what is unknown')
})

t.test('HEAD is answered like GET, without a body', async (t) => {
  const { s, bob, send } = await pair(t)
  await send()
  const { status, text, headers } = await s.request('/messages?wait=0', {
    method: 'HEAD',
    who: bob,
  })
  t.equal(status, 200)
  t.equal(text, '')
  t.equal(headers.get('posthorn'), '1')
})

t.test('a mailbox is read by its peer alone', async (t) => {
  const { s, alice, bob, cursor, send } = await pair(t)
  const id = await send()
  for (const path of ['/messages?peer=bob', '/messages?from=bob', '/messages?to=bob&name=bob']) {
    const { body } = await s.get(`${path}&wait=0&since=0`, alice)
    t.same(body.messages, [], path)
  }
  t.equal((await s.get('/session', bob)).body.cursor, cursor)
  await s.get(`/messages?wait=0&since=${id}`, alice)
  t.equal((await s.get('/session', bob)).body.cursor, cursor, 'nor acknowledged by another')
})

// ---- exchange ----------------------------------------------------------------------------------

t.test('an exchange', async (t) => {
  t.test('sends and reads', async (t) => {
    const { s, alice, bob, cursor, send } = await pair(t)
    const id = await send({ to: 'read' })
    const signals = [
      { to: 'alice', type: 'x', payload: { n: 1 } },
      { to: 'nobody', type: 'x' },
      { to: 'alice', type: 'X' },
      'no signal',
      null,
      { to: 'alice', type: 'x', payload: { n: 2 } },
    ]
    const { status, body } = await s.post('/exchange', bob, { signals, since: cursor, wait: 25 })
    t.equal(status, 200)
    t.same(
      body.results.map((result: Json) => result.problem?.code ?? result.receipt?.kept),
      [1, 'peer-not-found', 'invalid-request', 'invalid-request', 'invalid-request', 1],
      'one result for each, in order',
    )
    t.same(
      body.results.map((result: Json) => result.status),
      [201, 404, 400, 400, 400, 201],
    )
    t.equal(body.results[2].problem.errors[0].pointer, '/type')
    t.match(body, {
      cursor: id,
      newest: id,
      reset: false,
      serverTime: new Date(NOON).toISOString(),
    })
    t.same(ids({ body }), [id])
    const { body: page } = await s.get('/messages?wait=0', alice)
    t.same(
      page.messages.map(({ payload }: Json) => payload.n),
      [1, 2],
      'in the order of the items',
    )
    t.equal(s.logs.filter((line) => line.includes('"level":50')).length, 0)
  })

  t.test('has the bytes of the poll', async (t) => {
    const { s, bob, cursor, send } = await pair(t)
    await send({ z: 1, a: [1.5, 'é'] })
    const poll = await s.get(`/messages?since=${cursor}&wait=0`, bob)
    const exchange = await s.post('/exchange', bob, { since: cursor })
    const stream = await s.stream(`?since=${cursor}`, bob)
    await stream.next('message')
    const message = poll.text.slice('{"messages":['.length, poll.text.indexOf('],"cursor"'))
    t.ok(exchange.text.includes(`"messages":[${message}],`))
    t.ok(stream.text.includes(`\ndata: ${message}\n\n`), 'and of the stream')
    stream.close()
  })

  t.test('without since only sends', async (t) => {
    const { s, bob, send } = await pair(t)
    await send()
    const { body } = await s.post('/exchange', bob, { wait: 25 })
    t.same(body, { results: [], messages: [], serverTime: new Date(NOON).toISOString() })
  })

  t.test('without signals waits as a poll does', async (t) => {
    const { s, bob, cursor, send } = await pair(t)
    const poll = s.postText('/exchange', bob, { since: cursor, wait: 10 })
    await s.holds('poll', 1)
    const id = await send()
    t.same(ids(await poll), [id])
    const empty = s.post('/exchange', bob, { since: id, wait: 99, signals: [] })
    await s.holds('poll', 1)
    await s.clock.advance(25 * SECOND)
    t.match((await empty).body, { messages: [], cursor: id, results: [] })
    const now = await s.post('/exchange', bob, { since: id })
    t.match(now.body, { messages: [], cursor: id }, 'at once where wait is left out')
  })

  t.test('acknowledges what since says', async (t) => {
    const { s, bob, send } = await pair(t)
    const id = await send()
    await s.post('/exchange', bob, { since: id })
    t.equal((await s.get('/session', bob)).body.cursor, id)
  })

  t.test('is refused as a whole where its own members are wrong', async (t) => {
    const { s, alice, bob } = await pair(t)
    const signal = { to: 'bob', type: 'x' }
    const refused: [body: object, pointer: string][] = [
      [{ signals: signal }, '/signals'],
      [{ signals: Array(65).fill(signal) }, '/signals'],
      [{ signals: 'text' }, '/signals'],
      [{ since: '5' }, '/since'],
      [{ since: 1.5 }, '/since'],
      [{ since: -1 }, '/since'],
      [{ since: 2 ** 53 }, '/since'],
      [{ since: 0, wait: '5' }, '/wait'],
      [{ since: 0, limit: 1.5 }, '/limit'],
      [{ since: 0, limit: '5' }, '/limit'],
      [{ idempotencyKey: 'a b' }, '/idempotencyKey'],
    ]
    for (const [body, pointer] of refused) {
      const answer = await s.post('/exchange', alice, { signals: [signal], ...body })
      const name = JSON.stringify(body).slice(0, 30)
      isProblem(t, answer, 400, 'invalid-request', name)
      t.equal(answer.body.errors?.[0].pointer, pointer, name)
    }
    t.same((await s.get('/messages?wait=0', bob)).body.messages, [], 'and sends nothing')
    const most = await s.post('/exchange', alice, { signals: Array(64).fill(signal), limit: 0 })
    t.equal(most.body.results.length, 64, '64 signals are taken')
    const nulls = { signals: null, since: null, wait: null, limit: null, idempotencyKey: null }
    t.equal((await s.post('/exchange', alice, nulls)).status, 200, 'null counts as left out')
  })
})

t.test('a message is not offered to a reader that was handed it in another life', async (t) => {
  const s: TestServer = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  await s.post('/messages', alice, { to: 'bob', type: 'x' })
  const { cursor } = (await s.get('/messages?wait=0', bob)).body
  await s.post('/session/end', bob)
  const { body } = await s.post('/sessions', undefined, { peer: 'bob', token: bob.token })
  const page = (await s.get(`/messages?wait=0&since=${cursor}`, body)).body
  t.same(page.messages, [], 'a new life begins empty')
  t.ok(page.newest >= cursor, 'and its ids go on above the old ones')
})
