// Promises about what hangs on tokens: revocations, tickets for reading, and rates (protocol
// sections 2 and 3). A ticket dies with its token, two minutes after its last use, or when a ninth
// comes.
import type { Test } from 'tap'
import type { Identity } from '../../../src/core/grants.ts'
import { NOON } from '../../helpers/clock.ts'
import { type Bench, type Build, type Fact, factsOf, HOUR, MINUTE, SECOND } from './bench.ts'

const identity: Identity = {
  peer: 'bob',
  guest: true,
  rooms: ['guest-*'],
  create: true,
  direct: [],
  expiresAt: NOON + HOUR,
  tokenId: 'token 1',
  holder: 'h',
  startedAt: NOON,
  info: { a: 1 },
}

export async function testTokens(t: Test, build: Build): Promise<void> {
  await t.test('revocations', async (t) => revocations(factsOf(t, build)))
  await t.test('tickets', async (t) => tickets(factsOf(t, build)))
  await t.test('rates', async (t) => rates(factsOf(t, build)))
}

async function revocations(fact: Fact): Promise<void> {
  const isRevoked = (bench: Bench, id: string) => bench.store.isRevoked(id, bench.now)

  await fact('hold until the token has ended', async (t, bench) => {
    t.equal(await isRevoked(bench, 'a'), false)
    await bench.store.revokeToken('a', NOON + HOUR, bench.now)
    t.equal(await isRevoked(bench, 'a'), true)
    t.equal(await isRevoked(bench, 'b'), false)
    await bench.pass(HOUR - 1)
    t.equal(await isRevoked(bench, 'a'), true)
    await bench.pass(1, { swept: false })
    t.equal(await isRevoked(bench, 'a'), false, 'then it is over anyway')
  })

  await fact('hold for the longer of two times', async (t, bench) => {
    await bench.store.revokeToken('a', NOON + MINUTE, bench.now)
    await bench.store.revokeToken('a', NOON + HOUR, bench.now)
    await bench.store.revokeToken('a', NOON + 2 * MINUTE, bench.now)
    await bench.pass(HOUR - 1)
    t.equal(await isRevoked(bench, 'a'), true)
    await bench.pass(3 * SECOND)
    t.equal(await isRevoked(bench, 'a'), false)
  })

  await fact('of what is over are none', async (t, bench) => {
    const { bytes } = bench.store.stats()
    await bench.store.revokeToken('a', NOON, bench.now)
    t.equal(await isRevoked(bench, 'a'), false)
    t.equal(bench.store.stats().bytes, bytes)
  })

  await fact('outlive the peer', async (t, bench) => {
    await bench.touch('bob')
    await bench.store.revokeToken('a', NOON + HOUR, bench.now)
    await bench.store.forget('bob', bench.now)
    t.equal(await isRevoked(bench, 'a'), true)
  })
}

async function tickets(fact: Fact): Promise<void> {
  const add = (bench: Bench, ticket: string, parts: Partial<Identity> = {}) =>
    bench.store.addTicket({ ticket, identity: { ...identity, ...parts }, now: bench.now })
  const use = (bench: Bench, ticket: string, stream = false) =>
    bench.store.useTicket({ ticket, stream, now: bench.now })
  const isAlive = async (bench: Bench, ticket: string) => (await use(bench, ticket)) !== undefined

  await fact('stand for an identity', async (t, bench) => {
    await add(bench, 't1')
    t.same(await use(bench, 't1'), { identity, streamed: false })
    t.equal(await use(bench, 'other'), undefined)
  })

  await fact('remember whether they opened a stream', async (t, bench) => {
    await add(bench, 't1')
    t.match(await use(bench, 't1', false), { streamed: false })
    t.match(await use(bench, 't1', true), { streamed: false }, 'the first stream is the first')
    t.match(await use(bench, 't1', true), { streamed: true })
    t.match(await use(bench, 't1', false), { streamed: true })
  })

  for (const swept of [true, false]) {
    const how = swept ? 'swept' : 'not swept'
    await fact(`die 2 min after their last use (${how})`, async (t, bench) => {
      await add(bench, 't1')
      await bench.pass(2 * MINUTE - 1, { swept })
      t.equal(await isAlive(bench, 't1'), true)
      await bench.pass(2 * MINUTE - 1, { swept })
      t.equal(await isAlive(bench, 't1'), true)
      await bench.pass(2 * MINUTE, { swept })
      t.equal(await isAlive(bench, 't1'), false)
    })

    await fact(`die with their token (${how})`, async (t, bench) => {
      await add(bench, 't1', { expiresAt: NOON + MINUTE })
      await bench.pass(MINUTE - 1, { swept })
      t.equal(await isAlive(bench, 't1'), true)
      await bench.pass(1, { swept })
      t.equal(await isAlive(bench, 't1'), false)
    })
  }

  await fact('are eight of a peer; a ninth ends the oldest', async (t, bench) => {
    for (let n = 0; n < 8; n++) await add(bench, `t${n}`)
    await add(bench, 'other', { peer: 'bob:phone' })
    await use(bench, 't0')
    t.equal(await isAlive(bench, 't0'), true)
    await add(bench, 't8')
    t.equal(await isAlive(bench, 't0'), false, 'however lately it was used')
    for (let n = 1; n < 9; n++) t.equal(await isAlive(bench, `t${n}`), true)
    t.equal(await isAlive(bench, 'other'), true)
  })

  await fact('do not count when they are dead', async (t, bench) => {
    for (let n = 0; n < 8; n++) await add(bench, `t${n}`)
    await bench.pass(MINUTE)
    await use(bench, 't0')
    await bench.pass(MINUTE + 2 * SECOND)
    for (let n = 8; n < 15; n++) await add(bench, `t${n}`)
    t.equal(await isAlive(bench, 't0'), true, 'the only one that lived is one of eight')
  })

  await fact('are carried on by a fresh token', async (t, bench) => {
    await add(bench, 't1', { expiresAt: NOON + MINUTE })
    await add(bench, 't2', { expiresAt: NOON + MINUTE, peer: 'bob:phone' })
    await use(bench, 't1', true)
    const fresh = { ...identity, expiresAt: NOON + HOUR, tokenId: 'token 2', rooms: ['a'] }
    await bench.store.renewTickets(fresh, bench.now)
    await bench.pass(MINUTE)
    t.same(await use(bench, 't1'), { identity: fresh, streamed: true })
    t.equal(await isAlive(bench, 't2'), false, 'those of the same peer')
  })

  await fact('are not cut short by an older token', async (t, bench) => {
    await add(bench, 't1')
    await bench.store.renewTickets({ ...identity, expiresAt: NOON + MINUTE }, bench.now)
    await bench.pass(MINUTE)
    t.same(await use(bench, 't1'), { identity, streamed: false })
  })

  await fact('that died are not brought back', async (t, bench) => {
    await add(bench, 't1', { expiresAt: NOON + SECOND })
    await add(bench, 't2')
    await bench.pass(2 * MINUTE, { swept: false })
    const fresh = { ...identity, expiresAt: NOON + 2 * HOUR }
    await bench.store.renewTickets(fresh, bench.now)
    t.same([await isAlive(bench, 't1'), await isAlive(bench, 't2')], [false, false])
  })
}

async function rates(fact: Fact): Promise<void> {
  const rate = { name: 'signals', perSecond: 10, burst: 20 }
  const take = (bench: Bench, cost: number, bucket = 'a') =>
    bench.store.takeTokens({ bucket, rate, cost, now: bench.now })

  await fact('grant a burst, then what time gives', async (t, bench) => {
    for (let n = 0; n < 20; n++) t.equal(await take(bench, 1), 0)
    t.equal(await take(bench, 1), 100)
    t.equal(await take(bench, 1, 'b'), 0, 'to each bucket')
    await bench.pass(100)
    t.equal(await take(bench, 1), 0)
    t.equal(await take(bench, 3), 300)
    await bench.pass(HOUR)
    t.equal(await take(bench, 20), 0)
    t.equal(await take(bench, 1), 100)
  })

  await fact('make no request impossible', async (t, bench) => {
    t.equal(await take(bench, 1000), 0)
    t.equal(await take(bench, 1000), 2000)
  })
}
