// Promises about time: what is past it is never returned, swept or not, and once it was swept
// nothing of it is left (store.ts, EXPIRY). The last is tried by a day of life that uses everything
// a store has, three times over.
import type { Test } from 'tap'
import { NOON } from '../../helpers/clock.ts'
import { type Bench, type Build, factsOf, HOUR, LEASE, MINUTE, membersOf, SECOND } from './bench.ts'

export async function testSweeps(t: Test, build: Build): Promise<void> {
  const fact = factsOf(t, build)

  await fact('an empty store holds nothing', async (t, bench) => {
    t.match(bench.store.stats(), { mailboxes: 0, messages: 0, rooms: 0 })
  })

  await fact('statistics count what is kept', async (t, bench) => {
    const { bytes } = bench.store.stats()
    await bench.post(['bob', 'carol'])
    await bench.post('bob')
    await bench.enter('standup', 'dora')
    t.match(bench.store.stats(), { mailboxes: 3, messages: 3, rooms: 1 })
    t.ok(bench.store.stats().bytes > bytes)
  })

  await fact('what is past its time goes, whatever it was', async (t, bench) => {
    const before = bench.store.stats()
    for (let round = 0; round < 3; round++) {
      await liveADay(bench)
      t.same(bench.store.stats(), before, `day ${round + 1}`)
    }
  })

  await fact('what is not past its time stays', async (t, bench) => {
    await bench.touch('bob')
    await bench.keep('bob', { expiresAt: NOON + HOUR })
    await bench.enter('standup', 'bob')
    for (let n = 0; n < 30; n++) {
      await bench.pass(30 * SECOND)
      await bench.touch('bob')
    }
    t.same(await bench.seqs('bob'), [1])
    t.same(membersOf(await bench.store.room('standup')), ['bob'])
  })

  await fact('sweeping often or late is the same', async (t, bench) => {
    await bench.keep('bob', { expiresAt: NOON + 5 * SECOND })
    await bench.keep('bob', { expiresAt: NOON + 90 * SECOND })
    for (let n = 0; n < 100; n++) await bench.pass(70)
    t.same(await bench.seqs('bob'), [2])
    await bench.pass(HOUR)
    t.same(await bench.seqs('bob'), [])
    t.same(bench.losses, ['expired', 'expired'])
  })
}

/** Uses everything that a store has, and lets it all pass. */
async function liveADay(bench: Bench): Promise<void> {
  const { store } = bench
  const once = { sender: 'alice', path: '/messages', key: 'k', item: 0 }
  const begin = bench.now
  for (const peer of ['alice', 'bob:phone', 'bob:tablet']) await bench.touch(peer)
  await store.claimName({ peer: 'guest-1', holder: 'h', now: bench.now })
  await bench.touch('guest-1', true)
  await bench.keep('nobody')
  await bench.post(['alice', 'bob:phone', 'bob'], {}, { replyUntil: begin + HOUR })
  await bench.touch('carol:x')
  await bench.acknowledge('alice', (await bench.read('alice')).cursor)
  for (const peer of ['alice', 'bob:phone', 'guest-1']) await bench.enter('standup', peer)
  await bench.leave('standup', 'guest-1')
  const identity = {
    peer: 'alice',
    guest: false,
    rooms: [],
    create: false,
    direct: [],
    expiresAt: begin + HOUR,
    tokenId: 'x',
  }
  for (let n = 0; n < 10; n++) await store.addTicket({ ticket: `t${n}`, identity, now: bench.now })
  await store.revokeToken('x', begin + HOUR, bench.now)
  await store.startRequest({ ...once, bodyHash: 'h', now: bench.now })
  await bench.post('alice', {}, { once })
  await store.startRequest({ ...once, key: 'l', bodyHash: 'h', now: bench.now })
  // A claim that is taken over, and a key that is used anew before the old one was swept away.
  await bench.pass(11 * SECOND)
  await store.startRequest({ ...once, bodyHash: 'h', now: bench.now })
  await store.finishRequest({ ...once, answer: 'x'.repeat(500), complete: true, now: bench.now })
  await bench.pass(10 * MINUTE, { swept: false })
  await store.startRequest({ ...once, bodyHash: 'h', now: bench.now })
  await store.finishRequest({ ...once, answer: 'y', complete: false, now: bench.now })
  await store.startRequest({ ...once, key: 'm', bodyHash: 'h', now: bench.now })
  await bench.pass(11 * SECOND)
  await store.startRequest({ ...once, key: 'm', bodyHash: 'h', now: bench.now })
  for (let n = 0; n < 12; n++) await bench.pass(MINUTE)
  await store.forget('guest-1', bench.now)
  await bench.pass(LEASE + 2 * SECOND)
  for (const { peer, rooms } of await store.gonePeers(bench.now)) {
    for (const room of rooms) await bench.leave(room, peer, true)
  }
  await bench.read('somebody')
  // Every due time is met within a second or two of it; leases and letters follow one another.
  for (let hour = 0; hour < 28; hour++) await bench.pass(HOUR)
  for (let n = 0; n < 5; n++) await bench.pass(2 * SECOND)
}
