// Promises about mailboxes: order of ids, what is read behind a cursor, what is told of a loss,
// what makes room, who is rung, and that repeating an append doubles nothing (store.ts, ORDER, LOSS
// and ATOMICITY; protocol sections 1, 3 and 4).
import type { Test } from 'tap'
import { NOON, NOON_ID } from '../../helpers/clock.ts'
import { seqsOf } from '../../helpers/letters.ts'
import { type Build, type Fact, factsOf, HOUR, idOf, MINUTE, refusalOf, SECOND } from './bench.ts'

const KIB = 1024

export async function testMailboxes(t: Test, build: Build): Promise<void> {
  await t.test('order', async (t) => order(factsOf(t, build)))
  await t.test('reading', async (t) => reading(factsOf(t, build)))
  await t.test('loss', async (t) => loss(factsOf(t, build), build))
  await t.test('room in a mailbox', async (t) => caps(factsOf(t, build)))
  await t.test('appending', async (t) => appending(factsOf(t, build)))
  await t.test('appending once', async (t) => appendingOnce(factsOf(t, build)))
}

async function order(fact: Fact): Promise<void> {
  await fact('ids are the microsecond of storing', async (t, bench) => {
    t.equal(await bench.keep('bob'), NOON_ID)
    bench.now += 0.5
    t.equal(await bench.keep('bob'), NOON_ID + 500)
    t.equal(await bench.keep('carol'), NOON_ID + 500, 'of each mailbox')
  })

  await fact('ids increase within a microsecond', async (t, bench) => {
    const ids = [await bench.keep('bob'), await bench.keep('bob'), await bench.keep('bob')]
    t.same(ids, [NOON_ID, NOON_ID + 1, NOON_ID + 2])
  })

  await fact('ids increase when the clock jumps back', async (t, bench) => {
    const first = await bench.keep('bob')
    bench.now -= HOUR
    const second = await bench.keep('bob', { expiresAt: NOON + MINUTE })
    t.ok(second > first)
    t.same(await bench.seqs('bob', first), [2])
  })

  await fact('ids increase when a mailbox is made anew', async (t, bench) => {
    await bench.touch('bob')
    const first = await bench.keep('bob')
    await bench.store.forget('bob', bench.now)
    const second = await bench.keep('bob')
    t.ok(second > first, 'at the same time')
    await bench.store.forget('bob', bench.now)
    bench.now -= HOUR
    t.ok((await bench.keep('bob', { expiresAt: NOON + MINUTE })) > second, 'at an earlier time')
  })

  await fact('a dropped mailbox leaves its newest id as floor', async (t, bench) => {
    for (let n = 0; n < 20; n++) await bench.keep('bob')
    const newest = await bench.keep('bob')
    await bench.store.forget('bob', bench.now)
    t.ok((await bench.keep('carol')) > newest, 'of any other that is made anew')
    t.equal((await bench.read('carol', newest - 1)).reset, 'evicted', 'below it nothing is sure')
    t.equal((await bench.read('carol', newest)).reset, undefined)
  })

  await fact('letters are read in the order of appending', async (t, bench) => {
    for (let n = 0; n < 30; n++) await bench.keep('bob', { from: `sender${n % 3}` })
    t.same(
      await bench.seqs('bob'),
      Array.from({ length: 30 }, (_, at) => at + 1),
    )
  })
}

async function reading(fact: Fact): Promise<void> {
  await fact('gives what is behind the cursor', async (t, bench) => {
    const ids = [await bench.keep('bob'), await bench.keep('bob'), await bench.keep('bob')]
    t.same(await bench.seqs('bob', ids[0]), [2, 3])
    t.same(await bench.seqs('bob', ids[1]), [3])
    const empty = await bench.read('bob', ids[2])
    t.match(empty, { entries: [], cursor: ids[2], newest: ids[2], reset: undefined })
  })

  await fact('gives the letter as it was appended', async (t, bench) => {
    const parts = { tail: '"a":"\u2028é"}', bytes: 321, from: 'alice:x', guest: true }
    const id = await bench.keep('bob', parts)
    const { entries } = await bench.read('bob')
    t.match(entries, [{ id, letter: { ...parts, expiresAt: NOON + 2 * MINUTE, reserved: false } }])
  })

  await fact('gives pages, whose cursor is their last id', async (t, bench) => {
    const first = await bench.keep('bob')
    for (let n = 0; n < 6; n++) await bench.keep('bob')
    const seen: number[] = []
    for (let cursor = first, page = 0; page < 3; page++) {
      const { entries, cursor: next } = await bench.read('bob', cursor, { limit: 2 })
      t.equal(next, entries.at(-1)?.id)
      seen.push(...seqsOf(entries))
      cursor = next
    }
    t.same(seen, [2, 3, 4, 5, 6, 7])
  })

  await fact('from zero gives all and the newest id', async (t, bench) => {
    await bench.keep('bob')
    const last = await bench.keep('bob')
    const { entries, cursor, newest, reset } = await bench.read('bob', 0, { limit: 1 })
    t.equal(entries.length, 2)
    t.same([cursor, newest, reset], [last, last, undefined])
  })

  await fact('removes nothing', async (t, bench) => {
    const id = await bench.keep('bob')
    await bench.acknowledge('bob', id)
    t.same(await bench.seqs('bob'), [1])
    t.same(await bench.seqs('bob', id - 1), [1])
  })

  await fact('of a mailbox that never was is empty', async (t, bench) => {
    const { entries, cursor, newest, reset } = await bench.read('nobody')
    t.same([entries, reset], [[], undefined])
    t.equal(cursor, newest)
    t.ok(cursor > 0, 'and has a cursor to go on from')
    t.equal((await bench.read('nobody', cursor)).reset, undefined)
    await bench.keep('nobody')
    t.same(await bench.seqs('nobody', cursor), [1], 'behind which everything comes')
  })

  await fact('remembers the greatest cursor presented', async (t, bench) => {
    const cursorOf = async () => (await bench.store.snapshot('bob', bench.now)).cursor
    const [first, second] = [await bench.keep('bob'), await bench.keep('bob')]
    t.equal(await cursorOf(), 0)
    await bench.read('bob', first)
    t.equal(await cursorOf(), 0, 'not of a read that acknowledges nothing')
    await bench.acknowledge('bob', second)
    await bench.acknowledge('bob', first)
    t.equal(await cursorOf(), second, 'with several readers, the greatest')
    await bench.acknowledge('bob', second + 999)
    t.equal(await cursorOf(), second, 'not one from another life')
  })

  await fact('of one mailbox says nothing of another', async (t, bench) => {
    await bench.keep('bob')
    await bench.keep('bob:phone')
    t.same(await bench.seqs('bob'), [1])
    t.same(await bench.seqs('bob:phone'), [2])
  })

  await fact('a snapshot names the newest id', async (t, bench) => {
    const id = await bench.keep('bob')
    t.match(await bench.store.snapshot('bob', bench.now), { newest: id, cursor: 0, rooms: [] })
    bench.now += 1
    t.ok((await bench.keep('bob')) > id, 'what is stored later is above it')
  })
}

async function loss(fact: Fact, build: Build): Promise<void> {
  await fact('an unread letter is kept until it expires', async (t, bench) => {
    await bench.keep('bob', { expiresAt: NOON + HOUR })
    for (let n = 0; n < 59; n++) await bench.pass(MINUTE)
    t.same(await bench.seqs('bob'), [1])
    await bench.pass(MINUTE - 1)
    t.same(await bench.seqs('bob'), [1], 'to the millisecond')
    await bench.pass(1, { swept: false })
    t.same(await bench.seqs('bob'), [], 'and no longer, swept or not')
  })

  await fact('what expired is told to who has not read it', async (t, bench) => {
    const [first, second] = [
      await bench.keep('bob'),
      await bench.keep('bob', { expiresAt: NOON + 5 * SECOND }),
    ] as [number, number]
    await bench.pass(6 * SECOND)
    const { reset, entries, cursor } = await bench.read('bob', first)
    t.equal(reset, 'expired')
    t.same(seqsOf(entries), [1], 'with everything that is kept')
    t.equal(cursor, second, 'and the cursor is the floor')
    t.equal((await bench.read('bob', cursor)).reset, undefined, 'it is told once')
    t.equal((await bench.read('bob', second)).reset, undefined, 'not to who has read it')
    t.equal((await bench.read('bob')).reset, undefined, 'never from zero')
  })

  await fact('what was evicted is told to a slower reader', async (t, bench) => {
    const first = await bench.keep('bob')
    for (let n = 0; n < 255; n++) await bench.keep('bob', { from: `sender${n % 8}` })
    await bench.acknowledge('bob', first + 1)
    await bench.keep('bob', { from: 'zoe' })
    t.equal((await bench.read('bob', first - 1)).reset, 'evicted')
    t.equal((await bench.read('bob', first)).reset, undefined, 'not to the one that had read it')
  })

  await fact('a cursor ahead is told', async (t, bench) => {
    const id = await bench.keep('bob')
    const { reset, entries, cursor } = await bench.read('bob', id + 1)
    t.same([reset, entries.length, cursor], ['cursor-ahead', 1, id])
  })

  await fact('a reader from before the store is told', async (t, bench) => {
    await bench.keep('bob')
    const { reset, entries, cursor } = await bench.read('bob', NOON_ID - 120_000_000)
    t.same([reset, entries.length, cursor], ['store-restarted', 1, NOON_ID])
    t.equal((await bench.read('nobody', NOON_ID - 120_000_000)).reset, 'store-restarted')
    const other = await build({ now: NOON + HOUR })
    const step = { peer: 'bob', since: cursor, limit: 9, acknowledge: false, now: NOON + HOUR }
    t.equal((await other.readSince(step)).reset, 'store-restarted', 'also of another store')
    await other.close()
  })

  await fact('a forgotten mailbox is told to its old readers', async (t, bench) => {
    await bench.touch('bob')
    const [first, second] = [await bench.keep('bob'), await bench.keep('bob')]
    await bench.store.forget('bob', bench.now)
    await bench.touch('bob')
    t.equal((await bench.read('bob', first)).reset, 'evicted')
    t.equal((await bench.read('bob', second)).reset, undefined, 'not to who had read it all')
    t.same(await bench.seqs('bob'), [])
  })

  await fact('a mailbox made anew vouches for 24 h at most', async (t, bench) => {
    const before = bench.now * 1000
    await bench.pass(25 * HOUR)
    await bench.touch('bob')
    t.equal((await bench.read('bob', before)).reset, 'expired')
    const { cursor } = await bench.read('bob')
    t.equal(cursor, (bench.now - 24 * HOUR) * 1000)
    t.equal((await bench.read('bob', cursor)).reset, undefined)
  })

  await fact('losses are reported, what was read is none', async (t, bench) => {
    const first = await bench.keep('bob', { expiresAt: NOON + 10 * SECOND })
    await bench.keep('bob', { expiresAt: NOON + 10 * SECOND })
    await bench.keep('bob', { expiresAt: NOON + 10 * SECOND })
    await bench.acknowledge('bob', first)
    await bench.pass(13 * SECOND)
    t.same(bench.losses, ['expired', 'expired'])
    await bench.touch('bob')
    await bench.keep('bob')
    await bench.store.forget('bob', bench.now)
    t.same(bench.losses, ['expired', 'expired'], 'who ends its session loses nothing')
    for (let n = 0; n < 65; n++) {
      await bench.store.append({ letter: bench.notice(), to: ['carol'], now: bench.now })
    }
    t.same(bench.losses, ['expired', 'expired', 'evicted'], 'the 65th of the server')
  })
}

async function caps(fact: Fact): Promise<void> {
  const many = (n: number) => ({ from: `sender${n % 8}` })

  await fact('64 unread letters of one sender fit', async (t, bench) => {
    for (let n = 0; n < 64; n++) await bench.keep('bob')
    const [refused] = await bench.post('bob')
    t.match(refused, { to: 'bob', refused: 'mailbox-full', retryAfterMs: 2 * MINUTE })
    t.equal(refusalOf((await bench.post('bob', { from: 'carol' }))[0]), '', 'others do')
    t.equal(refusalOf((await bench.post('dora'))[0]), '', 'and other mailboxes')
  })

  await fact('256 unread letters fit', async (t, bench) => {
    for (let n = 0; n < 256; n++) await bench.keep('bob', many(n))
    t.equal(refusalOf((await bench.post('bob', { from: 'zoe' }))[0]), 'mailbox-full')
    for (let n = 0; n < 64; n++) {
      const [kept] = await bench.store.append({
        letter: bench.notice(),
        to: ['bob'],
        now: bench.now,
      })
      t.equal(refusalOf(kept), '', 'and 64 of the server')
    }
  })

  await fact('1 MiB of unread letters fits', async (t, bench) => {
    for (let n = 0; n < 16; n++) await bench.keep('bob', { ...many(n), bytes: 64 * KIB })
    t.equal(refusalOf((await bench.post('bob', { from: 'zoe', bytes: 1 }))[0]), 'mailbox-full')
  })

  await fact('guests fill half a mailbox', async (t, bench) => {
    for (let n = 0; n < 128; n++) await bench.keep('bob', { ...many(n), guest: true })
    const [refused] = await bench.post('bob', { from: 'guest-9', guest: true })
    t.equal(refusalOf(refused), 'mailbox-full')
    t.equal(refusalOf((await bench.post('bob', { from: 'zoe' }))[0]), '')
  })

  await fact('a sender has 4 MiB unread in all', async (t, bench) => {
    const boxes = Array.from({ length: 16 }, (_, n) => `peer${n}`)
    for (const box of boxes) {
      for (let n = 0; n < 4; n++) await bench.keep(box, { bytes: 64 * KIB })
    }
    t.equal(refusalOf((await bench.post('other', { bytes: 1 }))[0]), 'mailbox-full')
    t.equal(refusalOf((await bench.post('other', { from: 'zoe' }))[0]), '', 'of each sender')
    const { cursor } = await bench.read('peer0')
    await bench.acknowledge('peer0', cursor)
    t.equal(refusalOf((await bench.post('other', { bytes: 64 * KIB }))[0]), '', 'what is read')
    await bench.pass(3 * MINUTE)
    t.equal(refusalOf((await bench.post('other', { bytes: 64 * KIB }))[0]), '', 'or gone')
  })

  await fact('what was read makes room, oldest first', async (t, bench) => {
    for (let n = 0; n < 256; n++) await bench.keep('bob', many(n))
    const { entries } = await bench.read('bob')
    await bench.acknowledge('bob', entries[9]?.id ?? 0)
    t.equal((await bench.seqs('bob')).length, 256, 'not before it is needed')
    for (let n = 0; n < 3; n++) await bench.keep('bob', many(n))
    t.same((await bench.seqs('bob')).slice(0, 2), [4, 5])
    for (let n = 0; n < 7; n++) await bench.keep('bob', many(n))
    t.equal(refusalOf((await bench.post('bob', { from: 'zoe' }))[0]), 'mailbox-full')
    t.equal((await bench.seqs('bob'))[0], 11, 'nothing unread goes')
  })

  await fact('a refusal changes nothing', async (t, bench) => {
    for (let n = 0; n < 64; n++) await bench.keep('bob')
    const before = [await bench.read('bob'), bench.store.stats(), bench.rings.length]
    await bench.post('bob')
    t.same([await bench.read('bob'), bench.store.stats(), bench.rings.length], before)
  })
}

async function appending(fact: Fact): Promise<void> {
  await fact('names each mailbox, its id and who is online', async (t, bench) => {
    await bench.touch('bob')
    const kept = await bench.post(['bob', 'carol'])
    t.same(kept, [
      { to: 'bob', id: NOON_ID, online: true },
      { to: 'carol', id: NOON_ID, online: false },
    ])
  })

  await fact('one refusal does not stop the others', async (t, bench) => {
    for (let n = 0; n < 64; n++) await bench.keep('carol')
    const kept = await bench.post(['bob', 'carol', 'dora'])
    t.same(kept.map(refusalOf), ['', 'mailbox-full', ''])
    t.same(await bench.seqs('dora'), [65])
  })

  await fact('rings each mailbox that kept it, once', async (t, bench) => {
    for (let n = 0; n < 64; n++) await bench.keep('carol')
    bench.rings.length = 0
    await bench.post(['bob', 'carol', 'dora'])
    t.same(bench.rings, ['bob', 'dora'])
  })

  await fact('rings after it was kept', async (t, bench) => {
    let found: Promise<number[]> | undefined
    bench.store.onRing = (peer) => {
      found = bench.seqs(peer)
    }
    await bench.post('bob')
    t.same(await found, [1])
  })

  await fact('to nobody keeps nothing', async (t, bench) => {
    t.same(await bench.post([]), [])
    t.same(bench.rings, [])
  })
}

async function appendingOnce(fact: Fact): Promise<void> {
  const request = { sender: 'alice', path: '/messages', key: 'k1' }
  const once = { ...request, item: 0 }
  const start = { ...once, bodyHash: 'h' }

  await fact('completes what is missing and doubles nothing', async (t, bench) => {
    await bench.store.startRequest({ ...start, now: bench.now })
    const [first] = await bench.post('bob', {}, { once })
    // The node died between the two mailboxes; the request is repeated.
    await bench.pass(11 * SECOND)
    t.match(await bench.store.startRequest({ ...start, now: bench.now }), { state: 'run' })
    bench.rings.length = 0
    const again = await bench.post(['bob', 'carol'], {}, { once })
    t.equal(idOf(again[0]), idOf(first), 'the first answer')
    t.same(again.map(refusalOf), ['', ''])
    t.equal((await bench.seqs('bob')).length, 1)
    t.equal((await bench.seqs('carol')).length, 1)
    t.same(bench.rings, ['carol'])
  })

  await fact('tells the items of a request apart', async (t, bench) => {
    await bench.store.startRequest({ ...start, now: bench.now })
    await bench.post('bob', {}, { once })
    await bench.post('bob', {}, { once: { ...once, item: 1 } })
    await bench.post('bob', {}, { once: { ...once, item: 1 } })
    t.same(await bench.seqs('bob'), [1, 2])
  })

  await fact('tells requests apart', async (t, bench) => {
    const others = [
      once,
      { ...once, key: 'k2' },
      { ...once, path: '/exchange' },
      { ...once, sender: 'alice:phone' },
    ]
    for (const other of others) {
      await bench.store.startRequest({ ...other, bodyHash: 'h', now: bench.now })
      await bench.post('bob', { from: other.sender }, { once: other })
    }
    t.equal((await bench.seqs('bob')).length, 4)
  })

  await fact('tries again what was refused', async (t, bench) => {
    for (let n = 0; n < 64; n++) await bench.keep('bob')
    await bench.store.startRequest({ ...start, now: bench.now })
    t.same((await bench.post(['bob', 'carol'], {}, { once })).map(refusalOf), ['mailbox-full', ''])
    await bench.acknowledge('bob', (await bench.read('bob')).cursor)
    t.same((await bench.post(['bob', 'carol'], {}, { once })).map(refusalOf), ['', ''])
    t.equal((await bench.seqs('carol')).length, 1)
  })

  await fact('answers as before when the letter is gone', async (t, bench) => {
    await bench.store.startRequest({ ...start, now: bench.now })
    const [first] = await bench.post('bob', { expiresAt: NOON + 5 * SECOND }, { once })
    await bench.pass(9 * SECOND)
    const [again] = await bench.post('bob', {}, { once })
    t.equal(idOf(again), idOf(first))
    t.same(await bench.seqs('bob'), [], 'what expired does not come back')
  })
}
