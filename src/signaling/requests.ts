// Idempotency (protocol section 3): the same key, path and body again gets the first answer. Only
// success is remembered; a retry after an interruption completes what is missing and doubles nothing
// (the store knows which copies an earlier run has kept).
import { createHash } from 'node:crypto'
import { ProblemError } from '../core/errors.ts'
import type { Address } from '../protocol/address.ts'
import type { Once } from '../store/store.ts'
import type { SignalingContext } from './context.ts'

export interface KeyedRequest {
  sender: Address
  path: string
  key: string | undefined
  /** The parsed body, without what a retry may change. */
  body: unknown
}

export interface Answer {
  text: string
  /** False: a repetition runs again, with this answer at hand. */
  complete: boolean
}

/**
 * Runs the request, or answers as the first time.
 * @param run is given `once` (undefined without a key) and the answers of an earlier run that was
 *   not complete
 * @throws ProblemError key-reused, in-progress, and what `run` throws
 */
export async function runOnce(
  { store, clock }: SignalingContext,
  { sender, path, key, body }: KeyedRequest,
  run: (once: Once | undefined, partial: string | undefined) => Promise<Answer | undefined>,
): Promise<{ text: string; replayed: boolean } | undefined> {
  if (key === undefined) {
    const answer = await run(undefined, undefined)
    return answer && { text: answer.text, replayed: false }
  }
  const once = { sender, path, key, item: 0 }
  const bodyHash = createHash('sha256').update(toCanonical(body)).digest('base64url')
  const start = await store.startRequest({ ...once, bodyHash, now: clock.now() })
  if (start.state === 'reused') throw new ProblemError('key-reused')
  if (start.state === 'running') throw new ProblemError('in-progress', { retryAfterMs: 1000 })
  if (start.state === 'replay') return { text: start.answer, replayed: true }
  let answer: Answer | undefined
  try {
    answer = await run(once, start.partial)
  } finally {
    const { text, complete = false } = answer ?? {}
    await store.finishRequest({ ...once, answer: text, complete, now: clock.now() })
  }
  return answer && { text: answer.text, replayed: start.partial !== undefined }
}

/** JSON with the members in the order of their names: equal for equal values. */
function toCanonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toCanonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${toCanonical(member)}`).join(',')}}`
}
