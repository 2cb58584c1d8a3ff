// Promises about peers: who is known and online for how long, whom a name reaches, what is handed
// over, how a peer ends, who holds a guest's name and who may reply (protocol sections 1 to 3).
// Where time decides, it is tried with a sweep and without.
import type { Test } from 'tap'
import { NOON, NOON_ID } from '../../helpers/clock.ts'
import { seqsOf } from '../../helpers/letters.ts'
import {
  type Bench,
  type Build,
  type Fact,
  factsOf,
  HOUR,
  LEASE,
  MINUTE,
  membersOf,
  SECOND,
} from './bench.ts'

const KNOWN_MS = LEASE + 24 * HOUR
const GUEST_KNOWN_MS = LEASE + 10 * MINUTE

export async function testPeers(t: Test, build: Build): Promise<void> {
  await t.test('leases', async (t) => leases(factsOf(t, build)))
  await t.test('names and devices', async (t) => names(factsOf(t, build)))
  await t.test('the hand-over to a first device', async (t) => handOver(factsOf(t, build)))
  await t.test('peers that are gone', async (t) => gone(factsOf(t, build)))
  await t.test('forgetting', async (t) => forgetting(factsOf(t, build)))
  await t.test("guests' names", async (t) => guestNames(factsOf(t, build)))
  await t.test('reply rights', async (t) => replyRights(factsOf(t, build)))
}

const stateOf = (bench: Bench, peer: string) => bench.store.peer(peer, bench.now)
const knownOf = (bench: Bench, name: string) => bench.store.known(name, bench.now)

async function leases(fact: Fact): Promise<void> {
  await fact('a peer is online until its lease runs out', async (t, bench) => {
    await bench.touch('bob')
    t.same(await stateOf(bench, 'bob'), { online: true, lastSeenAt: NOON })
    bench.now += LEASE - 1
    t.match(await stateOf(bench, 'bob'), { online: true })
    bench.now += 1
    t.same(await stateOf(bench, 'bob'), { online: false, lastSeenAt: NOON })
  })

  await fact('every act renews the lease', async (t, bench) => {
    await bench.touch('bob')
    await bench.pass(30 * SECOND)
    await bench.touch('bob')
    await bench.pass(30 * SECOND)
    t.same(await stateOf(bench, 'bob'), { online: true, lastSeenAt: NOON + 30 * SECOND })
    await bench.pass(16 * SECOND)
    t.match(await stateOf(bench, 'bob'), { online: false })
    await bench.touch('bob')
    t.match(await stateOf(bench, 'bob'), { online: true }, 'also one that had run out')
  })

  await fact('a peer that never came is not known', async (t, bench) => {
    t.same(await stateOf(bench, 'bob'), { online: false })
    await bench.keep('bob')
    await bench.read('bob')
    t.same(await stateOf(bench, 'bob'), { online: false }, 'whatever is written to it')
    t.same(await knownOf(bench, 'bob'), [])
  })

  await fact('presence is of a full address', async (t, bench) => {
    await bench.touch('bob:phone')
    t.same(await stateOf(bench, 'bob'), { online: false })
    t.same(await stateOf(bench, 'bob:tablet'), { online: false })
    t.match(await stateOf(bench, 'bob:phone'), { online: true })
  })

  for (const swept of [true, false]) {
    const how = swept ? 'swept' : 'not swept'
    await fact(`a peer is known 24 h after its lease (${how})`, async (t, bench) => {
      await bench.touch('bob')
      await bench.pass(KNOWN_MS - 1, { swept })
      t.same(await stateOf(bench, 'bob'), { online: false, lastSeenAt: NOON })
      t.same(await knownOf(bench, 'bob'), ['bob'])
      await bench.pass(1, { swept })
      t.same(await stateOf(bench, 'bob'), { online: false })
      t.same(await knownOf(bench, 'bob'), [])
    })

    await fact(`a guest is known 10 min after its lease (${how})`, async (t, bench) => {
      await bench.touch('guest-1', true)
      await bench.pass(GUEST_KNOWN_MS - 1, { swept })
      t.same(await knownOf(bench, 'guest-1'), ['guest-1'])
      await bench.pass(1, { swept })
      t.same(await knownOf(bench, 'guest-1'), [])
    })
  }

  await fact('an open read renews the lease', async (t, bench) => {
    await bench.touch('bob')
    for (let n = 0; n < 4; n++) {
      await bench.pass(30 * SECOND)
      t.equal(await bench.renew('bob'), true)
      t.match(await stateOf(bench, 'bob'), { online: true })
    }
    await bench.pass(LEASE + HOUR)
    await bench.renew('bob')
    t.match(await stateOf(bench, 'bob'), { online: true }, 'of who is known')
  })

  await fact('an open read makes nobody known', async (t, bench) => {
    const before = bench.store.stats()
    t.equal(await bench.renew('bob'), true)
    t.same(await stateOf(bench, 'bob'), { online: false }, 'that never came')
    await bench.touch('carol')
    await bench.store.forget('carol', bench.now)
    await bench.renew('carol')
    t.same(await stateOf(bench, 'carol'), { online: false }, 'that has ended its session')
    t.same(bench.store.stats(), before, 'and leaves nothing behind')
    await bench.touch('dora')
    await bench.pass(KNOWN_MS, { swept: false })
    await bench.renew('dora')
    t.same(await knownOf(bench, 'dora'), [], 'that is forgotten')
  })

  await fact('a guest stays one when it is not said', async (t, bench) => {
    await bench.touch('guest-1', true)
    await bench.renew('guest-1')
    await bench.touch('bob')
    await bench.renew('bob')
    await bench.pass(GUEST_KNOWN_MS)
    t.same(await knownOf(bench, 'guest-1'), [])
    t.same(await knownOf(bench, 'bob'), ['bob'])
  })
}

async function names(fact: Fact): Promise<void> {
  await fact('a name reaches its known devices', async (t, bench) => {
    await bench.touch('bob:phone')
    await bench.pass(SECOND)
    await bench.touch('bob:tablet')
    await bench.touch('bobby:phone')
    t.same((await knownOf(bench, 'bob')).toSorted(), ['bob:phone', 'bob:tablet'])
  })

  await fact('and itself, if it is known', async (t, bench) => {
    await bench.keep('bob')
    await bench.touch('bob:phone')
    t.same(await knownOf(bench, 'bob'), ['bob:phone'], 'not because somebody wrote to it')
    await bench.touch('bob')
    t.same((await knownOf(bench, 'bob')).toSorted(), ['bob', 'bob:phone'])
  })

  await fact('a name reaches the 16 devices used last', async (t, bench) => {
    for (let n = 0; n < 17; n++) {
      await bench.touch(`bob:d${n}`)
      bench.now += SECOND
    }
    await bench.touch('bob')
    const first = await knownOf(bench, 'bob')
    t.equal(first.length, 17, 'and the bare name besides')
    t.notOk(first.includes('bob:d0'))
    await bench.touch('bob:d0')
    const second = await knownOf(bench, 'bob')
    t.ok(second.includes('bob:d0'))
    t.notOk(second.includes('bob:d1'))
  })
}

async function handOver(fact: Fact): Promise<void> {
  await fact('gives it what waits for the name', async (t, bench) => {
    const ids = [await bench.keep('bob'), await bench.keep('bob')]
    await bench.touch('bob:phone')
    const { entries, newest } = await bench.read('bob:phone')
    t.same(seqsOf(entries), [1, 2])
    t.ok(newest >= (ids[1] as number))
    t.same(await bench.seqs('bob'), [], 'and leaves nothing behind')
  })

  await fact('is to the first device only', async (t, bench) => {
    await bench.keep('bob')
    await bench.touch('bob:phone')
    await bench.touch('bob:tablet')
    t.same(await bench.seqs('bob:tablet'), [])
    await bench.keep('bob')
    await bench.touch('bob:watch')
    t.same(await bench.seqs('bob:watch'), [], 'while one is known')
  })

  await fact('does not happen where the name is known', async (t, bench) => {
    await bench.touch('bob')
    await bench.keep('bob')
    await bench.touch('bob:phone')
    t.same(await bench.seqs('bob'), [1])
    t.same(await bench.seqs('bob:phone'), [])
  })

  await fact('does not happen to the name itself', async (t, bench) => {
    await bench.keep('bob')
    await bench.touch('bob')
    t.same(await bench.seqs('bob'), [1])
  })

  await fact('happens again when no device is known', async (t, bench) => {
    await bench.touch('bob:phone')
    await bench.pass(KNOWN_MS)
    await bench.keep('bob')
    await bench.touch('bob:tablet')
    t.same(await bench.seqs('bob:tablet'), [1])
  })

  await fact('takes nothing back that has expired', async (t, bench) => {
    await bench.keep('bob', { expiresAt: NOON + 5 * SECOND })
    await bench.keep('bob')
    await bench.pass(6 * SECOND, { swept: false })
    await bench.touch('bob:phone')
    t.same(await bench.seqs('bob:phone'), [2])
    await bench.pass(2 * MINUTE)
    t.same(await bench.seqs('bob:phone'), [], 'and lets expire what it gave')
  })

  await fact('keeps ids increasing', async (t, bench) => {
    await bench.keep('bob', { from: 'alice' })
    bench.now += 1
    const own = await bench.keep('bob:phone', { from: 'carol' })
    await bench.touch('bob:phone')
    const { entries, newest } = await bench.read('bob:phone')
    const ids = entries.map(({ id }) => id)
    t.equal(new Set(ids).size, 2)
    t.same(ids, ids.toSorted())
    t.ok(newest >= own)
    t.ok((await bench.keep('bob:phone')) > newest)
    t.ok((await bench.keep('bob')) > NOON_ID, 'and of what comes to the name later')
  })

  await fact('gives what a reader has not seen', async (t, bench) => {
    await bench.touch('bob:phone')
    const { cursor } = await bench.read('bob:phone')
    await bench.pass(KNOWN_MS)
    await bench.keep('bob')
    await bench.touch('bob:phone')
    const page = await bench.read('bob:phone', cursor)
    t.same(seqsOf(page.entries), [1], 'behind its old cursor, or from a reset')
  })

  await fact('keeps what one sender posted in order', async (t, bench) => {
    await bench.keep('bob')
    bench.now += 1
    await bench.keep('bob:phone')
    await bench.touch('bob:phone')
    t.same(await bench.seqs('bob:phone'), [1, 2], 'to the name, then to the device')
  })

  await fact('leaves out what a former reader has had', async (t, bench) => {
    await bench.touch('guest-1', true)
    await bench.keep('guest-1', { expiresAt: NOON + HOUR })
    await bench.keep('guest-1', { expiresAt: NOON + HOUR })
    const { entries } = await bench.read('guest-1')
    await bench.acknowledge('guest-1', entries[0]?.id as number)
    await bench.pass(GUEST_KNOWN_MS)
    await bench.touch('guest-1:phone', true)
    t.same(await bench.seqs('guest-1:phone'), [2], 'what waits is what is unread')
  })

  await fact('gives the right to reply', async (t, bench) => {
    await bench.touch('alice')
    await bench.touch('carol')
    await bench.post('bob:phone', { from: 'carol' }, { replyUntil: NOON + HOUR })
    await bench.post('bob', { from: 'alice' }, { replyUntil: NOON + HOUR })
    await bench.touch('bob:phone')
    const rights = await bench.store.replyRights('bob:phone', bench.now)
    t.same(rights.toSorted(), ['alice', 'carol'], 'besides those that it has')
  })

  await fact('takes no member out of a room', async (t, bench) => {
    await bench.touch('bob')
    await bench.enter('standup', 'bob')
    await bench.pass(KNOWN_MS + 2 * SECOND)
    await bench.touch('bob:phone')
    t.same(await bench.store.gonePeers(bench.now), [{ peer: 'bob', rooms: ['standup'] }])
    t.equal(await bench.leave('standup', 'bob', true), 0)
    t.equal(await bench.store.room('standup'), undefined)
  })
}

async function gone(fact: Fact): Promise<void> {
  const goneOf = async (bench: Bench) =>
    (await bench.store.gonePeers(bench.now)).map(({ peer, rooms }) => [peer, rooms.toSorted()])

  await fact('are those in rooms whose lease ran out', async (t, bench) => {
    await bench.touch('bob')
    await bench.touch('carol')
    await bench.enter('a', 'bob')
    await bench.enter('b', 'bob')
    await bench.pass(LEASE - SECOND)
    t.same(await goneOf(bench), [])
    await bench.pass(3 * SECOND)
    t.same(await goneOf(bench), [['bob', ['a', 'b']]])
  })

  await fact('are named until they have left every room', async (t, bench) => {
    await bench.touch('bob')
    await bench.enter('a', 'bob')
    await bench.enter('b', 'bob')
    await bench.pass(LEASE + 2 * SECOND)
    t.equal((await goneOf(bench)).length, 1)
    await bench.leave('a', 'bob', true)
    t.same(await goneOf(bench), [['bob', ['b']]])
    await bench.leave('b', 'bob', true)
    t.same(await goneOf(bench), [])
  })

  await fact('are not those that came back', async (t, bench) => {
    await bench.touch('bob')
    await bench.enter('a', 'bob')
    await bench.pass(LEASE + 2 * SECOND)
    await bench.touch('bob')
    t.same(await goneOf(bench), [])
    await bench.pass(LEASE - SECOND)
    t.same(await goneOf(bench), [])
    await bench.pass(3 * SECOND)
    t.same(await goneOf(bench), [['bob', ['a']]], 'and are again when they stay away again')
  })

  await fact('are named however often they renewed', async (t, bench) => {
    await bench.touch('bob')
    await bench.enter('a', 'bob')
    for (let n = 0; n < 50; n++) {
      await bench.pass(7 * SECOND)
      await bench.touch('bob')
      t.same(await goneOf(bench), [])
    }
    await bench.pass(LEASE + 2 * SECOND)
    t.same(await goneOf(bench), [['bob', ['a']]])
  })

  await fact('stay named however long nobody looks', async (t, bench) => {
    await bench.touch('bob')
    await bench.enter('a', 'bob')
    await bench.pass(KNOWN_MS + HOUR)
    await bench.pass(2 * SECOND)
    t.same(await goneOf(bench), [['bob', ['a']]])
    await bench.leave('a', 'bob', true)
    t.equal((await bench.seqs('bob')).length, 1, 'and it is told when it comes')
  })
}

async function forgetting(fact: Fact): Promise<void> {
  await fact('ends mailbox, presence and tickets', async (t, bench) => {
    await bench.touch('bob')
    await bench.keep('bob')
    const identity = {
      peer: 'bob',
      guest: false,
      rooms: [],
      create: false,
      direct: [],
      expiresAt: NOON + HOUR,
      tokenId: 'x',
    }
    await bench.store.addTicket({ ticket: 't1', identity, now: bench.now })
    await bench.store.forget('bob', bench.now)
    t.same(await stateOf(bench, 'bob'), { online: false })
    t.same(await knownOf(bench, 'bob'), [])
    t.same(await bench.seqs('bob'), [])
    const used = await bench.store.useTicket({ ticket: 't1', stream: false, now: bench.now })
    t.equal(used, undefined)
    await bench.touch('bob')
    t.same(await bench.seqs('bob'), [], 'for good')
  })

  await fact('leaves others alone', async (t, bench) => {
    await bench.touch('bob')
    await bench.touch('bob:phone')
    await bench.post(['bob', 'bob:phone', 'carol'])
    await bench.keep('carol', { from: 'bob' })
    await bench.store.forget('bob', bench.now)
    t.same(await knownOf(bench, 'bob'), ['bob:phone'])
    t.same(await bench.seqs('bob:phone'), [1])
    t.same(await bench.seqs('carol'), [1, 2], 'also what it sent')
  })

  await fact('of nobody does nothing', async (t, bench) => {
    await bench.store.forget('nobody', bench.now)
    t.match(bench.store.stats(), { mailboxes: 0, messages: 0 })
  })

  await fact('takes back what was counted for its senders', async (t, bench) => {
    await bench.touch('bob')
    for (let n = 0; n < 4; n++) await bench.keep('bob', { bytes: 65_536 })
    const others = Array.from({ length: 15 }, (_, n) => `peer${n}`)
    for (const other of others) {
      for (let n = 0; n < 4; n++) await bench.keep(other, { bytes: 65_536 })
    }
    t.match((await bench.post('carol'))[0], { refused: 'mailbox-full' })
    await bench.store.forget('bob', bench.now)
    await bench.keep('carol')
  })
}

async function guestNames(fact: Fact): Promise<void> {
  const claim = (bench: Bench, peer: string, holder: string) =>
    bench.store.claimName({ peer, holder, now: bench.now })
  const hold = async (bench: Bench, peer: string, holder: string) => {
    await claim(bench, peer, holder)
    await bench.touch(peer, true, holder)
  }

  await fact('a free name is given, to its holder again', async (t, bench) => {
    t.equal(await claim(bench, 'guest-1', 'ann'), true)
    await bench.touch('guest-1', true)
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
    t.equal(await claim(bench, 'guest-1', 'ann'), true)
  })

  await fact('a name is held until its guest has come', async (t, bench) => {
    bench.now += 999
    await claim(bench, 'guest-1', 'ann')
    // Its token is being minted, and the house is kept meanwhile.
    await bench.pass(2 * SECOND)
    await bench.touch('guest-1', true)
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
    t.equal(await claim(bench, 'guest-1', 'ann'), true)
  })

  await fact('a known name without a holder is taken', async (t, bench) => {
    await bench.touch('guest-1')
    t.equal(await claim(bench, 'guest-1', 'ann'), false)
  })

  await fact('a name whose mailbox holds something is taken', async (t, bench) => {
    await bench.keep('guest-1', { expiresAt: NOON + 5 * SECOND })
    t.equal(await claim(bench, 'guest-1', 'ann'), false)
    await bench.pass(5 * SECOND, { swept: false })
    t.equal(await claim(bench, 'guest-1', 'ann'), true, 'until it has expired')
  })

  await fact('a name that was given up waits 1 h', async (t, bench) => {
    await hold(bench, 'guest-1', 'ann')
    await bench.store.forget('guest-1', bench.now)
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
    await bench.pass(HOUR - 1)
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
    await bench.pass(1, { swept: false })
    t.equal(await claim(bench, 'guest-1', 'ben'), true)
  })

  await fact('its last holder gets it back', async (t, bench) => {
    await hold(bench, 'guest-1', 'ann')
    await bench.store.forget('guest-1', bench.now)
    t.equal(await claim(bench, 'guest-1', 'ann'), true)
    await bench.touch('guest-1', true)
    await bench.pass(HOUR)
    t.equal(await claim(bench, 'guest-1', 'ann'), true, 'and can give it up again')
  })

  await fact('a name whose guest fell silent is free', async (t, bench) => {
    await hold(bench, 'guest-1', 'ann')
    await bench.pass(GUEST_KNOWN_MS - 1)
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
    await bench.pass(1, { swept: false })
    t.equal(await claim(bench, 'guest-1', 'ben'), true)
  })

  await fact('who gets such a name takes nothing over', async (t, bench) => {
    await bench.touch('alice')
    await hold(bench, 'guest-1', 'ann')
    await bench.post('guest-1', {}, { replyUntil: NOON + HOUR })
    await bench.acknowledge('guest-1', (await bench.read('guest-1')).cursor)
    await bench.pass(GUEST_KNOWN_MS, { swept: false })
    t.equal(await claim(bench, 'guest-1', 'ben'), true)
    await bench.touch('guest-1', true)
    t.same(await bench.store.replyRights('guest-1', bench.now), [])
    t.match(await bench.store.snapshot('guest-1', bench.now), { cursor: 0, rooms: [] })
  })

  await fact('only its holder acts under a name', async (t, bench) => {
    await claim(bench, 'guest-1', 'ann')
    t.equal(await bench.touch('guest-1', true, 'ben'), false)
    t.same(await stateOf(bench, 'guest-1'), { online: false }, 'another one changes nothing')
    t.equal(await bench.touch('guest-1', true, 'ann'), true)
    await bench.pass(SECOND)
    t.equal(await bench.touch('guest-1', true, 'ben'), false)
    t.match(await stateOf(bench, 'guest-1'), { online: true, lastSeenAt: NOON })
  })

  await fact('a former holder acts no more', async (t, bench) => {
    await hold(bench, 'guest-1', 'ann')
    await bench.pass(GUEST_KNOWN_MS, { swept: false })
    await hold(bench, 'guest-1', 'ben')
    t.equal(await bench.touch('guest-1', true, 'ann'), false, 'when another has the name')
    await bench.store.forget('guest-1', bench.now)
    t.equal(await bench.touch('guest-1', true, 'ann'), false, 'or has given it up lately')
    t.equal(await bench.touch('guest-1', true, 'ben'), true)
  })

  await fact('who comes back to a free name holds it', async (t, bench) => {
    await hold(bench, 'guest-1', 'ann')
    await bench.pass(GUEST_KNOWN_MS + 3 * SECOND)
    t.equal(await bench.touch('guest-1', true, 'ann'), true, 'its token is good for longer')
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
    t.equal(await claim(bench, 'guest-1', 'ann'), true)
  })

  await fact('a claim holds until its guest comes', async (t, bench) => {
    t.equal(await claim(bench, 'guest-1', 'ann'), true)
    t.equal(await claim(bench, 'guest-1', 'ben'), false, 'though nobody has come yet')
    await bench.pass(HOUR)
    t.equal(await claim(bench, 'guest-1', 'ben'), true, 'but not for ever')
  })

  await fact('a device is for the holder of its name', async (t, bench) => {
    t.equal(await claim(bench, 'guest-1:phone', 'ann'), false, 'of no name')
    await hold(bench, 'guest-1', 'ann')
    t.equal(await claim(bench, 'guest-1:phone', 'ben'), false)
    t.equal(await claim(bench, 'guest-1:phone', 'ann'), true)
    await bench.touch('guest-1:phone', true)
    t.equal(await claim(bench, 'guest-1:phone', 'ann'), true)
  })

  await fact('a name is taken while a device of it is', async (t, bench) => {
    await hold(bench, 'guest-1', 'ann')
    await hold(bench, 'guest-1:phone', 'ann')
    await bench.store.forget('guest-1', bench.now)
    for (let n = 0; n < 6; n++) {
      await bench.pass(10 * MINUTE)
      await bench.renew('guest-1:phone')
    }
    t.equal(await claim(bench, 'guest-1', 'ben'), false)
  })
}

async function replyRights(fact: Fact): Promise<void> {
  const rightsOf = (bench: Bench, peer: string) => bench.store.replyRights(peer, bench.now)
  const replyUntil = NOON + HOUR

  await fact('are given by a letter that says so', async (t, bench) => {
    await bench.touch('alice:desk')
    await bench.touch('carol')
    await bench.post(['bob', 'dora'], { from: 'alice:desk' }, { replyUntil })
    await bench.post('bob', { from: 'carol' })
    t.same(await rightsOf(bench, 'bob'), ['alice:desk'], 'as a full address')
    t.same(await rightsOf(bench, 'dora'), ['alice:desk'])
    t.same(await rightsOf(bench, 'alice:desk'), [], 'one way')
    t.same(await rightsOf(bench, 'bob:phone'), [], 'and to that mailbox')
  })

  await fact('end at their time', async (t, bench) => {
    await bench.touch('alice')
    await bench.touch('bob')
    await bench.post('bob', {}, { replyUntil })
    await bench.pass(HOUR - 1)
    t.same(await rightsOf(bench, 'bob'), ['alice'])
    await bench.pass(1, { swept: false })
    t.same(await rightsOf(bench, 'bob'), [])
  })

  await fact('are renewed by the next letter', async (t, bench) => {
    await bench.touch('alice')
    await bench.touch('bob')
    await bench.post('bob', {}, { replyUntil })
    await bench.post('bob', {}, { replyUntil: replyUntil + HOUR })
    await bench.pass(HOUR)
    t.same(await rightsOf(bench, 'bob'), ['alice'])
  })

  await fact('are not given by a refused letter', async (t, bench) => {
    await bench.touch('alice')
    for (let n = 0; n < 64; n++) await bench.keep('bob')
    await bench.post('bob', {}, { replyUntil })
    t.same(await rightsOf(bench, 'bob'), [])
  })

  await fact('end with the session that they lead to', async (t, bench) => {
    await bench.touch('alice')
    await bench.post('bob', {}, { replyUntil })
    await bench.store.forget('alice', bench.now)
    t.same(await rightsOf(bench, 'bob'), [])
    bench.now += 1
    await bench.touch('alice')
    t.same(await rightsOf(bench, 'bob'), [], 'and do not come back')
  })

  await fact('end with the session that has them', async (t, bench) => {
    await bench.touch('alice')
    await bench.touch('bob')
    await bench.post('bob', {}, { replyUntil })
    await bench.store.forget('bob', bench.now)
    await bench.touch('bob')
    t.same(await rightsOf(bench, 'bob'), [])
  })

  await fact('outlive the letter', async (t, bench) => {
    await bench.touch('alice')
    await bench.touch('bob')
    await bench.post('bob', {}, { replyUntil })
    for (let n = 0; n < 10; n++) {
      await bench.pass(30 * SECOND)
      await bench.touch('alice')
      await bench.touch('bob')
    }
    t.same(await bench.seqs('bob'), [])
    t.same(await rightsOf(bench, 'bob'), ['alice'])
  })

  await fact('are of peers, not of rooms', async (t, bench) => {
    await bench.touch('alice')
    await bench.enter('standup', 'alice')
    t.same(membersOf(await bench.store.room('standup')), ['alice'])
    t.same(await rightsOf(bench, 'alice'), [])
  })
}
