// Letters for tests of mailboxes, stores and delivery. A letter made here is known by its `seq`,
// which stands in its tail as a signal's payload would; its `bytes` are what the test says, so that
// caps can be reached without megabytes of text.
import type { Letter } from '../../src/core/mailbox.ts'
import { NOON } from './clock.ts'

const MINUTE = 60_000

export interface LetterParts extends Partial<Letter> {
  seq?: number
}

/** By default: of alice, 100 bytes, for two minutes from noon on. */
export function makeLetter({ seq = 0, ...parts }: LetterParts = {}): Letter {
  return {
    tail: `"type":"test","from":"${parts.from ?? 'alice'}","payload":{"seq":${seq}}}`,
    bytes: 100,
    from: 'alice',
    expiresAt: NOON + 2 * MINUTE,
    guest: false,
    reserved: false,
    ...parts,
  }
}

/** A letter of the server itself. */
export const makeNotice = (parts: LetterParts = {}): Letter =>
  makeLetter({ from: '@server', reserved: true, ...parts })

export const seqOf = ({ tail }: Letter): number => Number(/"seq":(\d+)/.exec(tail)?.[1])

export const seqsOf = (entries: readonly { letter: Letter }[]): number[] =>
  entries.map(({ letter }) => seqOf(letter))
