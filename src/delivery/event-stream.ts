// One stream of server-sent events (protocol section 4). The stream is a loop over the mailbox:
// read behind the cursor, write, wait for the doorbell, the socket or the time. Nothing is queued for
// it but what the socket has not taken yet, at most 256 KiB.
//
// Everything timed (heartbeats, the 55 s of its life, the end of its token) is looked at by one
// sweep over all streams (`StreamSweep`), so an idle stream has no timer of its own.
import type { Clock } from '../core/clock.ts'
import { toTimestamp } from '../core/clock.ts'
import type { Reading } from '../core/mailbox.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { ByeReason } from '../protocol/names.ts'
import { eventFrame, messageFrame, NUDGE, PADDING } from './frames.ts'
import type { Read } from './hub.ts'
import type { DeliveryContext } from './long-poll.ts'

const HEARTBEAT_ACTIVE_MS = 2_000
const HEARTBEAT_IDLE_MS = 15_000
const ACTIVE_MS = 30_000
const PROOF_AFTER_MS = 250
const TOKEN_WARNING_MS = 60_000
const PAGE_MESSAGES = 64
/** What is left free of the queue for what frames a message and for proof, warning and bye. */
const SMALL_EVENTS_BYTES = 1024
/** How long after a `bye` the reader should come back; at a shutdown spread over this time. */
const SHUTDOWN_SPREAD_MS = 3_000
const TOO_MANY_READS_RETRY_MS = 5_000

/** What a stream writes to: a response whose head was sent. */
export interface Sink {
  write(text: string): void
  /** Bytes the socket has not taken yet. */
  queuedBytes(): number
  /** Set by the stream: everything was taken. */
  onDrained: () => void
  /** Set by the stream: the socket has taken nothing for 10 s although something waits. */
  onStalled: () => void
  /** Ends in order. */
  end(text: string): void
  /** Ends at once, with what was not taken. */
  destroy(): void
}

export interface StreamOptions {
  read: Read
  since: number
  nudge: boolean
  /** The first stream of its ticket beats fast at first, so that the reader can prove the way. */
  firstOfTicket: boolean
  maxAgeMs: number
  /** 0 to 1, for what must not happen to all streams at once. */
  random: number
}

const NO_SINK: Sink = {
  write: () => {},
  queuedBytes: () => 0,
  onDrained: () => {},
  onStalled: () => {},
  end: () => {},
  destroy: () => {},
}

export class EventStream {
  readonly #context: DeliveryContext
  readonly #options: StreamOptions
  #sink: Sink = NO_SINK
  readonly #read: Read
  readonly #endsAt: number
  #cursor: number
  #activeUntil = 0
  #beatAt = Number.POSITIVE_INFINITY
  #warnedFor = 0
  #beatDue = false

  constructor(context: DeliveryContext, options: StreamOptions) {
    this.#context = context
    this.#options = options
    this.#read = options.read
    this.#cursor = options.since
    const now = context.clock.now()
    this.#endsAt = now + options.maxAgeMs
    if (options.firstOfTicket) this.#activeUntil = now + ACTIVE_MS
  }

  /** The first read: what fails here is answered with its status, before a head was sent. */
  readFirst(): Promise<Reading> {
    return this.#readPage(true)
  }

  /** Runs until the stream is over. The caller opened the read (listen first) and closes it. */
  async run(sink: Sink, first: Reading): Promise<void> {
    this.#sink = sink
    sink.onDrained = () => this.#read.ring()
    let isStalled = false
    sink.onStalled = () => {
      isStalled = true
      this.#read.end('slow-reader')
    }
    const reason = await this.#deliver(first)
    this.#read.end(reason)
    // Its client is gone, or its socket takes nothing: a bye could not be read.
    if (reason === 'gone' || isStalled) sink.destroy()
    else sink.end(eventFrame('bye', { reason, retryAfterMs: this.#retryAfterMs(reason) }))
    // A bye that nobody takes must not hold the socket.
    sink.onStalled = () => sink.destroy()
  }

  /** Looked at by the sweep: sets what is due and wakes the loop. */
  tick(now: number): void {
    const read = this.#read
    if (now >= read.expiresAt) read.end('token-expired')
    else if (now >= this.#endsAt) read.end('max-age')
    else if (now >= this.#beatAt) {
      this.#beatAt = Number.POSITIVE_INFINITY
      this.#beatDue = true
      read.ring()
    } else if (this.#isWarningDue(now)) read.ring()
  }

  async #deliver(first: Reading): Promise<ByeReason | 'gone'> {
    this.#open(first)
    this.#beatDue = true
    for (let page = first; ; page = await this.#readPage(false)) {
      // A gap after the opening: the reader comes back and is told at once what it missed.
      if (page.reset && page !== first) return this.#read.ended ?? 'slow-reader'
      const reason = await this.#writePage(page)
      if (reason) return reason
      if (page.entries.length < PAGE_MESSAGES || page.cursor === page.newest) {
        this.#warn()
        this.#beat(page)
        await this.#read.wait(this.#context.clock)
      }
      if (this.#read.ended) return this.#read.ended
    }
  }

  #readPage(opening: boolean): Promise<Reading> {
    const { store, clock } = this.#context
    const { peer } = this.#read
    const since = this.#cursor
    return store.readSince({
      peer,
      since,
      limit: PAGE_MESSAGES,
      acknowledge: opening,
      now: clock.now(),
    })
  }

  #open(first: Reading): void {
    const { clock, hub } = this.#context
    const { peer, n } = this.#read
    const hello = {
      peer,
      reset: first.reset !== undefined,
      resetReason: first.reset,
      n,
      heartbeatMs: HEARTBEAT_IDLE_MS,
      maxAgeMs: Math.round(this.#options.maxAgeMs),
      serverTime: toTimestamp(clock.now()),
    }
    this.#write(PADDING + eventFrame('hello', hello))
    clock.after(PROOF_AFTER_MS, () => {
      if (this.#read.ended) return
      this.#write(eventFrame('proof', { n }))
      hub.prove(this.#read)
    })
  }

  /** Writes a page; waits wherever the socket has enough. @returns a reason to end */
  async #writePage(page: Reading): Promise<ByeReason | 'gone' | undefined> {
    const { clock, metrics } = this.#context
    for (const { id, letter } of page.entries) {
      const over = await this.#makeRoomFor(letter.bytes)
      if (over) return over
      this.#write(messageFrame(id, letter.tail))
      this.#activeUntil = clock.now() + ACTIVE_MS
      this.#beatAt = Math.min(this.#beatAt, clock.now() + HEARTBEAT_ACTIVE_MS)
      metrics.onDelivered('stream', clock.now() - id / 1000)
    }
    this.#cursor = page.cursor
    return undefined
  }

  async #makeRoomFor(bytes: number): Promise<ByeReason | 'gone' | undefined> {
    if (this.#fits(bytes)) return undefined
    while (!this.#fits(bytes)) {
      if (this.#read.ended) return this.#read.ended
      await this.#read.wait(this.#context.clock)
    }
    // A ring that came meanwhile may have been for a message: look again after this page.
    this.#read.ring()
    return this.#read.ended
  }

  #fits(bytes: number): boolean {
    const queued = this.#sink.queuedBytes() + SMALL_EVENTS_BYTES
    return queued + bytes <= LIMITS.streamQueueBytesMax
  }

  #isWarningDue(now: number): boolean {
    const { expiresAt } = this.#read
    return expiresAt - now <= TOKEN_WARNING_MS && this.#warnedFor !== expiresAt
  }

  #warn(): void {
    const now = this.#context.clock.now()
    if (!this.#isWarningDue(now)) return
    this.#warnedFor = this.#read.expiresAt
    const expiresInMs = Math.max(0, Math.round(this.#read.expiresAt - now))
    this.#write(eventFrame('token-expiring', { expiresInMs }))
  }

  #beat({ newest }: Reading): void {
    // Behind a full queue it would come too late to say anything; it is due until there is room.
    if (!this.#beatDue || !this.#fits(0)) return
    this.#beatDue = false
    const now = this.#context.clock.now()
    const data = { cursor: this.#cursor, newest, serverTime: toTimestamp(now) }
    this.#write(eventFrame('heartbeat', data, this.#cursor))
    this.#beatAt = now + (now < this.#activeUntil ? HEARTBEAT_ACTIVE_MS : HEARTBEAT_IDLE_MS)
  }

  #write(text: string): void {
    const { read, nudge } = this.#options
    if (read.ended === 'gone') return
    this.#sink.write(text)
    if (nudge) setImmediate(() => read.ended ?? this.#sink.write(NUDGE))
  }

  #retryAfterMs(reason: ByeReason): number {
    if (reason === 'shutdown') return Math.round(this.#options.random * SHUTDOWN_SPREAD_MS)
    return reason === 'too-many-reads' ? TOO_MANY_READS_RETRY_MS : 0
  }
}

const SWEEP_MS = 250

/** One timer for all streams of a node; none while there is no stream. */
export class StreamSweep {
  readonly #clock: Clock
  #streams = new Set<EventStream>()
  #cancel: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(stream: EventStream): void {
    this.#streams.add(stream)
    this.#cancel ??= this.#clock.after(SWEEP_MS, () => this.#sweep())
  }

  delete(stream: EventStream): void {
    this.#streams.delete(stream)
  }

  #sweep(): void {
    this.#cancel = undefined
    const now = this.#clock.now()
    for (const stream of this.#streams) stream.tick(now)
    if (this.#streams.size > 0) this.#cancel = this.#clock.after(SWEEP_MS, () => this.#sweep())
  }
}
