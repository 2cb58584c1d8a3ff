// One page for one request: at once when something is there, else when the doorbell rings, else
// empty when the wait is over (protocol section 4; RFC 6202 for how long).
import { setImmediate as nextTick } from 'node:timers/promises'
import type { Clock } from '../core/clock.ts'
import { toTimestamp } from '../core/clock.ts'
import type { Entry, Reading } from '../core/mailbox.ts'
import { messageJson } from '../protocol/message.ts'
import type { Store } from '../store/store.ts'
import type { Hub, Read } from './hub.ts'

export interface DeliveryContext {
  store: Store
  hub: Hub
  clock: Clock
  metrics: DeliveryMetrics
}

/** What delivery reports of itself. */
export interface DeliveryMetrics {
  /** @param ageMs how old the message was when it was written to its reader */
  onDelivered(transport: 'poll' | 'stream' | 'exchange', ageMs: number): void
}

export interface PollRequest {
  read: Read
  since: number
  limit: number
  waitMs: number
}

/** A page, and the nonces that go with it. */
export interface Page extends Reading {
  n?: string | undefined
  proof?: string | undefined
}

/** Waits for a page. The caller opens the read (listen first) and closes it. */
export async function pollPage(context: DeliveryContext, request: PollRequest): Promise<Page> {
  const { clock, store } = context
  const { read, since, limit, waitMs } = request
  const deadline = clock.now() + waitMs
  const step = { peer: read.peer, since, limit, acknowledge: true }
  for (let lingered = false; ; ) {
    const now = clock.now()
    const reading = await store.readSince({ ...step, now })
    const page = { ...reading, n: read.n, proof: read.proof }
    const leftMs = Math.min(deadline, read.expiresAt) - now
    const isOver = reading.reset || read.ended || read.proof !== undefined || leftMs <= 0
    if (isOver) return page
    if (reading.entries.length > 0) {
      // What comes in a burst is stored within the same turn of the event loop: one page for it.
      if (lingered || reading.entries.length >= limit) return page
      lingered = true
      await nextTick()
    } else {
      lingered = false
      await read.wait(clock, leftMs)
      // The mailbox may be gone with its session: an ended poll is answered with what was known.
      if (read.ended) return page
    }
  }
}

/** The members of a page as JSON text without braces: `"messages":[…],"cursor":…`. */
export function pageMembers(page: Page, now: number): string {
  let text = `"messages":[${page.entries.map(entryJson).join(',')}],"cursor":${page.cursor}`
  text += `,"newest":${page.newest},"reset":${page.reset !== undefined}`
  if (page.reset) text += `,"resetReason":"${page.reset}"`
  if (page.n !== undefined) text += `,"n":${JSON.stringify(page.n)}`
  if (page.proof !== undefined) text += `,"proof":${JSON.stringify(page.proof)}`
  return `${text},"serverTime":"${toTimestamp(now)}"`
}

export const entryJson = ({ id, letter }: Entry): string => messageJson(id, letter.tail)
