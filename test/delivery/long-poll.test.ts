// One page for one request (protocol section 4): at once when something is there, else with the
// doorbell, else empty when the wait is over. Time is turned by hand, and whatever ends a poll
// leaves no timer behind.
import t, { type Test } from 'tap'
import { messageFrame } from '../../src/delivery/frames.ts'
import type { Read, ReadOptions } from '../../src/delivery/hub.ts'
import { entryJson, type Page, pageMembers, pollPage } from '../../src/delivery/long-poll.ts'
import { NOON, settle } from '../helpers/clock.ts'
import { makeDelivery } from '../helpers/delivery.ts'
import { decodeText } from '../helpers/events.ts'
import { seqsOf } from '../helpers/letters.ts'

const SECOND = 1000

interface Asked extends Partial<ReadOptions> {
  since?: number
  limit?: number
  waitMs?: number
}

/** A delivery and a way to poll it as a route does: open the read, poll, close it. */
function makePolls() {
  const parts = makeDelivery()
  const { context, hub } = parts
  const poll = (asked: Asked = {}) => {
    const { since = 0, limit = 100, waitMs = 25 * SECOND, ...options } = asked
    const expiresAt = NOON + 3600 * SECOND
    const read = hub.open({ peer: 'bob', kind: 'poll', expiresAt, ...options })
    const held: { read: Read; page: Page | undefined } = { read, page: undefined }
    pollPage(context, { read, since, limit, waitMs }).then((page) => {
      held.page = page
      hub.close(read)
    })
    return held
  }
  return { ...parts, poll }
}

type Polls = ReturnType<typeof makePolls>

/** One fact about polls; none of them leaves a timer behind. */
const fact = (t: Test, name: string, body: (t: Test, polls: Polls) => Promise<void>) =>
  t.test(name, async (t) => {
    const polls = makePolls()
    await body(t, polls)
    t.equal(polls.clock.waiting, 0, 'no timer is left behind')
  })

t.test('a page comes at once', async (t) => {
  fact(t, 'when something is there', async (t, { post, poll }) => {
    await post()
    const held = poll()
    await settle()
    t.match(held.page, { entries: [{ letter: { from: 'alice' } }], reset: undefined })
  })

  fact(t, 'when no wait is asked for', async (t, { poll }) => {
    const held = poll({ waitMs: 0 })
    await settle()
    t.match(held.page, { entries: [], reset: undefined })
    t.equal(held.page?.cursor, held.page?.newest)
  })

  fact(t, 'when something was lost', async (t, { clock, post, poll }) => {
    const first = await post()
    const second = await post({ expiresAt: NOON + 5 * SECOND })
    await clock.advance(5 * SECOND)
    const held = poll({ since: first })
    await settle()
    t.match(held.page, { reset: 'expired', cursor: second })
    t.same(seqsOf(held.page?.entries ?? []), [1])
  })

  fact(t, 'when the cursor is ahead', async (t, { poll }) => {
    const held = poll({ since: NOON * 2000 })
    await settle()
    t.match(held.page, { reset: 'cursor-ahead', entries: [] })
  })

  fact(t, 'when the token has ended', async (t, { poll }) => {
    const held = poll({ expiresAt: NOON })
    await settle()
    t.match(held.page, { entries: [] })
  })
})

t.test('a page comes with a message', async (t) => {
  fact(t, 'in the turn in which it is stored', async (t, { clock, post, poll }) => {
    const held = poll()
    await clock.advance(7 * SECOND)
    t.equal(held.page, undefined)
    const id = await post()
    await settle()
    t.match(held.page, { entries: [{ id }], cursor: id, newest: id })
  })

  fact(t, 'holds all of a burst', async (t, { post, poll }) => {
    const held = poll()
    await settle()
    for (let n = 0; n < 5; n++) await post()
    await settle()
    t.same(seqsOf(held.page?.entries ?? []), [1, 2, 3, 4, 5])
  })

  fact(t, 'does not linger when it is full', async (t, { post, poll }) => {
    const since = await post()
    const held = poll({ since, limit: 2 })
    await settle()
    for (let n = 0; n < 3; n++) await post()
    await settle()
    t.same(seqsOf(held.page?.entries ?? []), [2, 3])
  })

  fact(t, 'is of the mailbox that was asked for', async (t, { clock, post, poll }) => {
    const held = poll()
    await settle()
    await post({ to: 'carol' })
    await post({ to: 'bob:phone' })
    await clock.advance(24 * SECOND)
    t.equal(held.page, undefined)
    await clock.advance(SECOND)
    t.match(held.page, { entries: [] })
  })

  fact(t, 'reaches every read of the mailbox', async (t, { post, poll }) => {
    const all = [poll(), poll(), poll()]
    await settle()
    await post()
    await settle()
    t.same(
      all.map(({ page }) => page?.entries.length),
      [1, 1, 1],
    )
  })
})

t.test('an empty page comes', async (t) => {
  fact(t, 'when the wait is over', async (t, { clock, post, poll }) => {
    const since = await post()
    const held = poll({ since, waitMs: 5 * SECOND })
    await clock.advance(5 * SECOND - 1)
    t.equal(held.page, undefined)
    await clock.advance(1)
    t.match(held.page, { entries: [], cursor: since, newest: since, reset: undefined })
  })

  fact(t, 'no later for rings that bring nothing', async (t, { clock, hub, poll }) => {
    const held = poll({ waitMs: 5 * SECOND })
    for (let n = 0; n < 4; n++) {
      await clock.advance(SECOND)
      hub.ring('bob')
    }
    await settle()
    t.equal(held.page, undefined)
    await clock.advance(SECOND)
    t.match(held.page, { entries: [] })
  })

  fact(t, 'when its token ends', async (t, { clock, poll }) => {
    const held = poll({ expiresAt: NOON + 3 * SECOND })
    await clock.advance(3 * SECOND - 1)
    t.equal(held.page, undefined)
    await clock.advance(1)
    t.match(held.page, { entries: [] })
  })

  fact(t, 'later when a fresh token carries it on', async (t, { clock, hub, poll }) => {
    const held = poll({ expiresAt: NOON + 3 * SECOND, waitMs: 20 * SECOND })
    await clock.advance(2 * SECOND)
    hub.renew('bob', NOON + 10 * SECOND)
    await clock.advance(8 * SECOND - 1)
    t.equal(held.page, undefined)
    await clock.advance(1)
    t.match(held.page, { entries: [] })
  })

  for (const reason of ['too-many-reads', 'shutdown', 'session-ended', 'gone'] as const) {
    fact(t, `when it is ended: ${reason}`, async (t, { poll }) => {
      const held = poll()
      await settle()
      held.read.end(reason)
      await settle()
      t.match(held.page, { entries: [], reset: undefined })
    })
  }

  fact(t, 'to the oldest, when a ninth read is opened', async (t, { hub, clock, poll }) => {
    const all = Array.from({ length: 9 }, () => poll())
    await settle()
    t.same(
      all.map(({ page }) => page !== undefined),
      [true, ...Array(8).fill(false)],
    )
    t.equal(hub.count('poll'), 8)
    await clock.advance(25 * SECOND)
  })
})

t.test('a poll with the nonce of a stream', async (t) => {
  fact(t, 'is answered when the stream is proven', async (t, { hub, clock, poll }) => {
    const [held, other] = [poll({ n: 'x1' }), poll({ n: 'x2' })]
    await settle()
    hub.prove(hub.open({ peer: 'bob', kind: 'stream', n: 'x1', expiresAt: NOON }))
    await settle()
    t.match(held.page, { entries: [], n: 'x1', proof: 'x1' })
    t.equal(other.page, undefined)
    await clock.advance(25 * SECOND)
    t.match(other.page, { n: 'x2', proof: undefined })
  })
})

fact(t, 'what a poll presents is acknowledged', async (t, { store, clock, post, poll }) => {
  const first = await post()
  await post()
  poll({ since: first })
  await settle()
  t.equal((await store.snapshot('bob', clock.now())).cursor, first)
  poll({ waitMs: 0 })
  await settle()
  t.equal((await store.snapshot('bob', clock.now())).cursor, first, 'what was only sent is not')
})

fact(t, 'an ended session leaves nothing behind', async (t, { store, hub, clock, poll }) => {
  await store.touch({ peer: 'bob', guest: false, leaseMs: 45 * SECOND, now: clock.now() })
  const held = poll()
  await settle()
  // As signaling/sessions does it: the read wakes up behind the forgetting.
  hub.endPeer('bob', 'session-ended')
  await store.forget('bob', clock.now())
  await settle()
  t.match(held.page, { entries: [] })
  t.match(store.stats(), { mailboxes: 0, messages: 0, bytes: 0 })
})

fact(t, 'the text of a page', async (t, { clock, post, poll }) => {
  await post()
  const id = await post({ from: 'carol' })
  const held = poll({ n: 'say "hi"\u2028' })
  await settle()
  const page = held.page as Page
  const text = `{${pageMembers({ ...page, proof: 'p"' }, clock.now())}}`

  t.test('is JSON with every member', async (t) => {
    t.match(JSON.parse(text), {
      messages: [
        { from: 'alice', payload: { seq: 1 } },
        { id, from: 'carol' },
      ],
      cursor: id,
      newest: id,
      reset: false,
      n: 'say "hi"\u2028',
      proof: 'p"',
      serverTime: '2026-11-20T12:00:00.000Z',
    })
  })

  t.test('leaves out what is not there', async (t) => {
    const { n: _, ...plain } = page
    const parsed = JSON.parse(`{${pageMembers({ ...plain, entries: [] }, clock.now())}}`)
    t.same(Object.keys(parsed), ['messages', 'cursor', 'newest', 'reset', 'serverTime'])
  })

  t.test('names the reason of a reset', async (t) => {
    const reset = JSON.parse(`{${pageMembers({ ...page, reset: 'evicted' }, clock.now())}}`)
    t.match(reset, { reset: true, resetReason: 'evicted' })
  })

  t.test('has the bytes that a stream has', async (t) => {
    for (const entry of page.entries) {
      const { events } = decodeText(messageFrame(entry.id, entry.letter.tail))
      t.equal(events[0]?.data, entryJson(entry))
      t.ok(text.includes(entryJson(entry)))
    }
  })
})
