// The token bucket: `burst` at once, `perSecond` on average, never a request that is impossible,
// and never more than both together over any time, whatever the clocks of the nodes that share it.
// The wait that it names is the wait.
import * as fc from 'fast-check'
import t from 'tap'
import { type Bucket, type Rate, takeFrom } from '../../src/core/token-bucket.ts'
import { NOON } from '../helpers/clock.ts'
import { holds } from '../helpers/properties.ts'

const rate: Rate = { name: 'test', perSecond: 10, burst: 20 }
const full = (): Bucket => ({ tokens: rate.burst, at: NOON })

t.test('a burst goes at once', async (t) => {
  const bucket = full()
  const granted = Array.from({ length: 25 }, () => takeFrom(bucket, rate, 1, NOON) === 0)
  t.equal(granted.filter(Boolean).length, 20)
})

t.test('a refusal takes nothing and says how long', async (t) => {
  const bucket = full()
  takeFrom(bucket, rate, 20, NOON)
  t.equal(takeFrom(bucket, rate, 1, NOON), 100)
  t.equal(takeFrom(bucket, rate, 5, NOON), 500)
  t.equal(takeFrom(bucket, rate, 5, NOON + 499), 1, 'a moment too early')
  t.equal(takeFrom(bucket, rate, 5, NOON + 500), 0, 'as was said')
})

t.test('time gives tokens, up to the burst', async (t) => {
  const bucket = full()
  takeFrom(bucket, rate, 20, NOON)
  t.equal(takeFrom(bucket, rate, 10, NOON + 1000), 0)
  t.equal(takeFrom(bucket, rate, 1, NOON + 1000), 100)
  t.equal(takeFrom(bucket, rate, 20, NOON + 3_600_000), 0)
  t.equal(takeFrom(bucket, rate, 1, NOON + 3_600_000), 100, 'an hour gives no more than the burst')
})

t.test('a cost above the burst takes the whole burst', async (t) => {
  const bucket = full()
  t.equal(takeFrom(bucket, rate, 1000, NOON), 0)
  t.equal(takeFrom(bucket, rate, 1000, NOON), 2000)
  t.equal(takeFrom(bucket, rate, 1000, NOON + 2000), 0)
})

t.test('a clock that goes back gives nothing', async (t) => {
  const bucket = full()
  takeFrom(bucket, rate, 20, NOON)
  t.equal(takeFrom(bucket, rate, 1, NOON - 5000) > 0, true)
  t.equal(takeFrom(bucket, rate, 1, NOON) > 0, true, 'nor when it comes forward again')
})

t.test('no time gives more than burst and rate', async (t) => {
  const property = fc.property(
    fc.array(fc.tuple(fc.nat(500), fc.integer({ min: 1, max: 30 })), { maxLength: 100 }),
    (steps) => {
      const bucket = full()
      let now = NOON
      let taken = 0
      for (const [ms, cost] of steps) {
        now += ms
        const waitMs = takeFrom(bucket, rate, cost, now)
        if (waitMs === 0) taken += Math.min(cost, rate.burst)
        // What it says is true, but for a millisecond of rounding.
        else if (takeFrom({ ...bucket }, rate, cost, now + waitMs + 1) !== 0) return false
        else if (waitMs > 2 && takeFrom({ ...bucket }, rate, cost, now + waitMs - 2) === 0) {
          return false
        }
      }
      return taken <= rate.burst + ((now - NOON) / 1000) * rate.perSecond + 1e-6
    },
  )
  await holds(t, property, { runs: 1000, what: 'and the wait that it says is the wait' })
})
