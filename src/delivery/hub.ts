// Who on this node waits for which mailbox. A ring is a doorbell: it says "look" and carries no
// data; the mailbox is the queue and there is none per connection.
//
// A read is one long-poll or one stream. Its life: `hub.open` (listen first), then read the store,
// then `read.wait`. A ring that comes while the store is being read is remembered, so the wait
// returns at once: the other order (read, then listen) loses wake-ups.
import type { Clock } from '../core/clock.ts'
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { ByeReason } from '../protocol/names.ts'

/** Why a read is over: a stream's `bye`, or its client went away. */
export type EndReason = ByeReason | 'gone'

export interface ReadOptions {
  peer: Address
  kind: 'poll' | 'stream'
  /** The reader's nonce. */
  n?: string | undefined
  /** When its token ends, ms. */
  expiresAt: number
  /** An open read is a use of its ticket. */
  ticket?: string | undefined
}

export class Read {
  readonly peer: Address
  readonly kind: 'poll' | 'stream'
  readonly n: string | undefined
  expiresAt: number
  readonly ticket: string | undefined
  ended: EndReason | undefined
  /** Set when a stream with the same nonce was proven while this poll was held. */
  proof: string | undefined
  #rung = false
  #wake: (() => void) | undefined

  constructor({ peer, kind, n, expiresAt, ticket }: ReadOptions) {
    this.peer = peer
    this.kind = kind
    this.n = n
    this.expiresAt = expiresAt
    this.ticket = ticket
  }

  /** Look again. */
  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  end(reason: EndReason): void {
    this.ended ??= reason
    this.ring()
  }

  /** Resolves at the next ring (at once if one came since the last wait), or after `ms`. */
  async wait(clock: Clock, ms = Number.POSITIVE_INFINITY): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const cancel = ms === Number.POSITIVE_INFINITY ? undefined : clock.after(ms, resolve)
        this.#wake = () => {
          cancel?.()
          resolve()
        }
      })
      this.#wake = undefined
    }
    this.#rung = false
  }
}

export class Hub {
  #reads = new Map<Address, Set<Read>>()

  /** Registers a read. A ninth read of a mailbox ends the oldest. */
  open(options: ReadOptions): Read {
    const read = new Read(options)
    let reads = this.#reads.get(read.peer)
    if (!reads) {
      reads = new Set()
      this.#reads.set(read.peer, reads)
    }
    reads.add(read)
    const living = [...reads].filter(({ ended }) => !ended)
    if (living.length > LIMITS.readsPerMailboxMax) living[0]?.end('too-many-reads')
    return read
  }

  close(read: Read): void {
    const reads = this.#reads.get(read.peer)
    reads?.delete(read)
    if (reads?.size === 0) this.#reads.delete(read.peer)
  }

  ring(peer: Address): void {
    const reads = this.#reads.get(peer)
    if (reads) for (const read of reads) read.ring()
  }

  /** Rings everybody: doorbells between nodes may be lost. */
  ringAll(): void {
    for (const read of this.all()) read.ring()
  }

  /** A stream was proven: polls of the same peer with its nonce are answered in the same instant. */
  prove(stream: Read): void {
    if (stream.n === undefined) return
    for (const read of this.#reads.get(stream.peer) ?? []) {
      if (read.kind !== 'poll' || read.n !== stream.n) continue
      read.proof = stream.n
      read.ring()
    }
  }

  /** The peer has a fresh token: its reads go on with it. */
  renew(peer: Address, expiresAt: number): void {
    for (const read of this.#reads.get(peer) ?? []) {
      read.expiresAt = Math.max(read.expiresAt, expiresAt)
      read.ring()
    }
  }

  endPeer(peer: Address, reason: ByeReason): void {
    for (const read of this.#reads.get(peer) ?? []) read.end(reason)
  }

  endAll(reason: ByeReason): void {
    for (const read of this.all()) read.end(reason)
  }

  /** Peers with an open read: their lease is renewed. */
  peers(): IterableIterator<Address> {
    return this.#reads.keys()
  }

  *all(): IterableIterator<Read> {
    for (const reads of this.#reads.values()) yield* reads
  }

  /** Open reads by kind, for the metrics. */
  count(kind: 'poll' | 'stream'): number {
    let count = 0
    for (const read of this.all()) if (read.kind === kind) count += 1
    return count
  }
}
