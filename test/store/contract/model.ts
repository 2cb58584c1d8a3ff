// A mailbox by random histories: posting, reading with and without acknowledging, letting time
// pass, forgetting, readers that start again with an old cursor. After each step the store is
// compared with a model of some sixty lines, and each reader checks for itself what it was
// promised: no loss, nothing twice, rising ids, each sender's order, and a reset exactly when
// something above its cursor is gone.
import * as fc from 'fast-check'
import type { Test } from 'tap'
import type { Reading } from '../../../src/core/mailbox.ts'
import type { ResetReason } from '../../../src/protocol/names.ts'
import type { Store } from '../../../src/store/store.ts'
import { NOON } from '../../helpers/clock.ts'
import { makeLetter, makeNotice, seqOf } from '../../helpers/letters.ts'
import { holds } from '../../helpers/properties.ts'
import { Bench, type Build, HOUR, SECOND } from './bench.ts'

const KIB = 1024
const READERS = 3

interface Sent {
  id: number
  seq: number
  from: string
  bytes: number
  expiresAt: number
  guest: boolean
  reserved: boolean
}

interface Reader {
  cursor: number
  /** Cursors of before, which it may start again with. */
  past: number[]
  /** Seqs since its last start or reset. */
  had: number[]
}

/** What a mailbox is, by the words of the protocol. */
class Model {
  kept: Sent[] = []
  /** Every letter that was ever kept, in every life of the mailbox. */
  ever: Sent[] = []
  newest = 0
  floor = 0
  reason: ResetReason = 'evicted'
  acknowledged = 0
  seq = 0
  readonly readers: Reader[] = Array.from({ length: READERS }, () => ({
    cursor: 0,
    past: [],
    had: [],
  }))

  expire(now: number): void {
    this.#drop(({ expiresAt }) => expiresAt <= now, 'expired')
  }

  /** Whether the mailbox takes the letter; makes room for it. */
  makeRoom({ from, bytes, guest, reserved }: Sent): boolean {
    const peers = this.kept.filter((sent) => !sent.reserved)
    if (reserved) {
      const own = this.kept.filter((sent) => sent.reserved)
      if (own.length === 64) this.#drop((sent) => sent === own[0], 'evicted')
      return true
    }
    const unread = peers.filter(({ id }) => id > this.acknowledged)
    const fits = (list: Sent[], count: number, kib: number) =>
      list.length < count && sum(list) + bytes <= kib * KIB
    const takes =
      fits(unread, 256, 1024) &&
      fits(
        unread.filter((sent) => sent.from === from),
        64,
        256,
      ) &&
      (!guest ||
        fits(
          unread.filter((sent) => sent.guest),
          128,
          512,
        ))
    if (!takes) return false
    while (!fits(peers, 256, 1024)) {
      const oldest = peers.shift()
      this.#drop((sent) => sent === oldest, 'evicted')
    }
    return true
  }

  keep(sent: Sent): void {
    this.kept.push(sent)
    this.ever.push(sent)
    this.newest = sent.id
  }

  forget(): void {
    this.#drop(() => true, 'evicted')
    this.floor = this.newest
    this.reason = 'evicted'
    this.acknowledged = 0
  }

  /** What a read has to find. */
  read(since: number, limit: number) {
    const reset = this.#resetOf(since)
    const isWhole = since === 0 || reset !== undefined
    const behind = this.kept.filter(({ id }) => id > since).slice(0, limit)
    const page = isWhole ? this.kept : behind
    const last = page.at(-1)?.id ?? since
    return { page, reset, cursor: isWhole ? this.newest : last, newest: this.newest }
  }

  #resetOf(since: number): ResetReason | undefined {
    if (since === 0) return undefined
    if (since > this.newest) return 'cursor-ahead'
    return since < this.floor ? this.reason : undefined
  }

  #drop(goes: (sent: Sent) => boolean, reason: ResetReason): void {
    for (const sent of this.kept.filter(goes)) {
      if (sent.id > this.floor) {
        this.floor = sent.id
        this.reason = reason
      }
    }
    this.kept = this.kept.filter((sent) => !goes(sent))
  }
}

const sum = (list: Sent[]) => list.reduce((bytes, sent) => bytes + sent.bytes, 0)

/** One mailbox of a store, at a time of its own. */
interface Real {
  bench: Bench
  peer: string
  /** Makes the names of senders belong to this history. */
  prefix: string
}

type Command = fc.AsyncCommand<Model, Real>

function expect(holds: boolean, promise: string, details: unknown = ''): void {
  if (!holds) throw new Error(`${promise} ${JSON.stringify(details)}`)
}

/** Posts `count` letters of one sender. */
const post = (
  count: number,
  sender: number,
  parts: Omit<Partial<Sent>, 'from'>,
  lifeMs: number,
): Command => ({
  check: () => true,
  toString: () => `post ${count} of ${sender} ${JSON.stringify(parts)} for ${lifeMs}`,
  run: async (model, { bench, peer, prefix }) => {
    for (let n = 0; n < count; n++) {
      const expiresAt = bench.now + lifeMs
      const from = parts.reserved ? '@server' : `${prefix}${sender}${parts.guest ? 'guest' : ''}`
      const sent = {
        id: 0,
        seq: model.seq + 1,
        from,
        bytes: 100,
        expiresAt,
        guest: false,
        reserved: false,
        ...parts,
      }
      const letter = parts.reserved ? makeNotice(sent) : makeLetter(sent)
      const [kept] = await bench.store.append({ letter, to: [peer], now: bench.now })
      model.expire(bench.now)
      const isKept = kept !== undefined && 'id' in kept
      expect(model.makeRoom(sent) === isKept, 'it is refused exactly when it does not fit', kept)
      if (!isKept) continue
      const last = model.ever.at(-1)?.id ?? 0
      expect(kept.id > last && kept.id >= Math.floor(bench.now * 1000), 'ids never go back', kept)
      model.keep({ ...sent, id: kept.id })
      model.seq += 1
    }
  },
})

/** A reader asks for a page; `since` says with which cursor. */
const read = (
  index: number,
  limit: number,
  acknowledge: boolean,
  since: (reader: Reader, model: Model) => number = ({ cursor }) => cursor,
): Command => ({
  check: () => true,
  toString: () => `read by ${index}, ${limit}${acknowledge ? ', acknowledging' : ''} ${since}`,
  run: async (model, { bench, peer }) => {
    const reader = model.readers[index] as Reader
    const from = since(reader, model)
    if (from !== reader.cursor) reader.had = []
    const reading = await bench.store.readSince({
      peer,
      since: from,
      limit,
      acknowledge,
      now: bench.now,
    })
    model.expire(bench.now)
    compare(model, reading, from, limit)
    keepsPromises(model, reader, reading, from)
    if (acknowledge && !reading.reset && from <= model.newest) {
      model.acknowledged = Math.max(model.acknowledged, from)
    }
    if (reading.reset || from === 0) reader.had = []
    reader.had.push(...reading.entries.map(({ letter }) => seqOf(letter)))
    reader.past.push(from)
    reader.cursor = reading.cursor
  },
})

function compare(model: Model, reading: Reading, since: number, limit: number): void {
  const { page, ...expected } = model.read(since, limit)
  const { entries, ...found } = reading
  expect(JSON.stringify(expected) === JSON.stringify({ ...expected, ...found }), 'as the model', [
    expected,
    found,
  ])
  const ids = entries.map(({ id, letter }) => `${id} ${seqOf(letter)}`)
  const modelIds = page.map(({ id, seq }) => `${id} ${seq}`)
  expect(ids.join() === modelIds.join(), 'the letters of the model', [modelIds, ids])
}

/** What any reader may rely on, said without the model's rules. */
function keepsPromises(model: Model, reader: Reader, reading: Reading, since: number): void {
  const { entries, cursor, reset } = reading
  const ids = entries.map(({ id }) => id)
  const seqs = entries.map(({ letter }) => seqOf(letter))
  expect(
    ids.every((id, at) => at === 0 || id > (ids[at - 1] as number)),
    'ids rise',
    ids,
  )
  for (const name of new Set(entries.map(({ letter }) => letter.from))) {
    const own = entries
      .filter(({ letter }) => letter.from === name)
      .map(({ letter }) => seqOf(letter))
    expect(
      own.every((seq, at) => at === 0 || seq > (own[at - 1] as number)),
      'in order',
      own,
    )
  }
  const alive = new Set(model.kept.map(({ id }) => id))
  const isLost = model.ever.some(({ id }) => id > since && !alive.has(id))
  const isAhead = since > model.newest
  if (since > 0)
    expect((reset !== undefined) === (isLost || isAhead), 'reset = loss', [since, reset])
  if (reset || since === 0) {
    expect(ids.length === alive.size, 'everything that is kept', ids)
    return
  }
  const passed = model.ever.filter(({ id }) => id > since && id <= cursor).map(({ seq }) => seq)
  expect(passed.join() === seqs.join(), 'nothing is passed over', [passed, seqs])
  expect(!seqs.some((seq) => reader.had.includes(seq)), 'nothing comes twice', seqs)
  const last = reader.had.at(-1) ?? 0
  expect(
    seqs.every((seq) => seq > last),
    'nothing comes late',
    [last, seqs],
  )
}

const pass = (ms: number, swept: boolean): Command => ({
  check: () => true,
  toString: () => `pass ${ms}${swept ? '' : ' unswept'}`,
  run: async (_, { bench, peer }) => {
    await bench.pass(ms, { swept })
    await bench.touch(peer)
  },
})

const forget: Command = {
  check: () => true,
  toString: () => 'forget',
  run: async (model, { bench, peer }) => {
    await bench.store.forget(peer, bench.now)
    model.expire(bench.now)
    model.forget()
    await bench.touch(peer)
  },
}

const look: Command = {
  check: () => true,
  toString: () => 'look',
  run: async (model, { bench, peer }) => {
    const { newest, cursor } = await bench.store.snapshot(peer, bench.now)
    expect(newest === model.newest && cursor === model.acknowledged, 'the snapshot', [
      newest,
      cursor,
    ])
  },
}

const lives = fc.integer({ min: 5, max: 90 }).map((seconds) => seconds * SECOND)
const bytes = fc.constantFrom(100, 100, 100, 20 * KIB, 60 * KIB)
const readers = fc.nat(READERS - 1)
const limits = fc.constantFrom(1, 3, 100, 256)

const commands = fc.commands(
  [
    fc
      .tuple(fc.nat(3), bytes, lives)
      .map(([who, size, life]) => post(1, who, { bytes: size }, life)),
    fc
      .tuple(fc.nat(3), bytes, lives)
      .map(([who, size, life]) => post(1, who, { bytes: size, guest: true }, life)),
    fc
      .tuple(fc.nat(70), fc.nat(9), fc.boolean(), lives)
      .map(([count, who, guest, life]) => post(count, who, { guest }, life)),
    fc.tuple(fc.nat(40), lives).map(([count, life]) => post(count, 0, { reserved: true }, life)),
    fc.tuple(readers, limits).map(([who, limit]) => read(who, limit, true)),
    fc.tuple(readers, limits).map(([who, limit]) => read(who, limit, false)),
    fc
      .tuple(readers, fc.boolean())
      .map(([who, acknowledges]) => read(who, 100, acknowledges, () => 0)),
    // A reader that starts again with a cursor of before, or that has one of another server.
    fc
      .tuple(readers, fc.nat(8), fc.boolean())
      .map(([who, back, acknowledges]) =>
        read(who, 100, acknowledges, ({ past, cursor }) => past.at(-1 - back) ?? cursor),
      ),
    readers.map((who) => read(who, 100, true, (_, { newest }) => newest + 5)),
    fc.tuple(fc.nat(30), fc.boolean()).map(([seconds, swept]) => pass(seconds * SECOND, swept)),
    fc.nat(1500).map((ms) => pass(ms / 1000, false)),
    fc.constant(forget),
    fc.constant(look),
  ],
  { maxCommands: 60, size: 'max' },
)

/** Histories of mailboxes of one store; each has its own names and begins a day after the last. */
export async function mailboxProperty(build: Build, wrap: (store: Store) => Store = (s) => s) {
  const bench = new Bench(wrap(await build({ now: NOON })), NOON)
  let histories = 0
  return fc.asyncProperty(commands, async (all) => {
    histories += 1
    await bench.pass(26 * HOUR)
    await bench.pass(2 * SECOND)
    const peer = `peer${histories}`
    await bench.touch(peer)
    const real = { bench, peer, prefix: `s${histories}-` }
    const setUp = async () => {
      const model = new Model()
      // Where a mailbox made anew begins; from the first letter on its newest id is above that.
      model.newest = Math.floor((bench.now - 24 * HOUR) * 1000)
      model.floor = model.newest
      model.reason = 'expired'
      await post(1, 0, {}, 90 * SECOND).run(model, real)
      return { model, real }
    }
    await fc.asyncModelRun(setUp, all)
  })
}

export async function testModel(t: Test, build: Build, runs = 1000): Promise<void> {
  const property = await mailboxProperty(build)
  await holds(t, property, { runs, what: 'histories of up to 60 steps' })
}
