// Promises about rooms: who gets in, what the others are told in the same step, how a room ends,
// and whom one reaches through a room (protocol section 5). A refusal tells nobody and makes
// nothing.
import type { Test } from 'tap'
import { NOON, NOON_ID } from '../../helpers/clock.ts'
import { type Build, type Fact, factsOf, LEASE, membersOf, SECOND } from './bench.ts'

export async function testRooms(t: Test, build: Build): Promise<void> {
  await t.test('joining', async (t) => joining(factsOf(t, build)))
  await t.test('leaving', async (t) => leaving(factsOf(t, build)))
  await t.test('mates', async (t) => mates(factsOf(t, build)))
}

async function joining(fact: Fact): Promise<void> {
  await fact('makes a room where that is allowed', async (t, bench) => {
    t.same(await bench.join('standup', 'alice'), { state: 'no-room' })
    t.equal(await bench.store.room('standup'), undefined)
    const made = await bench.enter('standup', 'alice', 7)
    t.match(made, { state: 'joined', created: true })
    t.match(await bench.join('standup', 'bob'), { state: 'joined', created: false })
    t.match(await bench.store.room('standup'), { capacity: 7 })
  })

  await fact('shows all members, in the order of joining', async (t, bench) => {
    await bench.join('standup', 'alice', { create: { capacity: 9 }, info: { a: 1 } })
    bench.now += 5
    const joined = await bench.join('standup', 'bob', { info: { b: 2 } })
    const members = joined.state === 'joined' ? joined.room.members : []
    t.match(members, [
      { peer: 'alice', info: { a: 1 }, joinedAt: NOON },
      { peer: 'bob', info: { b: 2 }, joinedAt: NOON + 5 },
    ])
    const orders = members.map(({ order }) => order)
    t.ok((orders[1] as number) > (orders[0] as number))
    t.same(await bench.store.room('standup'), { capacity: 9, members })
  })

  await fact('tells the others, not the newcomer', async (t, bench) => {
    await bench.enter('standup', 'alice')
    await bench.enter('standup', 'bob')
    bench.rings.length = 0
    const notice = bench.notice({ seq: 99 })
    const step = { room: 'standup', peer: 'carol', info: undefined, notice, now: bench.now }
    await bench.store.join(step)
    t.same((await bench.seqs('alice')).at(-1), 99)
    t.same((await bench.seqs('bob')).at(-1), 99)
    t.same(await bench.seqs('carol'), [])
    t.same(bench.rings.toSorted(), ['alice', 'bob'])
  })

  await fact('twice is the same as once', async (t, bench) => {
    await bench.enter('standup', 'alice')
    await bench.enter('standup', 'bob')
    const before = await bench.store.room('standup')
    bench.now += SECOND
    bench.rings.length = 0
    t.match(await bench.enter('standup', 'bob'), { state: 'joined', created: false })
    t.same(await bench.store.room('standup'), before)
    t.same(bench.rings, [], 'nobody is told')
  })

  await fact('a full room takes nobody', async (t, bench) => {
    await bench.enter('pair', 'alice', 2)
    await bench.enter('pair', 'bob', 5)
    bench.rings.length = 0
    t.same(await bench.enter('pair', 'carol'), { state: 'full' })
    t.same(bench.rings, [])
    t.same(membersOf(await bench.store.room('pair')), ['alice', 'bob'])
    t.same((await bench.store.snapshot('carol', bench.now)).rooms, [])
    t.match(await bench.enter('pair', 'bob'), { state: 'joined' }, 'but who is in stays in')
    await bench.leave('pair', 'alice')
    t.match(await bench.enter('pair', 'carol'), { state: 'joined' })
  })

  await fact('a peer is in 64 rooms at most', async (t, bench) => {
    for (let n = 0; n < 64; n++) await bench.enter(`room${n}`, 'alice')
    t.same(await bench.enter('room64', 'alice'), { state: 'too-many-rooms' })
    t.equal(await bench.store.room('room64'), undefined, 'and none is made')
    t.match(await bench.enter('room7', 'alice'), { state: 'joined' }, 'one that it is in')
    await bench.leave('room0', 'alice')
    t.match(await bench.enter('room64', 'alice'), { state: 'joined' })
  })

  await fact('names the newest id of the newcomer', async (t, bench) => {
    await bench.enter('standup', 'alice')
    const id = await bench.keep('bob')
    t.match(await bench.join('standup', 'bob'), { newest: id })
    bench.now += 1
    t.ok((await bench.keep('bob')) > id)
  })

  await fact('reaches also a full mailbox', async (t, bench) => {
    await bench.enter('standup', 'alice')
    for (let n = 0; n < 256; n++) await bench.keep('alice', { from: `sender${n % 8}` })
    await bench.enter('standup', 'bob')
    t.equal((await bench.seqs('alice')).length, 257)
  })
}

async function leaving(fact: Fact): Promise<void> {
  await fact('tells the others and counts them', async (t, bench) => {
    for (const peer of ['alice', 'bob', 'carol']) await bench.enter('standup', peer)
    const before = await bench.seqs('alice')
    bench.rings.length = 0
    t.equal(await bench.leave('standup', 'alice'), 2)
    t.same(bench.rings.toSorted(), ['bob', 'carol'])
    t.same(await bench.seqs('alice'), before, 'not itself')
    t.same(membersOf(await bench.store.room('standup')), ['bob', 'carol'])
    t.same((await bench.store.snapshot('alice', bench.now)).rooms, [])
  })

  await fact('tells the peer itself when asked to', async (t, bench) => {
    await bench.touch('alice')
    await bench.enter('standup', 'alice')
    await bench.pass(LEASE + 2 * SECOND)
    bench.rings.length = 0
    t.equal(await bench.leave('standup', 'alice', true), 0)
    t.same(bench.rings, ['alice'])
    t.equal((await bench.seqs('alice')).length, 1)
  })

  await fact('where one is not changes nothing', async (t, bench) => {
    t.equal(await bench.leave('nowhere', 'alice', true), undefined)
    await bench.enter('standup', 'bob')
    bench.rings.length = 0
    t.equal(await bench.leave('standup', 'alice', true), undefined)
    t.same(bench.rings, [])
    t.same(await bench.seqs('alice'), [])
    t.same(membersOf(await bench.store.room('standup')), ['bob'])
  })

  await fact('as the last one ends the room', async (t, bench) => {
    await bench.enter('standup', 'alice', 2)
    t.equal(await bench.leave('standup', 'alice'), 0)
    t.equal(await bench.store.room('standup'), undefined)
    t.equal(bench.store.stats().rooms, 0)
    t.match(await bench.enter('standup', 'bob', 9), { created: true, room: { capacity: 9 } })
  })

  await fact('and joining again makes one the newest', async (t, bench) => {
    for (const peer of ['alice', 'bob']) await bench.enter('standup', peer)
    await bench.leave('standup', 'alice')
    await bench.enter('standup', 'alice')
    const { members = [] } = (await bench.store.room('standup')) ?? {}
    t.same(
      members.map(({ peer }) => peer),
      ['bob', 'alice'],
    )
    t.ok((members[1]?.order ?? 0) > (members[0]?.order ?? 0))
  })

  await fact('reaches the others in one order with what they get', async (t, bench) => {
    await bench.enter('standup', 'alice')
    await bench.keep('alice', { seq: 1000 })
    await bench.enter('standup', 'bob')
    await bench.keep('alice', { seq: 1001 })
    await bench.leave('standup', 'bob')
    const seqs = await bench.seqs('alice')
    t.equal(seqs.length, 4)
    t.same([seqs[0], seqs[2]], [1000, 1001])
    t.equal((await bench.read('alice')).entries[0]?.id, NOON_ID)
  })
}

async function mates(fact: Fact): Promise<void> {
  await fact('are those one shares a room with', async (t, bench) => {
    const { store } = bench
    for (const peer of ['alice', 'bob', 'bob:phone']) await bench.enter('a', peer)
    for (const peer of ['alice', 'carol']) await bench.enter('b', peer)
    for (const peer of ['bob:tablet', 'dora']) await bench.enter('c', peer)
    t.same((await store.roomMates('alice', 'bob')).toSorted(), ['bob', 'bob:phone'], 'by name')
    t.same(await store.roomMates('alice', 'bob:phone'), ['bob:phone'], 'by address')
    t.same(await store.roomMates('alice', 'bob:tablet'), [], 'not in another room')
    t.same(await store.roomMates('alice', 'carol'), ['carol'])
    t.same(await store.roomMates('alice', 'dora'), [])
    t.same(await store.roomMates('bob', 'carol'), [], 'not through a third')
    t.same(await store.roomMates('nobody', 'alice'), [])
    t.same(await store.roomMates('alice', 'nobody'), [])
  })

  await fact('are mates no more when one has left', async (t, bench) => {
    for (const room of ['a', 'b']) {
      for (const peer of ['alice', 'bob']) await bench.enter(room, peer)
    }
    await bench.leave('a', 'bob')
    t.same(await bench.store.roomMates('alice', 'bob'), ['bob'], 'while they share another')
    await bench.leave('b', 'alice')
    t.same(await bench.store.roomMates('alice', 'bob'), [])
    t.same(await bench.store.roomMates('bob', 'alice'), [])
  })
}
