// Things that fall due, in buckets of a second: each is taken once, never early and at most a
// second late; also when very many fall due together (a store that sweeps must not stumble over a
// crowd that came in one second).
import * as fc from 'fast-check'
import t from 'tap'
import { Deadlines } from '../../src/core/deadlines.ts'
import { NOON } from '../helpers/clock.ts'
import { holds } from '../helpers/properties.ts'

t.test('an entry is due from the end of its second', async (t) => {
  const deadlines = new Deadlines<string>()
  deadlines.add('a', NOON + 200)
  t.same(deadlines.take(NOON + 200), [])
  t.same(deadlines.take(NOON + 999), [])
  t.same(deadlines.take(NOON + 1000), ['a'])
  t.same(deadlines.take(NOON + 2000), [], 'once')
})

t.test('an entry of one second is kept once', async (t) => {
  const deadlines = new Deadlines<string>()
  deadlines.add('a', NOON + 1)
  deadlines.add('a', NOON + 999)
  deadlines.add('a', NOON + 1000)
  t.same(deadlines.take(NOON + 1000), ['a'])
  t.same(deadlines.take(NOON + 2000), ['a'], 'and once in the next')
})

t.test('what is due in the past is taken at once', async (t) => {
  const deadlines = new Deadlines<string>()
  deadlines.add('later', NOON + 60_000)
  deadlines.add('past', NOON - 60_000)
  t.same(deadlines.take(NOON), ['past'])
  t.same(deadlines.take(NOON + 61_000), ['later'])
})

t.test('what is never due stays', async (t) => {
  const deadlines = new Deadlines<string>()
  deadlines.add('never', Number.POSITIVE_INFINITY)
  deadlines.add('a', NOON)
  t.same(deadlines.take(NOON + 1e9), ['a'])
})

t.test('adding while taking is for the next time', async (t) => {
  const deadlines = new Deadlines<string>()
  deadlines.add('a', NOON)
  for (const item of deadlines.take(NOON + 1000)) deadlines.add(item, NOON + 5000)
  t.same(deadlines.take(NOON + 5999), [])
  t.same(deadlines.take(NOON + 6000), ['a'])
})

t.test('a crowd falls due together', async (t) => {
  const deadlines = new Deadlines<number>()
  for (let item = 0; item < 300_000; item++) deadlines.add(item, NOON)
  t.equal(deadlines.take(NOON + 1000).length, 300_000)
})

t.test('each entry is taken once and in time', async (t) => {
  const property = fc.property(
    fc.array(fc.record({ at: fc.nat(60_000), addedAt: fc.nat(60_000) }), { maxLength: 80 }),
    (entries) => {
      const deadlines = new Deadlines<number>()
      const takenAt = new Map<number, number>()
      for (let now = 0; now <= 125_000; now += 500) {
        for (const [item, { at, addedAt }] of entries.entries()) {
          if (Math.floor(addedAt / 500) * 500 === now) deadlines.add(item, now + at)
        }
        for (const item of deadlines.take(now)) {
          if (takenAt.has(item)) return false
          takenAt.set(item, now)
        }
      }
      return entries.every(({ at, addedAt }, item) => {
        const due = Math.floor(addedAt / 500) * 500 + at
        const taken = takenAt.get(item) ?? Number.NaN
        return taken >= due && taken <= due + 1000
      })
    },
  )
  await holds(t, property, { runs: 200, what: 'not early, at most a second late' })
})
