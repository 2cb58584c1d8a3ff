// The memory store keeps the contract; and what is its own: a bound on its bytes, what goes first
// when there is no space, that a refusal changes nothing, and books that are even again when
// everything has passed.
import * as fc from 'fast-check'
import t from 'tap'
import type { Identity } from '../../src/core/grants.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { NOON } from '../helpers/clock.ts'
import { holds } from '../helpers/properties.ts'
import { Bench, HOUR, LEASE, MINUTE, refusalOf, SECOND } from './contract/bench.ts'
import { testStore } from './contract.ts'

const KIB = 1024
const MIB = 1024 * KIB

await testStore(
  t,
  'memory',
  async ({ now, bytesMax = 64 * MIB }) => new MemoryStore({ now, bytesMax }),
)

const makeBench = (bytesMax = 64 * MIB) =>
  new Bench(new MemoryStore({ now: NOON - MINUTE, bytesMax }), NOON)

const identityOf = (peer: string): Identity => ({
  peer,
  guest: false,
  rooms: [],
  create: false,
  direct: [],
  expiresAt: Number.POSITIVE_INFINITY,
  tokenId: 'x',
})

/** Posts of many senders to this peer until the store is full. @returns how many were kept */
async function fill(bench: Bench, to: string, bytes = 1000): Promise<number> {
  for (let kept = 0; ; kept++) {
    const [copy] = await bench.post(to, { from: `sender${kept % 8}`, bytes })
    if (refusalOf(copy) === 'store-full') return kept
    if (refusalOf(copy)) throw new Error('its mailbox is full before the store is')
  }
}

t.test('a full store', async (t) => {
  t.test('lets go first of what was read', async (t) => {
    const bench = makeBench(100 * KIB)
    const kept = await fill(bench, 'bob')
    const { entries } = await bench.read('bob')
    await bench.acknowledge('bob', entries[9]?.id as number)
    t.equal((await bench.seqs('bob')).length, kept, 'not before there is need')
    t.equal(refusalOf((await bench.post('carol'))[0]), '')
    t.same((await bench.seqs('bob'))[0], 11, 'what was read has gone')
    t.equal((await bench.seqs('bob')).length, kept - 10, 'and nothing else')
    t.equal((await bench.read('bob', entries[3]?.id)).reset, 'evicted')
    t.equal((await bench.read('bob', entries[9]?.id)).reset, undefined)
    t.same(bench.losses, [], 'nothing unread was lost')
  })

  t.test('begins with the mailbox read longest ago', async (t) => {
    const bench = makeBench(100 * KIB)
    for (const peer of ['bob', 'carol', 'dora']) await bench.keep(peer, { bytes: 10 * KIB })
    for (const peer of ['carol', 'bob', 'dora']) {
      await bench.acknowledge(peer, (await bench.read(peer)).cursor)
    }
    await fill(bench, 'zoe', 500)
    t.equal((await bench.seqs('carol')).length, 0)
    const order: string[] = []
    const next = makeBench(45 * KIB)
    for (const peer of ['bob', 'carol', 'dora']) await next.keep(peer, { bytes: 10 * KIB })
    for (const peer of ['carol', 'bob', 'dora']) {
      await next.acknowledge(peer, (await next.read(peer)).cursor)
    }
    for (let n = 0; n < 40; n++) {
      await next.post(`zoe${n}`, { from: 'zoe', bytes: 500 })
      for (const peer of ['bob', 'carol', 'dora']) {
        if (!order.includes(peer) && (await next.seqs(peer)).length === 0) order.push(peer)
      }
    }
    t.same(order, ['carol', 'bob', 'dora'])
  })

  t.test('lets go of peers that are forgotten', async (t) => {
    const bench = makeBench(20 * KIB)
    const comes = (n: number) =>
      bench.touch(`peer${n}`).then(
        () => true,
        () => false,
      )
    let peers = 0
    while (await comes(peers)) peers += 1
    t.ok(peers > 10)
    await bench.pass(LEASE + 23 * HOUR)
    t.equal(await comes(peers), false, 'not before')
    await bench.pass(2 * HOUR)
    await bench.pass(2 * SECOND)
    t.equal(await comes(peers), true)
    t.equal(bench.store.stats().mailboxes, 1)
  })

  t.test('keeps what is unread until it expires', async (t) => {
    const bench = makeBench(60 * KIB)
    await bench.touch('bob')
    const kept = await fill(bench, 'bob')
    await bench.pass(2 * MINUTE - 1)
    t.equal((await bench.seqs('bob')).length, kept)
    const next = { from: 'zoe', bytes: 1000 }
    t.equal(refusalOf((await bench.post('bob', next))[0]), 'store-full')
    await bench.pass(2 * SECOND)
    t.equal(refusalOf((await bench.post('bob', next))[0]), '')
  })

  t.test('refuses, and nothing has changed', async (t) => {
    const bench = makeBench(60 * KIB)
    const { store } = bench
    await bench.touch('bob')
    await bench.enter('standup', 'bob')
    await store.addTicket({ ticket: 't1', identity: identityOf('bob'), now: bench.now })
    await fill(bench, 'bob')
    while (!refusalOf((await bench.post('bob', { from: 'zoe', bytes: 1 }))[0]));
    const [cursor, room, stats, seqs, rings] = [
      await store.snapshot('bob', bench.now),
      await store.room('standup'),
      store.stats(),
      await bench.seqs('bob'),
      bench.rings.length,
    ]
    const full = { code: 'store-full' }
    const once = { sender: 'bob', path: '/messages', key: 'k', item: 0 }
    const now = bench.now
    await t.rejects(bench.touch('carol'), full, 'a new peer')
    await t.rejects(bench.enter('other', 'bob'), full, 'a new room')
    await t.rejects(bench.enter('standup', 'dora'), full, 'a new member')
    await t.rejects(store.startRequest({ ...once, bodyHash: 'h', now }), full, 'a request')
    const ticket = { ticket: 't2', identity: identityOf('bob'), now }
    await t.rejects(store.addTicket(ticket), full, 'a ticket')
    await t.rejects(store.claimName({ peer: 'g', holder: 'h', now }), full, 'a name')
    t.same((await bench.post(['carol', 'bob'])).map(refusalOf), ['store-full', 'store-full'])
    t.same(store.stats(), stats)
    t.same(await store.snapshot('bob', now), cursor)
    t.same(await store.room('standup'), room)
    t.equal(await store.room('other'), undefined)
    t.same(await bench.seqs('bob'), seqs)
    t.equal(bench.rings.length, rings)
    t.equal(await store.useTicket({ ticket: 't2', stream: false, now }), undefined)
    t.ok(await store.useTicket({ ticket: 't1', stream: false, now }))
    t.match(await store.peer('carol', now), { online: false, lastSeenAt: undefined })
  })

  t.test('goes on reading', async (t) => {
    const bench = makeBench(60 * KIB)
    await bench.touch('bob')
    const kept = await fill(bench, 'bob')
    t.equal((await bench.read('bob')).entries.length, kept)
    await bench.touch('bob')
    await bench.acknowledge('bob', (await bench.read('bob')).cursor)
    await fill(bench, 'carol')
    t.match(await bench.read('nobody'), { entries: [], reset: undefined })
    t.match(await bench.store.snapshot('nobody', bench.now), { cursor: 0, rooms: [] })
    t.equal(await bench.store.room('nowhere'), undefined)
  })

  t.test('keeps what the server says to those it knows', async (t) => {
    const bench = makeBench(60 * KIB)
    await bench.enter('standup', 'bob')
    await bench.enter('standup', 'carol')
    await fill(bench, 'bob')
    const now = bench.now
    const kept = await bench.store.append({ letter: bench.notice(), to: ['nobody', 'bob'], now })
    t.same(kept.map(refusalOf), ['store-full', ''], 'one that is refused stops no other')
    t.equal(await bench.leave('standup', 'carol', true), 1)
  })

  t.test('can be left and ended', async (t) => {
    const bench = makeBench(60 * KIB)
    await bench.touch('bob')
    await bench.enter('standup', 'bob')
    await fill(bench, 'bob')
    await bench.store.revokeToken('x', NOON + HOUR, bench.now)
    t.equal(await bench.leave('standup', 'bob'), 0)
    await bench.store.forget('bob', bench.now)
    t.equal(bench.store.stats().messages, 0)
    await bench.touch('carol')
  })
})

t.test('a letter in many mailboxes is one text', async (t) => {
  const bench = makeBench()
  const peers = Array.from({ length: 100 }, (_, n) => `peer${n}`)
  await bench.post(peers, { bytes: 60 * KIB })
  t.ok(bench.store.stats().bytes < 200 * KIB, 'it counts once')
  for (const peer of peers.slice(1)) await bench.store.forget(peer, bench.now)
  t.ok(bench.store.stats().bytes > 60 * KIB, 'until the last has let it go')
  await bench.store.forget('peer0', bench.now)
  t.equal(bench.store.stats().bytes, 0)
})

t.test('copies of a keyed request count until it is done', async (t) => {
  const bench = makeBench()
  const once = { sender: 'alice', path: '/messages', key: 'k', item: 0 }
  const peers = Array.from({ length: 1000 }, (_, n) => `peer${n}`)
  const { store } = bench
  await bench.post(peers)
  const { bytes: plain } = store.stats()
  await store.startRequest({ ...once, bodyHash: 'h', now: bench.now })
  await bench.post(peers, {}, { once })
  const { bytes: running } = store.stats()
  await store.finishRequest({ ...once, answer: 'x', complete: true, now: bench.now })
  const { bytes: done } = store.stats()
  t.ok(running - done > 100 * peers.length, 'who has a copy')
  t.ok(done - plain < 110 * peers.length, 'then no more than the copies themselves')
})

t.test('reply rights have a bound, the oldest goes', async (t) => {
  const bench = makeBench()
  await bench.touch('bob')
  for (let n = 0; n < 1025; n++) {
    const from = `sender${n}`
    await bench.touch(from)
    const [kept] = await bench.post('bob', { from }, { replyUntil: NOON + HOUR })
    await bench.acknowledge('bob', kept && 'id' in kept ? kept.id : 0)
  }
  const rights = await bench.store.replyRights('bob', bench.now)
  t.equal(rights.length, 1024)
  t.notOk(rights.includes('sender0'))
})

t.test('what a sender has unread is given back', async (t) => {
  const ends: Record<string, (bench: Bench, peer: string) => Promise<void>> = {
    'by reading': async (bench, peer) => bench.acknowledge(peer, (await bench.read(peer)).cursor),
    'by expiry': (bench) => bench.pass(3 * MINUTE),
    'by the end of its reader': (bench, peer) => bench.store.forget(peer, bench.now),
    'by a hand-over and reading': async (bench, peer) => {
      const device = `${peer}:phone`
      await bench.touch(device)
      await bench.acknowledge(device, (await bench.read(device)).cursor)
    },
    'by reading, then a hand-over': async (bench, peer) => {
      await bench.acknowledge(peer, (await bench.read(peer)).cursor)
      const device = `${peer}:phone`
      await bench.touch(device)
      await bench.acknowledge(device, (await bench.read(device)).cursor)
    },
  }
  for (const [how, end] of Object.entries(ends)) {
    t.test(how, async (t) => {
      const bench = makeBench()
      for (let round = 0; round < 3; round++) {
        const peers = Array.from({ length: 16 }, (_, n) => `peer${round}-${n}`)
        for (const peer of peers) {
          for (let n = 0; n < 4; n++) await bench.keep(peer, { bytes: 64 * KIB })
        }
        const [copy] = await bench.post('other', { bytes: 1 })
        t.equal(refusalOf(copy), 'mailbox-full', `4 MiB, no less and no more, round ${round}`)
        for (const peer of peers) await end(bench, peer)
      }
    })
  }
})

t.test('the books are even', async (t) => {
  t.test('after any history, when all of it has passed', async (t) => {
    const bench = makeBench(300 * KIB)
    const property = fc.asyncProperty(fc.array(act, { maxLength: 60 }), async (acts) => {
      for (const { run } of acts) {
        await run(bench)
        const { bytes, messages } = bench.store.stats()
        if (bytes < 0 || messages < 0) throw new Error(`less than nothing: ${bytes} ${messages}`)
      }
      await letAllPass(bench)
      const left = JSON.stringify(bench.store.stats())
      if (left !== NOTHING) throw new Error(`left: ${left}`)
    })
    await holds(t, property, { runs: 500, what: 'nothing is left, nothing was counted twice' })
  })

  t.test('at every moment: messages are those that are kept', async (t) => {
    const bench = makeBench(300 * KIB)
    const property = fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
      for (const { run } of acts) await run(bench)
      let kept = 0
      for (const peer of PEERS) kept += (await bench.read(peer)).entries.length
      const { messages } = bench.store.stats()
      await letAllPass(bench)
      return kept === messages
    })
    await holds(t, property, { runs: 300, what: 'counted = readable' })
  })
})

const NOTHING = JSON.stringify({ mailboxes: 0, messages: 0, rooms: 0, bytes: 0 })
const PEERS = ['alice', 'bob', 'bob:phone', 'bob:tablet', 'guest-1', 'guest-1:x']
const ROOMS = ['a', 'b']

interface Act {
  run(bench: Bench): Promise<unknown>
  toString(): string
}

let tickets = 0

/** Anything that a store may be asked to do; a refusal is an answer like another. */
const act: fc.Arbitrary<Act> = fc
  .record({
    kind: fc.nat(17),
    peer: fc.constantFrom(...PEERS),
    other: fc.constantFrom(...PEERS),
    room: fc.constantFrom(...ROOMS),
    n: fc.nat(11),
  })
  .map(({ kind, peer, other, room, n }) => ({
    toString: () => `${kind} ${peer} ${other} ${room} ${n}`,
    run: (bench) => doSomething(bench, { kind, peer, other, room, n }).catch(refused),
  }))

function refused(error: unknown): void {
  if ((error as { code?: string }).code !== 'store-full') throw error
}

interface Something {
  kind: number
  peer: string
  other: string
  room: string
  n: number
}

async function doSomething(bench: Bench, { kind, peer, other, room, n }: Something) {
  const { store, now } = bench
  const once = { sender: peer, path: '/messages', key: `k${n % 3}`, item: n % 2 }
  const acts: (() => Promise<unknown>)[] = [
    () => bench.touch(peer, peer.startsWith('guest')),
    () =>
      bench.post([peer, other], { from: other, bytes: 1000 * (n + 1) }, { replyUntil: now + HOUR }),
    () => bench.post(peer, { from: other, expiresAt: now + n * SECOND, guest: true }),
    () => bench.post(peer, { from: other, expiresAt: now + HOUR, bytes: 20 * KIB }),
    () => bench.read(peer, 0, { acknowledge: true }),
    async () => bench.acknowledge(peer, (await bench.read(peer)).entries[n]?.id ?? 1),
    async () => bench.acknowledge(peer, (await bench.read(peer)).cursor),
    // Whoever joins has come: every request renews the lease first.
    () => bench.touch(peer).then(() => bench.enter(room, peer, 3)),
    () => bench.leave(room, peer, n % 2 === 0),
    () => bench.pass(n * 10 * SECOND, { swept: n % 2 === 0 }),
    () => bench.pass(n * 30 * MINUTE, { swept: n % 2 === 0 }),
    async () => {
      for (const name of ROOMS) await bench.leave(name, peer)
      await store.forget(peer, now)
    },
    () => store.claimName({ peer, holder: `h${n % 2}`, now }),
    () =>
      store.addTicket({
        ticket: `ticket ${++tickets}`,
        identity: { ...identityOf(peer), expiresAt: now + n * MINUTE },
        now,
      }),
    () => store.startRequest({ ...once, bodyHash: `h${n % 2}`, now }),
    () =>
      store.finishRequest({
        ...once,
        answer: n < 4 ? undefined : 'x'.repeat(n * 100),
        complete: n % 2 === 0,
        now,
      }),
    () => bench.post([peer, other], { from: once.sender }, { once }),
    () => store.revokeToken(`t${n}`, now + n * MINUTE, now),
  ]
  await acts[kind]?.()
}

/** Everybody stays away for two days; the house is kept meanwhile. */
async function letAllPass(bench: Bench): Promise<void> {
  const minutes = Array<number>(13).fill(MINUTE)
  for (const ms of [2 * SECOND, LEASE, ...minutes, 24 * HOUR, 2 * SECOND, HOUR, 24 * HOUR]) {
    await bench.pass(ms)
    for (const { peer, rooms } of await bench.store.gonePeers(bench.now)) {
      for (const room of rooms) await bench.leave(room, peer, true)
    }
  }
  for (let n = 0; n < 4; n++) await bench.pass(HOUR)
}
