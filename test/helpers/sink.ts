// A socket that takes what a stream writes, or does not, as the test says. It remembers the most
// that ever waited in it, refuses writes behind the end, and reads back what it took with an
// independent parser.
import type { Sink } from '../../src/delivery/event-stream.ts'
import { type Decoded, decodeText, type StreamEvent } from './events.ts'

export class FakeSink implements Sink {
  onDrained = () => {}
  onStalled = () => {}
  /** Each write, as it came. */
  readonly writes: string[] = []
  ended: 'no' | 'in order' | 'destroyed' = 'no'
  queuedMax = 0
  #isBlocked: boolean
  #queued = 0

  constructor({ blocked = false } = {}) {
    this.#isBlocked = blocked
  }

  write(text: string): void {
    if (this.ended !== 'no') throw new Error('written behind the end')
    this.writes.push(text)
    if (!this.#isBlocked) return
    this.#queued += Buffer.byteLength(text)
    this.queuedMax = Math.max(this.queuedMax, this.#queued)
  }

  queuedBytes(): number {
    return this.#queued
  }

  end(text: string): void {
    this.write(text)
    this.ended = 'in order'
  }

  destroy(): void {
    this.ended = 'destroyed'
  }

  /** The network takes nothing from now on. */
  block(): void {
    this.#isBlocked = true
  }

  /** The network takes all that waits (and, without `andBlock`, what comes). */
  drain({ andBlock = false } = {}): void {
    this.#isBlocked = andBlock
    this.#queued = 0
    this.onDrained()
  }

  get decoded(): Decoded {
    return decodeText(this.writes.join(''))
  }

  /** Data of the events of one name, parsed. */
  dataOf(name: string): Record<string, unknown>[] {
    return this.decoded.events
      .filter(({ event }) => event === name)
      .map(({ data }) => JSON.parse(data))
  }

  get messages(): StreamEvent[] {
    return this.decoded.events.filter(({ event }) => event === 'message')
  }

  /** What the messages hold as `seq` (see letters.ts). */
  get seqs(): number[] {
    return this.dataOf('message').map(({ payload }) => (payload as { seq: number }).seq)
  }

  get names(): string[] {
    return this.decoded.events.map(({ event }) => event)
  }

  get bye(): Record<string, unknown> | undefined {
    return this.dataOf('bye')[0]
  }
}
