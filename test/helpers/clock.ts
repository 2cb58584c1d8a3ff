// A clock that stands still until a test turns it. Timers run in the order of their times, those of
// one time in the order in which they were set, and what a timer set off is run to its end before
// the next one: a test of a minute takes no time and always runs the same way.
import { setImmediate as nextTick } from 'node:timers/promises'
import type { Clock } from '../../src/core/clock.ts'

interface Timer {
  at: number
  task: () => void
}

/** When tests take place: 2026-11-20, 12:00 UTC, in ms. */
export const NOON = Date.UTC(2026, 10, 20, 12)

/** The same, as an id. */
export const NOON_ID = NOON * 1000

/**
 * Lets everything run that waits for nothing but promises and the next turns of the event loop:
 * a promise may lead to a turn (a poll lingers for one) and back, a few times.
 */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await nextTick()
}

export class FakeClock implements Clock {
  /** How far the system's clock is ahead of `now`, ms. */
  wallAheadMs = 0
  #now: number
  #timers: Timer[] = []

  constructor(now = NOON) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#now + this.wallAheadMs
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), task }
    const later = this.#timers.findIndex(({ at }) => at > timer.at)
    this.#timers.splice(later === -1 ? this.#timers.length : later, 0, timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** How many timers are set. */
  get waiting(): number {
    return this.#timers.length
  }

  /** Turns time on, and runs what falls due on the way (also what that sets anew). */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await settle()
    for (;;) {
      const next = this.#timers[0]
      if (!next || next.at > end) break
      this.#timers.shift()
      this.#now = Math.max(this.#now, next.at)
      next.task()
      await settle()
    }
    this.#now = end
    await settle()
  }
}
