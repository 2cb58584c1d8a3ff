// The parts around a read, put together as server.ts does it: a memory store whose doorbell rings a
// hub, a clock turned by hand, and a way to post. The store began a minute ago, so that every
// cursor of it is above its generation.
import { Hub } from '../../src/delivery/hub.ts'
import type { DeliveryContext } from '../../src/delivery/long-poll.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { FakeClock } from './clock.ts'
import { type LetterParts, makeLetter } from './letters.ts'

const MINUTE = 60_000

export interface Delivered {
  transport: string
  ageMs: number
}

export function makeDelivery() {
  const clock = new FakeClock()
  const hub = new Hub()
  const store = new MemoryStore({ bytesMax: 64 * 1024 * 1024, now: clock.now() - MINUTE })
  store.onRing = (peer) => hub.ring(peer)
  const delivered: Delivered[] = []
  const context: DeliveryContext = {
    store,
    hub,
    clock,
    metrics: { onDelivered: (transport, ageMs) => delivered.push({ transport, ageMs }) },
  }
  let seq = 0
  /** Posts one letter to bob; its seq counts from 1. @returns its id */
  const post = async ({ to = 'bob', ...parts }: LetterParts & { to?: string } = {}) => {
    seq += 1
    const now = clock.now()
    const letter = makeLetter({ seq, expiresAt: now + 2 * MINUTE, ...parts })
    const [kept] = await store.append({ letter, to: [to], now })
    if (!kept || 'refused' in kept) throw new Error(`refused: ${JSON.stringify(kept)}`)
    return kept.id
  }
  return { clock, hub, store, context, delivered, post }
}
