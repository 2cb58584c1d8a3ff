// What counts as one network for the rate of new guests (protocol section 3: an address, of IPv6
// the /56, however it is written), what a signal costs, and what a refusal says.
// (src/signaling/rates.ts)
import t from 'tap'
import { ProblemError } from '../../src/core/errors.ts'
import { Hub } from '../../src/delivery/hub.ts'
import type { SignalingContext } from '../../src/signaling/context.ts'
import { takeGuestToken, takeSignalTokens, toNetwork } from '../../src/signaling/rates.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { FakeClock, NOON } from '../helpers/clock.ts'

const MIB = 1024 * 1024

function makeContext(rateLimit: number) {
  const clock = new FakeClock()
  const context: SignalingContext = {
    store: new MemoryStore({ bytesMax: MIB, now: NOON }),
    hub: new Hub(),
    clock,
    settings: { messageTtlMs: 120_000, rateLimit, leaseMs: 45_000, guests: true, configured: true },
    metrics: { onAccepted: () => {} },
  }
  return { context, clock }
}

/** How often it is granted, of `times`. */
async function count(times: number, take: () => Promise<void>) {
  let granted = 0
  let refused: ProblemError | undefined
  for (let at = 0; at < times; at++) {
    try {
      await take()
      granted += 1
    } catch (error) {
      refused = error as ProblemError
    }
  }
  return { granted, refused }
}

t.test('a network', async (t) => {
  const table: [address: string, network: string][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2ff:3:4:5:6', '2001:db8:1:200::/56'],
    ['2001:db8:1:200::', '2001:db8:1:200::/56'],
    ['2001:0DB8:0001:02AB::1', '2001:db8:1:200::/56'],
    ['2001:db8:1:300::1', '2001:db8:1:300::/56'],
    ['2001:db8::1', '2001:db8:0:0::/56'],
    ['::1', '0:0:0:0::/56'],
    ['::', '0:0:0:0::/56'],
    ['fe80::1%eth0', 'fe80:0:0:0::/56'],
    ['1:2:3:4:5:6:7::', '1:2:3:0::/56'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/56'],
    ['unix', 'unix'],
    ['', ''],
  ]
  for (const [address, network] of table) t.equal(toNetwork(address), network, address)
})

t.test('an address has one network, however it is spelled', async (t) => {
  t.equal(toNetwork('::ffff:c000:207'), '192.0.2.7', 'as some proxies write it')
  t.equal(toNetwork('1::4:5:6:7:192.0.2.7'), '1:0:4:0::/56', 'with a dotted tail')
})

t.test('a signal costs one for each ten recipients begun', async (t) => {
  for (const [recipients, granted] of [
    [0, 20],
    [1, 20],
    [10, 20],
    [11, 10],
    [100, 2],
    [1000, 1],
  ] as const) {
    const { context } = makeContext(10)
    const taken = await count(30, () => takeSignalTokens(context, 'alice', recipients))
    t.equal(taken.granted, granted, `${recipients} recipients`)
  }
})

t.test('a refusal says when, and by which policy', async (t) => {
  const { context, clock } = makeContext(10)
  const { refused } = await count(21, () => takeSignalTokens(context, 'alice', 1))
  t.match(refused, {
    code: 'rate-limited',
    details: { retryAfterMs: 100, policy: { name: 'signals', quota: 20, windowMs: 2000 } },
  })
  t.ok(refused instanceof ProblemError)
  await t.resolves(takeSignalTokens(context, 'bob', 1), 'another peer has a bucket of its own')
  await clock.advance(100)
  await t.resolves(takeSignalTokens(context, 'alice', 1))
})

t.test('new guests are limited by network', async (t) => {
  const { context, clock } = makeContext(10)
  const first = await count(70, () => takeGuestToken(context, '2001:db8:1:201::1'))
  t.equal(first.granted, 60, 'the burst')
  t.match(first.refused, { details: { policy: { name: 'guests', quota: 60 } } })
  const neighbour = await count(1, () => takeGuestToken(context, '2001:db8:1:2ff::2'))
  t.equal(neighbour.granted, 0, 'the same /56')
  const stranger = await count(1, () => takeGuestToken(context, '2001:db8:1:301::1'))
  t.equal(stranger.granted, 1)
  await clock.advance(60_000)
  const later = await count(40, () => takeGuestToken(context, '2001:db8:1:201::1'))
  t.equal(later.granted, 30, 'a minute later')
})

t.test('a rate limit of 0 is none', async (t) => {
  const { context } = makeContext(0)
  t.equal((await count(200, () => takeSignalTokens(context, 'alice', 1000))).granted, 200)
  t.equal((await count(200, () => takeGuestToken(context, '192.0.2.7'))).granted, 200)
})
