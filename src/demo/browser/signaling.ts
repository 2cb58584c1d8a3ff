// A thin signaling client, written by hand over the HTTP protocol: rooms, sending, one mailbox.
// Invariant: messages are handed over once and in order (the cursor says up to where), and signals
// leave one after the other, each repeated under its own key until the server has kept it.
import { type Json, randomKey } from './http.ts'
import { readByPoll, readByStream, StreamHeldBack } from './reading.ts'
import { Session, type SessionHandlers } from './session.ts'

export type Transport = 'stream' | 'poll'

export interface Message {
  id: number
  type: string
  from: string
  payload: Json
  sentAt: string
}

export interface Arrival {
  message: Message
  ageMs: number
  transport: Transport
}

export interface Departure {
  to: string
  type: string
  payload: Json
  kept: Promise<{ id: number; tookMs: number }>
}

export interface SignalingHandlers extends SessionHandlers {
  arrived(arrival: Arrival): void
  departed(departure: Departure): void
  /** Messages may be missing: read the room again. */
  reset(reason: string): void
  /** `heldBack`: the network let no stream through, so it became the other transport. */
  reading(transport: Transport, heldBack: boolean): void
}

export class Signaling {
  readonly session: Session
  cursor = 0
  readonly #info: Json
  readonly #on: SignalingHandlers
  #outbox: Promise<unknown> = Promise.resolve()
  #reads = new AbortController()

  constructor(base: URL, info: Json, on: SignalingHandlers) {
    this.#info = info
    this.#on = on
    this.session = new Session(base, info, {
      ...on,
      renewed: (sameAddress) => {
        if (!sameAddress) this.cursor = 0 // another mailbox, with ids of its own
        on.renewed(sameAddress)
      },
    })
  }

  join(room: string): Promise<Json> {
    return this.session.post(`rooms/${room}/join`, { create: true, info: this.#info })
  }

  send(to: string, type: string, payload: Json): void {
    const kept = this.#outbox.then(() => this.#post({ to, type, payload }))
    this.#outbox = kept.catch(() => {})
    this.#on.departed({ to, type, payload, kept })
  }

  /** Begins to read, or goes on from the cursor by another transport. */
  async read(transport: Transport, heldBack = false): Promise<void> {
    this.#reads.abort()
    const reads = new AbortController()
    this.#reads = reads
    this.#on.reading(transport, heldBack)
    const readOnce = transport === 'stream' ? readByStream : readByPoll
    let tries = 0
    while (!reads.signal.aborted) {
      const { cursor } = this
      try {
        await readOnce(this, reads.signal)
        tries = 0
      } catch (error) {
        if (reads.signal.aborted) return
        if (error instanceof StreamHeldBack) return this.read('poll', true)
        tries = this.cursor > cursor ? 0 : tries + 1
        const mended = await this.#recover(error, tries)
        if (!mended) return
      }
    }
  }

  stop(): void {
    this.#reads.abort()
  }

  take(message: Message, ageMs: number, transport: Transport): void {
    if (message.id <= this.cursor) return
    this.cursor = message.id
    this.#on.arrived({ message, ageMs, transport })
  }

  /** After a reset ids may begin below the old cursor: it must not hide them. */
  startOver(reason: string): void {
    this.cursor = 0
    this.#on.reset(reason)
  }

  async #post(signal: Json): Promise<{ id: number; tookMs: number }> {
    const startedAt = performance.now()
    const body = { ...signal, idempotencyKey: randomKey() }
    const receipt = await this.session.post('messages', body)
    return { id: receipt.deliveries[0].id, tookMs: performance.now() - startedAt }
  }

  async #recover(error: unknown, tries: number): Promise<boolean> {
    try {
      await this.session.recover(error, tries)
      return true
    } catch (final) {
      this.#on.failed(final)
      return false
    }
  }
}
