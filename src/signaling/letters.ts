// Turns what is to be sent into a letter: its JSON is written here, once.
import { toTimestamp } from '../core/clock.ts'
import { ProblemError } from '../core/errors.ts'
import type { Letter } from '../core/mailbox.ts'
import { LIMITS } from '../protocol/limits.ts'
import { MESSAGE_HEAD_BYTES, writeTail } from '../protocol/message.ts'
import { SERVER_ADDRESS } from '../protocol/names.ts'

export interface LetterDraft {
  type: string
  from: string
  guest: boolean
  room?: string | undefined
  call?: string | undefined
  /** JSON text on one line. */
  payloadText?: string | undefined
  ttlMs: number
}

/** @throws ProblemError too-large */
export function writeLetter(draft: LetterDraft, now: number): Letter {
  const { from, guest, ttlMs } = draft
  const expiresAt = now + ttlMs
  const tail = writeTail({ ...draft, sentAt: toTimestamp(now), expiresAt: toTimestamp(expiresAt) })
  const bytes = MESSAGE_HEAD_BYTES + Buffer.byteLength(tail)
  if (bytes > LIMITS.signalBytesMax) {
    throw new ProblemError('too-large', {
      detail: 'The message that this signal makes is too large.',
      maxBytes: LIMITS.signalBytesMax,
    })
  }
  return { tail, bytes, from, expiresAt, guest, reserved: from === SERVER_ADDRESS }
}

/** A message of the server itself: it uses the places that are reserved for it. */
export function writeNotice(
  type: string,
  room: string,
  payload: object,
  ttlMs: number,
  now: number,
): Letter {
  const payloadText = JSON.stringify(payload)
  return writeLetter({ type, from: SERVER_ADDRESS, guest: false, room, payloadText, ttlMs }, now)
}
