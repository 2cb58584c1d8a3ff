// Rate limits (protocol section 3): signals a second and peer, new guest sessions a minute and
// address. The buckets stand in the store, so that they hold for all nodes together.
import { isIPv6 } from 'node:net'
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
  const plain = address.replace(/%.*$/, '')
  if (!isIPv6(plain)) return address
  const groups = toGroups(plain)
  const [a = 0, b = 0, c = 0, d = 0, , mark = 0, high = 0, low = 0] = groups
  // IPv4 in IPv6 (RFC 4291, 2.5.5.2), in either spelling.
  if (mark === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.')
  }
  return `${[a, b, c, d & 0xff00].map((group) => group.toString(16)).join(':')}::/56`
}

/** The eight groups of 16 bits of an IPv6 address. */
function toGroups(address: string): number[] {
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.map(Number)
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  })
  const [head = '', tail] = hex.split('::')
  const left = head.split(':').filter(Boolean)
  const right = (tail ?? '').split(':').filter(Boolean)
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  return [...left, ...zeros, ...right].map((group) => Number.parseInt(group, 16))
}
