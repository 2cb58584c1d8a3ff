// A token bucket: `burst` at once, `perSecond` on average. Pure: the state goes in and comes out.

export interface Bucket {
  tokens: number
  at: number
}

export interface Rate {
  /** Names the policy in the `RateLimit-Policy` header. */
  name: string
  perSecond: number
  burst: number
}

/**
 * Takes `cost` from the bucket (never more than the burst, so that no request is impossible).
 * @returns 0 when it was granted, else after how many ms it would be
 */
export function takeFrom(bucket: Bucket, rate: Rate, cost: number, now: number): number {
  const price = Math.min(cost, rate.burst)
  const gained = (Math.max(0, now - bucket.at) / 1000) * rate.perSecond
  bucket.tokens = Math.min(rate.burst, bucket.tokens + gained)
  // Nodes that share a bucket have clocks that differ: the same time must not be given twice.
  bucket.at = Math.max(bucket.at, now)
  if (bucket.tokens >= price) {
    bucket.tokens -= price
    return 0
  }
  return Math.ceil(((price - bucket.tokens) / rate.perSecond) * 1000)
}
