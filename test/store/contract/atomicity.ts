// Steps that meet: many calls at once are as if one came after the other, whatever the order. In
// one process with a store in memory that is easy; over a disk or a network it is what a store is
// worth (store.ts, ATOMICITY).
import type { Test } from 'tap'
import type { Identity } from '../../../src/core/grants.ts'
import { NOON } from '../../helpers/clock.ts'
import { type Build, factsOf, HOUR, idOf, membersOf } from './bench.ts'

const times = <T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, n) => make(n)))

export async function testAtomicity(t: Test, build: Build): Promise<void> {
  const fact = factsOf(t, build)

  await fact('letters at once get an id each', async (t, bench) => {
    const kept = await times(100, (n) => bench.post('bob', { from: `sender${n % 4}` }))
    const ids = kept.map(([copy]) => idOf(copy))
    t.equal(new Set(ids).size, 100)
    const { entries } = await bench.read('bob')
    t.same(
      entries.map(({ id }) => id),
      ids.toSorted(),
    )
  })

  await fact('one of many takes the last place', async (t, bench) => {
    await bench.enter('pair', 'alice', 3)
    const outcomes = await times(10, (n) => bench.join('pair', `peer${n}`))
    t.equal(outcomes.filter(({ state }) => state === 'joined').length, 2)
    t.equal(outcomes.filter(({ state }) => state === 'full').length, 8)
    t.equal(membersOf(await bench.store.room('pair')).length, 3)
  })

  await fact('a room is made once', async (t, bench) => {
    const outcomes = await times(10, (n) => bench.enter('standup', `peer${n}`, 5 + n))
    const made = outcomes.filter((outcome) => outcome.state === 'joined' && outcome.created)
    t.equal(made.length, 1)
    const { members = [] } = (await bench.store.room('standup')) ?? {}
    t.equal(new Set(members.map(({ order }) => order)).size, members.length)
    t.same(await bench.seqs('peer0').then((seqs) => seqs.length), members.length - 1)
  })

  await fact('a peer leaves once', async (t, bench) => {
    await bench.enter('standup', 'alice')
    await bench.enter('standup', 'bob')
    const before = (await bench.seqs('alice')).length
    const left = await times(5, () => bench.leave('standup', 'bob'))
    t.same(
      left.filter((told) => told !== undefined),
      [1],
    )
    t.equal((await bench.seqs('alice')).length, before + 1)
  })

  await fact('a name goes to one of many', async (t, bench) => {
    const claims = () =>
      times(8, (n) => bench.store.claimName({ peer: 'g', holder: `h${n}`, now: bench.now }))
    const first = await claims()
    t.equal(first.filter(Boolean).length, 1)
    t.same(await claims(), first, 'and stays with it')
  })

  await fact('a request is claimed once', async (t, bench) => {
    const step = { sender: 'alice', path: '/messages', key: 'k', item: 0, bodyHash: 'h' }
    const states = await times(10, () => bench.store.startRequest({ ...step, now: bench.now }))
    t.equal(states.filter(({ state }) => state === 'run').length, 1)
    t.equal(states.filter(({ state }) => state === 'running').length, 9)
  })

  await fact('an item is kept once', async (t, bench) => {
    const once = { sender: 'alice', path: '/messages', key: 'k', item: 0 }
    await bench.store.startRequest({ ...once, bodyHash: 'h', now: bench.now })
    const kept = await times(5, () => bench.post(['bob', 'carol'], {}, { once }))
    t.equal(new Set(kept.map(([copy]) => idOf(copy))).size, 1)
    t.equal((await bench.seqs('bob')).length, 1)
    t.equal((await bench.seqs('carol')).length, 1)
  })

  await fact('a bucket grants its burst once', async (t, bench) => {
    const rate = { name: 'x', perSecond: 10, burst: 20 }
    const step = { bucket: 'a', rate, cost: 1, now: bench.now }
    const waits = await times(50, () => bench.store.takeTokens(step))
    t.equal(waits.filter((wait) => wait === 0).length, 20)
  })

  await fact('a ticket opens its first stream once', async (t, bench) => {
    const identity: Identity = {
      peer: 'bob',
      guest: false,
      rooms: [],
      create: false,
      direct: [],
      expiresAt: NOON + HOUR,
      tokenId: 'x',
    }
    await times(12, (n) => bench.store.addTicket({ ticket: `t${n}`, identity, now: bench.now }))
    const used = await times(12, (n) =>
      bench.store.useTicket({ ticket: `t${n}`, stream: false, now: bench.now }),
    )
    const alive = used.flatMap((found, n) => (found ? [`t${n}`] : []))
    t.equal(alive.length, 8)
    const ticket = alive[0] as string
    const opened = await times(5, () =>
      bench.store.useTicket({ ticket, stream: true, now: bench.now }),
    )
    t.equal(opened.filter((found) => found?.streamed === false).length, 1)
  })

  await fact('a device takes over what waits, once', async (t, bench) => {
    await bench.keep('bob')
    const devices = ['bob:a', 'bob:b', 'bob:c']
    await Promise.all(devices.map((device) => bench.touch(device)))
    const found = await Promise.all(devices.map((device) => bench.seqs(device)))
    t.same(found.flat(), [1])
  })

  await fact('a reader beside a writer misses nothing', async (t, bench) => {
    const seen: number[] = []
    let cursor = 0
    const read = async () => {
      const page = await bench.read('bob', cursor, { limit: 3, acknowledge: true })
      seen.push(...page.entries.map(({ id }) => id))
      cursor = page.cursor
    }
    const posted = times(60, (n) => bench.post('bob', { from: `sender${n % 2}` }))
    for (let n = 0; n < 30; n++) await read()
    const ids = (await posted).map(([kept]) => idOf(kept))
    for (let n = 0; n < 30; n++) await read()
    t.same(seen, ids.toSorted())
  })
}
