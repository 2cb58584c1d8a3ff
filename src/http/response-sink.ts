// A response of node:http or of node:http2's compatibility API as the sink of an event stream. It
// never writes behind the end (Node would raise an uncaught error), and it uses the socket's own
// idle timer, only while something waits: that one sees progress inside a partly taken write.
import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Sink } from '../delivery/event-stream.ts'
import { LIMITS } from '../protocol/limits.ts'

export type RawResponse = ServerResponse | Http2ServerResponse

export class ResponseSink implements Sink {
  onDrained = () => {}
  onStalled = () => {}
  readonly #response: ServerResponse
  #isWaiting = false

  constructor(response: RawResponse) {
    // The two have the same methods where it matters here; their types have no common base.
    this.#response = response as ServerResponse
    response.on('timeout', () => this.onStalled())
    response.on('drain', () => {
      this.#isWaiting = false
      this.#response.setTimeout(0)
      this.onDrained()
    })
  }

  write(text: string): void {
    if (this.#isOver() || this.#response.write(text) || this.#isWaiting) return
    this.#isWaiting = true
    this.#response.setTimeout(LIMITS.streamStallMs)
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
