// Rate limits (protocol section 3): signals a second and peer, new guest sessions a minute and
// address. The buckets stand in the store, so that they hold for all nodes together.
import { isIPv4, isIPv6 } from 'node:net'
import { ProblemError } from '../core/errors.ts'
import type { Rate } from '../core/token-bucket.ts'
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { SignalingContext } from './context.ts'

/** A signal costs one for each ten recipients begun. */
export async function takeSignalTokens(
  context: SignalingContext,
  peer: Address,
  recipients: number,
) {
  const { rateLimit } = context.settings
  const rate = { name: 'signals', perSecond: rateLimit, burst: rateLimit * 2 }
  const cost = Math.max(1, Math.ceil(recipients / LIMITS.recipientsPerCost))
  await take(context, `signals ${peer}`, rate, cost)
}

/** @param address of the client, as seen */
export async function takeGuestToken(context: SignalingContext, address: string) {
  const perMinute = LIMITS.guestSessionsPerMinute
  const rate = { name: 'guests', perSecond: perMinute / 60, burst: LIMITS.guestSessionsBurst }
  await take(context, `guests ${toNetwork(address)}`, rate, 1)
}

async function take(
  { store, clock, settings }: SignalingContext,
  bucket: string,
  rate: Rate,
  cost: number,
) {
  if (settings.rateLimit === 0) return
  const retryAfterMs = await store.takeTokens({ bucket, rate, cost, now: clock.now() })
  if (retryAfterMs === 0) return
  const windowMs = Math.round((rate.burst / rate.perSecond) * 1000)
  throw new ProblemError('rate-limited', {
    retryAfterMs,
    policy: { name: rate.name, quota: rate.burst, windowMs },
  })
}

/** One household or company: an IPv4 address, or the /56 that providers hand out of IPv6. */
export function toNetwork(address: string): string {
  const mapped = address.replace(/^::ffff:/i, '')
  if (isIPv4(mapped)) return mapped
  const plain = address.replace(/%.*$/, '')
  if (!isIPv6(plain)) return address
  const [head = '', tail] = plain.split('::')
  const left = head.split(':').filter(Boolean)
  const right = (tail ?? '').split(':').filter(Boolean)
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length
  const groups = [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right]
  const bytes = groups.slice(0, 4).map((group) => Number.parseInt(group, 16))
  bytes[3] = (bytes[3] ?? 0) & 0xff00
  return `${bytes.map((group) => group.toString(16)).join(':')}::/56`
}
