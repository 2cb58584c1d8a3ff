// One peer's mailbox: ordered, capped, expiring (protocol sections 1, 3, 4). Pure: time is an
// argument and nothing is written elsewhere; what leaves is told to an observer, so that a store
// can keep its books.
//
// Three ids say everything. `newest` is the id given out last. `acknowledged` is the greatest
// cursor a reader has presented: what is above it is unread. `floor` is the newest id that may be
// gone: a reader whose cursor is below it may have missed something and is told so (`reset`).
// Invariant: acknowledged, floor and every kept id are <= newest, and kept ids strictly increase.
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { ResetReason } from '../protocol/names.ts'

/** What is kept of a signal; one object shared by every mailbox that the signal reached. */
export interface Letter {
  /** The message's JSON behind its id (protocol/message). */
  tail: string
  /** Bytes of the message's JSON in UTF-8, id included. */
  bytes: number
  from: Address
  /** When it expires, ms. */
  expiresAt: number
  /** Sent by a guest: all guests together may fill half a mailbox. */
  guest: boolean
  /** Uses the places of `@server`. */
  reserved: boolean
}

export interface Entry {
  id: number
  letter: Letter
}

export interface MailboxObserver {
  /** The letter is not unread in this mailbox any more (acknowledged or gone). */
  onRead(letter: Letter): void
  /** The letter is not kept in this mailbox any more. */
  onGone(letter: Letter, why: 'expired' | 'evicted' | 'forgotten', wasUnread: boolean): void
}

export interface Reading {
  entries: Entry[]
  cursor: number
  newest: number
  reset: ResetReason | undefined
}

/** Why a mailbox did not keep a letter: after how long the oldest unread one makes room by itself. */
export interface Refusal {
  retryAfterMs: number
}

export class Mailbox {
  newest: number
  floor: number
  acknowledged = 0
  readonly #generation: number
  #floorReason: ResetReason
  #entries: Entry[] = []
  /** The earliest expiry among the entries, so that looking at a quiet mailbox costs nothing. */
  #expiresNextAt = Number.POSITIVE_INFINITY
  readonly #observer: MailboxObserver

  /**
   * @param floor the newest id that may be gone when the mailbox is made
   * @param reason why something up to the floor may be gone
   * @param generation the id at which the store began to remember
   */
  constructor(floor: number, reason: ResetReason, generation: number, observer: MailboxObserver) {
    this.newest = floor
    this.floor = floor
    this.#floorReason = reason
    this.#generation = generation
    this.#observer = observer
  }

  get size(): number {
    return this.#entries.length
  }

  get hasUnread(): boolean {
    return (this.#entries.at(-1)?.id ?? 0) > this.acknowledged
  }

  get hasAcknowledged(): boolean {
    return (this.#entries[0]?.id ?? Number.POSITIVE_INFINITY) <= this.acknowledged
  }

  /**
   * Keeps a letter under the next id: the microsecond of `now`, or the last id + 1 where that is
   * larger. What is acknowledged makes room, oldest first.
   */
  append(letter: Letter, now: number): Entry | Refusal {
    this.expire(now)
    const refusal = letter.reserved ? this.#makeServerRoom() : this.#makeRoom(letter, now)
    if (refusal) return refusal
    const entry = { id: Math.max(Math.floor(now * 1000), this.newest + 1), letter }
    this.#push(entry)
    return entry
  }

  /**
   * Takes over what waited in another mailbox; ids stay where they can.
   * @param isFresh nobody has read here yet: what is here and what comes are put in order of their ids
   */
  adopt(entries: Entry[], isFresh: boolean): void {
    const { newest } = this
    const all = isFresh ? [...this.empty(), ...entries].sort((a, b) => a.id - b.id) : entries
    if (isFresh) this.newest = this.floor
    for (const { id, letter } of all) this.#push({ id: Math.max(id, this.newest + 1), letter })
    this.newest = Math.max(this.newest, newest)
  }

  /** Removes everything and returns it, without telling the observer: it is kept elsewhere now. */
  empty(): Entry[] {
    const entries = this.#entries
    this.#entries = []
    this.#expiresNextAt = Number.POSITIVE_INFINITY
    return entries
  }

  /**
   * What is kept behind `since`. From `since=0` and with a reset: everything, whatever `limit`
   * says, so that the cursor may be the newest id and one reset is told once.
   */
  read(since: number, limit: number, now: number): Reading {
    this.expire(now)
    const reset = this.#resetFor(since)
    if (since === 0 || reset) {
      return { entries: [...this.#entries], cursor: this.newest, newest: this.newest, reset }
    }
    const start = this.#indexBehind(since)
    const entries = start === this.#entries.length ? [] : this.#entries.slice(start, start + limit)
    return { entries, cursor: entries.at(-1)?.id ?? since, newest: this.newest, reset }
  }

  /** A reader says that everything up to `cursor` arrived. It deletes nothing by itself. */
  acknowledge(cursor: number): void {
    // A cursor from another life of this mailbox acknowledges nothing of this one.
    if (cursor <= this.acknowledged || cursor > this.newest) return
    for (let index = this.#indexBehind(this.acknowledged); index < this.#entries.length; index++) {
      const { id, letter } = this.#entries[index] as Entry
      if (id > cursor) break
      this.#observer.onRead(letter)
    }
    this.acknowledged = cursor
  }

  /** Drops what has expired. */
  expire(now: number): void {
    if (now < this.#expiresNextAt) return
    this.#drop(({ letter }) => letter.expiresAt <= now, 'expired')
  }

  /** Drops everything that is acknowledged (the store needs the space). */
  dropAcknowledged(): void {
    this.#drop(({ id }) => id <= this.acknowledged, 'evicted')
  }

  /** Drops everything: the peer is forgotten. */
  forget(): void {
    this.#drop(() => true, 'forgotten')
  }

  #push(entry: Entry): void {
    this.#entries.push(entry)
    this.newest = entry.id
    if (entry.letter.expiresAt < this.#expiresNextAt) this.#expiresNextAt = entry.letter.expiresAt
  }

  #resetFor(since: number): ResetReason | undefined {
    if (since === 0) return undefined
    if (since > this.newest) return 'cursor-ahead'
    if (since >= this.floor) return undefined
    return since < this.#generation ? 'store-restarted' : this.#floorReason
  }

  #indexBehind(since: number): number {
    // From the end: readers are nearly always up to date.
    let index = this.#entries.length
    while (index > 0 && (this.#entries[index - 1] as Entry).id > since) index--
    return index
  }

  #makeRoom(letter: Letter, now: number): Refusal | undefined {
    const use = this.#use(letter)
    const tooMuch =
      use.senderUnread.messages >= LIMITS.senderMessagesMax ||
      use.senderUnread.bytes + letter.bytes > LIMITS.senderBytesMax ||
      (letter.guest && use.guestUnread.messages >= LIMITS.guestMessagesMax) ||
      (letter.guest && use.guestUnread.bytes + letter.bytes > LIMITS.guestBytesMax) ||
      use.unread.messages >= LIMITS.mailboxMessagesMax ||
      use.unread.bytes + letter.bytes > LIMITS.mailboxBytesMax
    if (tooMuch) return { retryAfterMs: Math.max(1000, this.#expiresNextAt - now) }
    let { messages, bytes } = use.all
    const full = () =>
      messages >= LIMITS.mailboxMessagesMax || bytes + letter.bytes > LIMITS.mailboxBytesMax
    if (!full()) return undefined
    this.#drop((entry) => {
      if (entry.letter.reserved || entry.id > this.acknowledged || !full()) return false
      messages -= 1
      bytes -= entry.letter.bytes
      return true
    }, 'evicted')
    return undefined
  }

  /** All places of `@server` taken: its oldest goes, acknowledged or not, and the reader is told. */
  #makeServerRoom(): undefined {
    const reserved = this.#entries.filter(({ letter }) => letter.reserved)
    if (reserved.length < LIMITS.serverMessagesMax) return
    const oldest = reserved[0] as Entry
    this.#drop((entry) => entry === oldest, 'evicted')
  }

  #use(letter: Letter) {
    const none = () => ({ messages: 0, bytes: 0 })
    const use = { all: none(), unread: none(), senderUnread: none(), guestUnread: none() }
    const count = (sum: { messages: number; bytes: number }, bytes: number) => {
      sum.messages += 1
      sum.bytes += bytes
    }
    for (const { id, letter: kept } of this.#entries) {
      if (kept.reserved) continue
      count(use.all, kept.bytes)
      if (id <= this.acknowledged) continue
      count(use.unread, kept.bytes)
      if (kept.from === letter.from) count(use.senderUnread, kept.bytes)
      if (kept.guest) count(use.guestUnread, kept.bytes)
    }
    return use
  }

  #drop(goes: (entry: Entry) => boolean, why: 'expired' | 'evicted' | 'forgotten'): void {
    let expiresNextAt = Number.POSITIVE_INFINITY
    const kept: Entry[] = []
    for (const entry of this.#entries) {
      if (!goes(entry)) {
        kept.push(entry)
        expiresNextAt = Math.min(expiresNextAt, entry.letter.expiresAt)
        continue
      }
      const wasUnread = entry.id > this.acknowledged
      if (wasUnread) this.#observer.onRead(entry.letter)
      this.#observer.onGone(entry.letter, why, wasUnread)
      if (entry.id > this.floor) {
        this.floor = entry.id
        this.#floorReason = why === 'expired' ? 'expired' : 'evicted'
      }
    }
    this.#entries = kept
    this.#expiresNextAt = expiresNextAt
  }
}
