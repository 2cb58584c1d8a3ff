// Requests with an idempotency key, of the memory store: who claimed which key, what an interrupted
// run has kept already, and the answer once there is one.
import { Deadlines } from '../core/deadlines.ts'
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { Space } from './memory-space.ts'
import type { Once, RequestStart } from './store.ts'

const REQUEST_BYTES = 400
const KEPT_BYTES = 150

interface Request {
  bodyHash: string
  startedAt: number
  running: boolean
  /** Claims that were not finished: more than one where the first took longer than 10 s. */
  runs: number
  answer?: string
  complete: boolean
  /** `item to` → id: what an interrupted run has kept already. */
  kept: Map<string, number>
  bytes: number
}

export class MemoryRequests {
  /** By sender, then by path and key, oldest first. */
  #senders = new Map<Address, Map<string, Request>>()
  #due = new Deadlines<Address>()
  readonly #space: Space

  constructor(space: Space) {
    this.#space = space
  }

  start(step: Once & { bodyHash: string; now: number }): RequestStart {
    const found = this.#find(step, step.now)
    return found ? this.#restart(found, step) : this.#begin(step)
  }

  finish(step: Once & { answer: string | undefined; complete: boolean; now: number }): void {
    const found = this.#find(step, step.now)
    if (!found) return
    found.running = false
    found.runs -= 1
    if (step.answer !== undefined) {
      this.#grow(found, step.answer.length - (found.answer?.length ?? 0))
      found.answer = step.answer
      found.complete = step.complete
    } else if (found.kept.size === 0 && found.answer === undefined) {
      // Only success is remembered; but what an interrupted run has kept stays known.
      this.#drop(step.sender, keyOf(step))
    }
    // Nobody will run it again. (In a large room the copies of one signal are a thousand.)
    if (found.complete && found.runs === 0) this.#forgetKept(found)
  }

  /** The id under which this item was kept in that mailbox by an earlier run. */
  keptBefore(once: Once, to: Address, now: number): number | undefined {
    return this.#find(once, now)?.kept.get(`${once.item} ${to}`)
  }

  remember(once: Once, to: Address, id: number, now: number): void {
    const found = this.#find(once, now)
    if (!found) return
    found.kept.set(`${once.item} ${to}`, id)
    this.#grow(found, KEPT_BYTES)
  }

  sweep(now: number): void {
    for (const sender of this.#due.take(now)) {
      for (const [key, { startedAt }] of this.#senders.get(sender) ?? []) {
        const until = startedAt + LIMITS.idempotencyMs
        if (until <= now) this.#drop(sender, key)
        else this.#due.add(sender, until)
      }
    }
  }

  #begin(step: Once & { bodyHash: string; now: number }): RequestStart {
    const { sender, bodyHash, now: startedAt } = step
    // One of before, past its time and not swept away yet: its bytes and its place in the order go.
    this.#drop(sender, keyOf(step))
    this.#space.take(REQUEST_BYTES)
    const requests = this.#senders.get(sender) ?? new Map<string, Request>()
    this.#senders.set(sender, requests)
    const kept = new Map<string, number>()
    const request = {
      bodyHash,
      startedAt,
      running: true,
      runs: 1,
      complete: false,
      kept,
      bytes: REQUEST_BYTES,
    }
    requests.set(keyOf(step), request)
    if (requests.size > LIMITS.idempotencyKeysMax)
      this.#drop(sender, [...requests.keys()][0] as string)
    this.#due.add(sender, startedAt + LIMITS.idempotencyMs)
    return { state: 'run' }
  }

  #restart(found: Request, { bodyHash, now }: { bodyHash: string; now: number }): RequestStart {
    const isRunning = found.running && now - found.startedAt < LIMITS.idempotencyRunMs
    const isSame = found.bodyHash === bodyHash
    if (!isSame && (isRunning || found.answer !== undefined)) return { state: 'reused' }
    if (isRunning) return { state: 'running' }
    if (found.answer !== undefined && found.complete)
      return { state: 'replay', answer: found.answer }
    found.running = true
    found.runs += 1
    found.startedAt = now
    if (!isSame) {
      found.bodyHash = bodyHash
      this.#forgetKept(found)
    }
    return found.answer === undefined ? { state: 'run' } : { state: 'run', partial: found.answer }
  }

  #grow(found: Request, bytes: number): void {
    found.bytes += bytes
    this.#space.give(-bytes)
  }

  #forgetKept(found: Request): void {
    this.#grow(found, -found.kept.size * KEPT_BYTES)
    found.kept.clear()
  }

  #find(once: Once, now: number): Request | undefined {
    const found = this.#senders.get(once.sender)?.get(keyOf(once))
    return found && found.startedAt + LIMITS.idempotencyMs > now ? found : undefined
  }

  #drop(sender: Address, key: string): void {
    const requests = this.#senders.get(sender)
    this.#space.give(requests?.get(key)?.bytes ?? 0)
    requests?.delete(key)
    if (requests?.size === 0) this.#senders.delete(sender)
  }
}

/** Keys of one sender; NUL cannot occur in a path or a key. */
const keyOf = ({ path, key }: Once) => `${path}\0${key}`
