// A response of node:http or of node:http2's compatibility API as the sink of an event stream. It
// never writes behind the end (Node would raise an uncaught error). Whether the socket takes something
// is watched with its own idle timer, only while something waits: that one sees progress inside a
// partly taken write, which nothing else in Node's API shows.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Clock } from '../core/clock.ts'
import type { Sink } from '../delivery/event-stream.ts'
import { LIMITS } from '../protocol/limits.ts'

export type RawResponse = ServerResponse | Http2ServerResponse

/** The idle timer fires when nothing moved for so long; several in a row are a stall. */
const IDLE_MS = 1000

export class ResponseSink implements Sink {
  onDrained = () => {}
  onStalled = () => {}
  readonly #response: ServerResponse
  readonly #clock: Clock
  #isWaiting = false
  #idleSince = 0
  #idleAt = 0

  constructor(response: RawResponse, clock: Clock) {
    // The two have the same methods where it matters here; their types have no common base.
    this.#response = response as ServerResponse
    this.#clock = clock
    response.on('timeout', () => this.#onIdle())
    response.on('drain', () => {
      this.#isWaiting = false
      this.#response.setTimeout(0)
      this.onDrained()
    })
  }

  write(text: string): void {
    if (this.#isOver() || this.#response.write(text) || this.#isWaiting) return
    this.#isWaiting = true
    this.#response.setTimeout(IDLE_MS)
  }

  #onIdle(): void {
    if (!this.#isWaiting) return
    const now = this.#clock.now()
    // A timer that did not fire in between saw progress.
    if (now - this.#idleAt > 1.5 * IDLE_MS) this.#idleSince = now - IDLE_MS
    this.#idleAt = now
    if (now - this.#idleSince >= LIMITS.streamStallMs) this.onStalled()
    else this.#response.setTimeout(IDLE_MS)
  }

  queuedBytes(): number {
    return this.#response.writableLength
  }

  end(text: string): void {
    if (!this.#isOver()) this.#response.end(text)
  }

  destroy(): void {
    this.#response.destroy()
  }

  #isOver(): boolean {
    return this.#response.destroyed || this.#response.writableEnded
  }
}
