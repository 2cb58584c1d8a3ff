// The mailbox as a pure object: ids, what it keeps and in which order it gives room, when a reader
// is told of a loss (protocol sections 1, 3 and 4). Time is an argument; its observer must hear of
// every letter that was read or has gone, once. Caps are in mailbox-caps.test.ts.
import * as fc from 'fast-check'
import t from 'tap'
import { type Entry, Mailbox, type MailboxObserver, type Refusal } from '../../src/core/mailbox.ts'
import type { ResetReason } from '../../src/protocol/names.ts'
import { NOON, NOON_ID } from '../helpers/clock.ts'
import { makeLetter, makeNotice, seqOf, seqsOf } from '../helpers/letters.ts'
import { holds } from '../helpers/properties.ts'

const SECOND = 1000
const GENERATION = NOON_ID - 1_000_000

interface Made {
  floor?: number
  reason?: ResetReason
}

function makeBox({ floor = GENERATION, reason = 'store-restarted' }: Made = {}) {
  const read: number[] = []
  const gone: [seq: number, why: string, wasUnread: boolean][] = []
  const observer: MailboxObserver = {
    onRead: (letter) => read.push(seqOf(letter)),
    onGone: (letter, why, wasUnread) => gone.push([seqOf(letter), why, wasUnread]),
  }
  return { box: new Mailbox(floor, reason, GENERATION, observer), read, gone }
}

const idOf = (kept: Entry | Refusal): number => ('id' in kept ? kept.id : Number.NaN)

/** Keeps letters that live for so many seconds, a millisecond apart; their seq counts from 1. */
const fill = (box: Mailbox, ...lives: number[]) =>
  lives.map((life, at) => {
    const expiresAt = NOON + life * SECOND
    return idOf(box.append(makeLetter({ seq: at + 1, expiresAt }), NOON + at))
  })

t.test('ids', async (t) => {
  t.test('are the microsecond of the storing', async (t) => {
    const { box } = makeBox()
    t.equal(idOf(box.append(makeLetter(), NOON)), NOON_ID)
    t.equal(idOf(box.append(makeLetter(), NOON + 0.25)), NOON_ID + 250)
    t.equal(idOf(box.append(makeLetter(), NOON + 1)), NOON_ID + 1000)
  })

  t.test('count on within one microsecond', async (t) => {
    const { box } = makeBox()
    const ids = [1, 2, 3].map(() => idOf(box.append(makeLetter(), NOON)))
    t.same(ids, [NOON_ID, NOON_ID + 1, NOON_ID + 2])
  })

  t.test('count on when the clock goes back', async (t) => {
    const { box } = makeBox()
    box.append(makeLetter(), NOON)
    t.equal(idOf(box.append(makeLetter(), NOON - 3600 * SECOND)), NOON_ID + 1)
    t.equal(idOf(box.append(makeLetter(), NOON + 1)), NOON_ID + 1000, 'and follow it again')
  })

  t.test('begin above the floor of a mailbox made anew', async (t) => {
    const { box } = makeBox({ floor: NOON_ID + 5000 })
    t.equal(box.newest, NOON_ID + 5000)
    t.equal(idOf(box.append(makeLetter(), NOON)), NOON_ID + 5001)
  })

  t.test('are integers that JavaScript can hold', async (t) => {
    const { box } = makeBox()
    const id = idOf(box.append(makeLetter(), Date.UTC(2200, 0) + 0.123456))
    t.ok(Number.isSafeInteger(id), `in the year 2200: ${id}`)
  })

  t.test('strictly increase whatever the clock does', async (t) => {
    const clock = fc.double({ min: NOON - 1e6, max: NOON + 1e6, noNaN: true })
    const property = fc.property(fc.array(clock, { maxLength: 60 }), (times) => {
      const { box } = makeBox()
      let last = box.newest
      for (const now of times) {
        const id = idOf(box.append(makeLetter({ expiresAt: Number.POSITIVE_INFINITY }), now))
        if (!(id > last) || id < Math.floor(now * 1000)) return false
        last = id
      }
      return true
    })
    await holds(t, property, { runs: 500, what: 'greater than the last, never before its time' })
  })
})

t.test('the cursor', async (t) => {
  t.test('of an empty mailbox is its floor', async (t) => {
    const { box } = makeBox()
    t.match(box.read(0, 100, NOON), { entries: [], cursor: GENERATION, newest: GENERATION })
  })

  t.test('from zero is the newest id', async (t) => {
    const { box } = makeBox()
    const [, last] = fill(box, 60, 60)
    t.equal(box.read(0, 100, NOON).cursor, last)
  })

  t.test('from zero covers what is gone already', async (t) => {
    const { box } = makeBox()
    const [, last] = fill(box, 60, 10)
    const { entries, cursor } = box.read(0, 100, NOON + 20 * SECOND)
    t.same(seqsOf(entries), [1], 'the older one lives longer')
    t.equal(cursor, last, 'the floor, which is greater than what is kept')
  })

  t.test('of a page is its last id', async (t) => {
    const { box } = makeBox()
    const ids = fill(box, 60, 60, 60)
    t.match(box.read(ids[0] as number, 1, NOON), { cursor: ids[1], newest: ids[2] })
  })

  t.test('of an empty page is what was asked for', async (t) => {
    const { box } = makeBox()
    const [only] = fill(box, 60)
    t.match(box.read(only as number, 100, NOON), { entries: [], cursor: only, reset: undefined })
    const quiet = makeBox().box
    const between = quiet.read(GENERATION, 100, NOON)
    t.match(between, { entries: [], cursor: GENERATION, reset: undefined })
  })
})

t.test('the limit', async (t) => {
  t.test('cuts a page behind a cursor', async (t) => {
    const { box } = makeBox()
    const [first] = fill(box, 60, 60, 60, 60)
    t.same(seqsOf(box.read(first as number, 2, NOON).entries), [2, 3])
  })

  t.test('does not cut from zero', async (t) => {
    const { box } = makeBox()
    fill(box, 60, 60, 60, 60)
    t.same(seqsOf(box.read(0, 1, NOON).entries), [1, 2, 3, 4])
  })

  t.test('does not cut after a reset', async (t) => {
    const { box } = makeBox()
    const ids = fill(box, 60, 60, 10, 60)
    const { entries, reset, cursor } = box.read(ids[0] as number, 1, NOON + 20 * SECOND)
    t.equal(reset, 'expired')
    t.same(seqsOf(entries), [1, 2, 4], 'everything that is kept')
    t.equal(cursor, ids[3])
  })
})

t.test('a reset', async (t) => {
  t.test('never follows since=0', async (t) => {
    const { box } = makeBox()
    t.equal(box.read(0, 100, NOON).reset, undefined, 'from an empty mailbox')
    fill(box, 10, 60)
    t.equal(box.read(0, 100, NOON + 20 * SECOND).reset, undefined, 'after something expired')
    box.forget()
    t.equal(box.read(0, 100, NOON + 20 * SECOND).reset, undefined, 'after all was dropped')
  })

  t.test('says that something unread expired', async (t) => {
    const { box } = makeBox()
    const [first, second, third] = fill(box, 60, 10, 60) as [number, number, number]
    const later = NOON + 20 * SECOND
    t.equal(box.read(first, 100, later).reset, 'expired')
    t.equal(box.read(second - 1, 100, later).reset, 'expired', 'one id below what is gone')
    t.equal(box.read(second, 100, later).reset, undefined, 'not to who had it')
    t.equal(box.read(third, 100, later).reset, undefined, 'nor above it')
  })

  t.test('says that something was evicted', async (t) => {
    const { box } = makeBox()
    const [first, second] = fill(box, 60, 60, 60) as [number, number]
    box.acknowledge(second)
    box.dropAcknowledged()
    t.equal(box.read(first, 100, NOON).reset, 'evicted', 'to a slower reader')
    t.equal(box.read(second, 100, NOON).reset, undefined, 'not to the one that had it')
  })

  t.test('says that the store restarted', async (t) => {
    const { box } = makeBox()
    t.equal(box.read(GENERATION - 1, 100, NOON).reset, 'store-restarted')
    t.equal(box.read(GENERATION, 100, NOON).reset, undefined)
    fill(box, 10)
    const later = NOON + 20 * SECOND
    t.equal(box.read(GENERATION - 1, 100, later).reset, 'store-restarted', 'also after a loss')
    t.equal(box.read(GENERATION, 100, later).reset, 'expired')
  })

  t.test('gives the reason with which the mailbox was made', async (t) => {
    for (const reason of ['expired', 'evicted'] as const) {
      const { box } = makeBox({ floor: NOON_ID, reason })
      t.equal(box.read(NOON_ID - 1, 100, NOON).reset, reason)
      t.equal(box.read(GENERATION - 1, 100, NOON).reset, 'store-restarted')
    }
  })

  t.test('says that the cursor is ahead', async (t) => {
    const { box } = makeBox()
    const [only] = fill(box, 60) as [number]
    const { reset, entries, cursor } = box.read(only + 1, 100, NOON)
    t.equal(reset, 'cursor-ahead')
    t.same(seqsOf(entries), [1], 'with everything that is kept')
    t.equal(cursor, only, 'and a cursor that is not ahead')
    t.equal(box.read(only, 100, NOON).reset, undefined)
  })

  t.test('is told once', async (t) => {
    const later = NOON + 20 * SECOND
    const cases: [ResetReason, (box: Mailbox) => number][] = [
      ['expired', (box) => fill(box, 60, 10)[0] as number],
      ['store-restarted', () => 1],
      ['cursor-ahead', (box) => (fill(box, 60)[0] as number) + 99],
      [
        'evicted',
        (box) => {
          const [first, second] = fill(box, 60, 60, 10) as [number, number, number]
          box.acknowledge(second)
          box.dropAcknowledged()
          return first
        },
      ],
    ]
    for (const [reason, prepare] of cases) {
      const { box } = makeBox()
      const told = box.read(prepare(box), 100, reason === 'evicted' ? NOON : later)
      t.equal(told.reset, reason)
      t.equal(box.read(told.cursor, 100, told.reset === 'evicted' ? NOON : later).reset, undefined)
    }
  })

  t.test('keeps the reason of the newest loss', async (t) => {
    const { box } = makeBox()
    const [first] = fill(box, 60, 60, 10) as [number]
    box.read(first, 100, NOON + 20 * SECOND)
    box.acknowledge(first)
    box.dropAcknowledged()
    t.equal(box.read(first - 1, 100, NOON).reset, 'expired', 'the third expired after the first')
  })
})

t.test('acknowledging', async (t) => {
  t.test('tells of each letter once', async (t) => {
    const { box, read } = makeBox()
    const ids = fill(box, 60, 60, 60) as [number, number, number]
    box.acknowledge(ids[1])
    t.same(read, [1, 2])
    box.acknowledge(ids[0])
    box.acknowledge(ids[1])
    t.same(read, [1, 2], 'a smaller cursor says nothing new')
    box.acknowledge(ids[2])
    t.same(read, [1, 2, 3])
    t.equal(box.hasUnread, false)
  })

  t.test('ignores a cursor from another life', async (t) => {
    const { box, read } = makeBox()
    const [only] = fill(box, 60) as [number]
    box.acknowledge(only + 1)
    t.equal(box.acknowledged, 0)
    t.same(read, [])
    t.equal(box.hasUnread, true)
  })

  t.test('deletes nothing', async (t) => {
    const { box, gone } = makeBox()
    const [, last] = fill(box, 60, 60) as [number, number]
    box.acknowledge(last)
    t.same(seqsOf(box.read(0, 100, NOON).entries), [1, 2])
    t.same(gone, [])
  })

  t.test('lets go of what was acknowledged, when told to', async (t) => {
    const { box, gone } = makeBox()
    const [, second] = fill(box, 60, 60, 60) as [number, number]
    t.equal(box.hasAcknowledged, false)
    box.acknowledge(second)
    t.equal(box.hasAcknowledged, true)
    box.dropAcknowledged()
    t.same(gone, [
      [1, 'evicted', false],
      [2, 'evicted', false],
    ])
    t.same(seqsOf(box.read(0, 100, NOON).entries), [3])
    t.equal(box.hasAcknowledged, false)
  })
})

t.test('expiry', async (t) => {
  t.test('comes at its time', async (t) => {
    const { box } = makeBox()
    fill(box, 10)
    t.equal(box.read(0, 100, NOON + 10 * SECOND - 1).entries.length, 1)
    t.equal(box.read(0, 100, NOON + 10 * SECOND).entries.length, 0)
  })

  t.test('comes out of order', async (t) => {
    const { box, gone } = makeBox()
    const ids = fill(box, 40, 10, 30, 20)
    box.expire(NOON + 10 * SECOND)
    t.equal(box.floor, ids[1])
    box.expire(NOON + 25 * SECOND)
    t.equal(box.floor, ids[3])
    box.expire(NOON + 35 * SECOND)
    t.equal(box.floor, ids[3], 'the floor never goes back')
    t.same(seqsOf(box.read(0, 100, NOON + 35 * SECOND).entries), [1])
    t.same(
      gone.map(([seq]) => seq),
      [2, 4, 3],
    )
  })

  t.test('tells what was unread and what was not', async (t) => {
    const { box, gone, read } = makeBox()
    const [first] = fill(box, 10, 10) as [number]
    box.acknowledge(first)
    box.expire(NOON + 10 * SECOND)
    t.same(gone, [
      [1, 'expired', false],
      [2, 'expired', true],
    ])
    t.same(read, [1, 2], 'each leaves the unread once')
  })

  t.test('happens before a letter is kept', async (t) => {
    const { box, gone } = makeBox()
    fill(box, 10)
    box.append(makeLetter({ seq: 9 }), NOON + 10 * SECOND)
    t.same(gone, [[1, 'expired', true]])
  })
})

t.test('a hand-over', async (t) => {
  const idsOf = (box: Mailbox) => box.read(0, 256, NOON).entries.map(({ id }) => id)

  t.test('keeps order, and ids where it can', async (t) => {
    for (const isFresh of [true, false]) {
      const bare = makeBox().box
      const ids = fill(bare, 60, 60, 60)
      const device = makeBox().box
      device.adopt(bare.empty(), isFresh)
      t.same(seqsOf(device.read(0, 100, NOON).entries), [1, 2, 3])
      t.same(idsOf(device), ids)
      t.same(bare.read(0, 100, NOON).entries, [])
    }
  })

  t.test('gives new ids above what cannot be vouched for', async (t) => {
    for (const isFresh of [true, false]) {
      const bare = makeBox().box
      fill(bare, 60, 60)
      const device = makeBox({ floor: NOON_ID + 5000 }).box
      device.adopt(bare.empty(), isFresh)
      t.same(idsOf(device), [NOON_ID + 5001, NOON_ID + 5002])
      t.equal(device.newest, NOON_ID + 5002)
    }
  })

  t.test('comes behind what a reader may have had', async (t) => {
    const bare = makeBox().box
    const ids = fill(bare, 60, 60)
    const device = makeBox().box
    device.append(makeLetter({ seq: 9 }), NOON + 0.5)
    device.adopt(bare.empty(), false)
    t.same(seqsOf(device.read(0, 100, NOON).entries), [9, 1, 2])
    t.same(idsOf(device), [NOON_ID + 500, NOON_ID + 501, ids[1]])
  })

  t.test('is in order with what nobody has read', async (t) => {
    const bare = makeBox().box
    fill(bare, 60, 60)
    const device = makeBox().box
    device.append(makeLetter({ seq: 9 }), NOON + 0.5)
    const { newest } = device
    device.adopt(bare.empty(), true)
    t.same(seqsOf(device.read(0, 100, NOON).entries), [1, 9, 2])
    t.same(idsOf(device), [NOON_ID, NOON_ID + 500, NOON_ID + 1000])
    t.ok(device.newest >= newest)
  })

  t.test('never takes ids back', async (t) => {
    const offsets = fc.array(fc.nat(8), { maxLength: 10 })
    const property = fc.property(offsets, offsets, fc.boolean(), (before, waiting, isFresh) => {
      const { box: device, gone } = makeBox()
      const bare = makeBox().box
      // The last one of each has expired by the time of the hand-over.
      const post = (box: Mailbox, all: number[], first: number) =>
        all.forEach((offset, at) => {
          const expiresAt = NOON + (at === all.length - 1 ? 1 : 60) * SECOND
          box.append(makeLetter({ seq: first + at, expiresAt }), NOON + offset / 1000)
        })
      post(device, before, 1)
      post(bare, waiting, 101)
      device.expire(NOON + SECOND)
      const { newest } = device
      device.adopt(bare.empty(), isFresh)
      const ids = device.read(0, 256, NOON).entries.map(({ id }) => id)
      const last = device.newest
      const next = idOf(device.append(makeLetter(), NOON))
      return (
        ids.every((id, at) => id > (ids[at - 1] ?? 0)) &&
        ids.length + gone.length === before.length + waiting.length &&
        new Set(ids).size === ids.length &&
        last >= newest &&
        last >= (ids.at(-1) ?? 0) &&
        next > last
      )
    })
    await holds(t, property, { runs: 500, what: 'rising, none lost, none above the newest' })
  })

  t.test('lets what was handed over expire', async (t) => {
    for (const isFresh of [true, false]) {
      const bare = makeBox().box
      fill(bare, 10)
      const { box, gone } = makeBox()
      box.adopt(bare.empty(), isFresh)
      box.expire(NOON + 10 * SECOND)
      t.same(gone, [[1, 'expired', true]])
    }
  })
})

t.test('any history', async (t) => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('append'), n: fc.nat(60) }) },
    fc.record({ kind: fc.constant('notice'), n: fc.nat(60) }),
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('acknowledge'), n: fc.nat(40) }) },
    fc.record({ kind: fc.constant('wait'), n: fc.nat(20) }),
    fc.record({ kind: fc.constant('drop'), n: fc.nat(1) }),
  )

  t.test('keeps the invariants and loses no count', async (t) => {
    const property = fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const { box, read, gone } = makeBox()
      let now = NOON
      let seq = 0
      for (const { kind, n } of steps) {
        if (kind === 'wait') now += n * SECOND
        else if (kind === 'drop') box.dropAcknowledged()
        else if (kind === 'acknowledge') {
          box.acknowledge(box.read(0, 256, now).entries[n]?.id ?? box.newest)
        } else {
          const parts = { seq: seq + 1, expiresAt: now + (5 + n) * SECOND }
          const kept = box.append(kind === 'notice' ? makeNotice(parts) : makeLetter(parts), now)
          if ('id' in kept) seq += 1
        }
        const { entries } = box.read(0, 256, now)
        const ids = entries.map(({ id }) => id)
        const isRising = ids.every((id, at) => at === 0 || id > (ids[at - 1] as number))
        const unread = ids.filter((id) => id > box.acknowledged).length
        const isBelowNewest = [box.floor, box.acknowledged, ...ids].every((id) => id <= box.newest)
        if (!isRising || !isBelowNewest) return false
        if (entries.length + gone.length !== seq || unread + read.length !== seq) return false
      }
      return new Set(read).size === read.length
    })
    await holds(t, property, {
      runs: 400,
      what: 'kept + gone = appended, unread + read = appended',
    })
  })
})
