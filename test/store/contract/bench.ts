// What the parts of the contract share: a store at a time that only the test moves, and short names
// for its methods. Nothing here knows how a store is made, or what it does beyond its contract: a
// new store brings a function that makes an empty one.
import type { Test } from 'tap'
import type { Reading } from '../../../src/core/mailbox.ts'
import type { Kept, Once, RoomState, Store } from '../../../src/store/store.ts'
import { NOON } from '../../helpers/clock.ts'
import { type LetterParts, makeLetter, makeNotice, seqsOf } from '../../helpers/letters.ts'

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const LEASE = 45 * SECOND

export interface StoreOptions {
  /** When the store begins, ms. */
  now: number
  /** What it may hold, where the store takes such a bound. */
  bytesMax?: number
}

/** Makes a store that holds nothing. */
export type Build = (options: StoreOptions) => Promise<Store>

/** Whether and why a mailbox refused; '' when it kept. */
export const refusalOf = (kept: Kept | undefined): string =>
  kept && 'refused' in kept ? kept.refused : ''

export const idOf = (kept: Kept | undefined): number =>
  kept && 'id' in kept ? kept.id : Number.NaN

export const membersOf = (room: RoomState | undefined): string[] =>
  room?.members.map(({ peer }) => peer) ?? []

export class Bench {
  readonly store: Store
  now: number
  /** Whose doorbell rang, in order. */
  readonly rings: string[] = []
  /** What left unread, in order. */
  readonly losses: string[] = []
  #seq = 0

  /** @param now later than the store's beginning, so that cursors of before can be told apart */
  constructor(store: Store, now: number) {
    this.store = store
    this.now = now
    store.onRing = (peer) => this.rings.push(peer)
    store.onLoss = (event, letters) => {
      for (let at = 0; at < letters; at++) this.losses.push(event)
    }
  }

  /** Lets time pass; by default the store is swept, at the end and a moment behind. */
  async pass(ms: number, { swept = true } = {}): Promise<void> {
    this.now += ms
    if (swept) await this.store.sweep(this.now)
  }

  /** A request of the peer. */
  touch(peer: string, guest?: boolean, holder?: string): Promise<boolean> {
    const step = { peer, holder, leaseMs: LEASE, now: this.now }
    return this.store.touch(guest === undefined ? step : { ...step, guest })
  }

  /** An open read of the peer goes on. */
  renew(peer: string): Promise<boolean> {
    return this.store.touch({ peer, onlyKnown: true, leaseMs: LEASE, now: this.now })
  }

  /** Posts a letter of two minutes; its seq counts from 1. */
  async post(
    to: string | string[],
    parts: LetterParts = {},
    more: { once?: Once; replyUntil?: number } = {},
  ) {
    const letter = makeLetter({ seq: ++this.#seq, expiresAt: this.now + 2 * MINUTE, ...parts })
    return this.store.append({ letter, to: [to].flat(), now: this.now, ...more })
  }

  /** Posts and wants it kept. @returns its id in the first mailbox */
  async keep(to: string, parts: LetterParts = {}): Promise<number> {
    const [kept] = await this.post(to, parts)
    if (!kept || 'refused' in kept) throw new Error(`refused: ${JSON.stringify(kept)}`)
    return kept.id
  }

  read(peer: string, since = 0, { limit = 256, acknowledge = false } = {}): Promise<Reading> {
    return this.store.readSince({ peer, since, limit, acknowledge, now: this.now })
  }

  /** What the mailbox keeps, as seqs. */
  async seqs(peer: string, since = 0): Promise<number[]> {
    return seqsOf((await this.read(peer, since)).entries)
  }

  /** A reader presents this cursor. */
  async acknowledge(peer: string, cursor: number): Promise<void> {
    await this.read(peer, cursor, { acknowledge: true })
  }

  notice(parts: LetterParts = {}) {
    return makeNotice({ seq: ++this.#seq, expiresAt: this.now + 2 * MINUTE, ...parts })
  }

  join(room: string, peer: string, parts: { create?: { capacity: number }; info?: object } = {}) {
    const { create, info } = parts
    return this.store.join({
      room,
      peer,
      info: info as Record<string, unknown> | undefined,
      notice: this.notice(),
      now: this.now,
      ...(create && { create }),
    })
  }

  /** Joins, and makes the room where it is not there. */
  enter(room: string, peer: string, capacity = 1024) {
    return this.join(room, peer, { create: { capacity } })
  }

  leave(room: string, peer: string, tellPeer = false) {
    return this.store.leave({ room, peer, notice: this.notice(), tellPeer, now: this.now })
  }
}

/** One promise of the contract, on a fresh store. */
export type Fact = (
  name: string,
  body: (t: Test, bench: Bench) => Promise<void>,
) => Promise<unknown>

export const factsOf =
  (t: Test, build: Build): Fact =>
  (name, body) =>
    t.test(name, async (t) => {
      const store = await build({ now: NOON - MINUTE })
      await body(t, new Bench(store, NOON))
      await store.close()
    })
