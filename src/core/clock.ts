// Time as an argument. Rules take `now`; what waits takes a Clock, so that tests turn time by hand.

export interface Clock {
  /**
   * Milliseconds of Unix time with fractions; never goes back and does not follow jumps of the
   * system's clock. Ids, lifetimes and leases are measured with it.
   */
  now(): number
  /** The system's clock, for the times in tokens that others minted. */
  wall(): number
  /** Runs `task` once after `ms`; returns what cancels it. */
  after(ms: number, task: () => void): () => void
}

/** `performance.now()` is monotonic; its origin is the Unix time at which the process started. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  wall: () => Date.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms)
    return () => clearTimeout(timer)
  },
}

/** RFC 3339 UTC with milliseconds. */
export const toTimestamp = (ms: number): string => new Date(ms).toISOString()
