// A response of node:http or of node:http2's compatibility API as the sink of an event stream. It
// never writes behind the end (Node would raise an uncaught error). Whether its reader takes something
// is watched while something waits, also behind the end: what nobody takes must not stay for ever.
//
// Progress inside a partly taken write is seen by the idle timer of the socket and by nothing else in
// Node's API. But in HTTP/2 that timer is the connection's: while other streams move, it never fires.
// There, whole writes are looked at too, and they are given more time.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Clock } from '../core/clock.ts'
import type { Sink } from '../delivery/event-stream.ts'
import { LIMITS } from '../protocol/limits.ts'

export type RawResponse = ServerResponse | Http2ServerResponse

/** The idle timer fires when nothing moved for so long; several in a row are a stall. */
const IDLE_MS = 1000
/** At 2 kB/s the largest message is taken in less. */
const WHOLE_WRITE_MS = 3 * LIMITS.streamStallMs

export class ResponseSink implements Sink {
  onDrained = () => {}
  onStalled = () => {}
  readonly #response: ServerResponse
  readonly #clock: Clock
  #isWaiting = false
  /** What would wait if nothing had been taken since the last look. */
  #expectedBytes = 0
  /** When something had been taken at the last look. */
  #takenAt = 0
  #idleSince = 0
  #idleAt = 0
  #cancel = () => {}

  constructor(response: RawResponse, clock: Clock) {
    // The two have the same methods where it matters here; their types have no common base.
    this.#response = response as ServerResponse
    this.#clock = clock
    response.on('timeout', () => this.#onIdle())
    response.on('close', () => this.#cancel())
    response.on('drain', () => {
      this.#isWaiting = false
      this.#cancel()
      this.#response.setTimeout(0)
      this.onDrained()
    })
  }

  write(text: string): void {
    if (this.#isOver()) return
    const before = this.queuedBytes()
    const isTaken = this.#response.write(text)
    this.#expectedBytes += this.queuedBytes() - before
    if (!isTaken) this.#watch()
  }

  queuedBytes(): number {
    return this.#response.writableLength
  }

  end(text: string): void {
    if (this.#isOver()) return
    this.#response.end(text)
    if (this.queuedBytes() > 0) this.#watch()
  }

  destroy(): void {
    this.#response.destroy()
  }

  #watch(): void {
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#expectedBytes = this.queuedBytes()
    this.#takenAt = this.#clock.now()
    this.#response.setTimeout(IDLE_MS)
    if (this.#response.req.httpVersionMajor === 2) this.#lookLater()
  }

  #onIdle(): void {
    if (!this.#isWaiting) return
    const now = this.#clock.now()
    // A timer that did not fire in between saw progress.
    const isFirst = now - this.#idleAt > 1.5 * IDLE_MS
    if (this.#hasTaken() || isFirst) this.#idleSince = now - IDLE_MS
    this.#idleAt = now
    if (now - this.#idleSince >= LIMITS.streamStallMs) this.onStalled()
    else this.#response.setTimeout(IDLE_MS)
  }

  #lookLater(): void {
    const leftMs = this.#takenAt + WHOLE_WRITE_MS - this.#clock.now()
    this.#cancel = this.#clock.after(leftMs, () => {
      this.#hasTaken()
      if (this.#clock.now() - this.#takenAt >= WHOLE_WRITE_MS) this.onStalled()
      else this.#lookLater()
    })
  }

  #hasTaken(): boolean {
    const queuedBytes = this.queuedBytes()
    const hasTaken = queuedBytes < this.#expectedBytes
    this.#expectedBytes = queuedBytes
    if (hasTaken) this.#takenAt = this.#clock.now()
    return hasTaken
  }

  #isOver(): boolean {
    return this.#response.destroyed || this.#response.writableEnded
  }
}
