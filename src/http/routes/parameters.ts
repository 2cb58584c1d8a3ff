// Reads the query of a GET. What is no number, or a repeated parameter, is refused; what is out of
// range is clamped, so that a client that asks for too much still gets an answer.
import type { FastifyRequest } from 'fastify'
import { ProblemError } from '../../core/errors.ts'
import { isAddress, isRoomName } from '../../protocol/address.ts'
import { LIMITS } from '../../protocol/limits.ts'

const WHOLE = /^-?\d+$/
const DECIMAL = /^-?(\d+(\.\d*)?|\.\d+)$/

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high)

const refuse = (name: string, detail: string) =>
  new ProblemError('invalid-request', { errors: [{ pointer: `/${name}`, detail }] })

/** The parameters of the query; each at most once. */
export function readQuery(request: FastifyRequest): Record<string, string | undefined> {
  const query = request.query as Record<string, string | string[] | undefined>
  for (const [name, value] of Object.entries(query)) {
    // The name is only repeated where it is one of ours.
    if (Array.isArray(value))
      throw refuse(/^[a-z]{1,10}$/.test(name) ? name : '', 'Expected it once')
  }
  return query as Record<string, string | undefined>
}

export function readSince(text: string | undefined): number {
  if (text === undefined) return 0
  if (!/^\d+$/.test(text)) throw refuse('since', 'Expected a cursor, a whole number')
  return Number(text)
}

export function readLimit(text: string | undefined): number {
  if (text === undefined) return LIMITS.pageMessagesDefault
  if (!WHOLE.test(text)) throw refuse('limit', 'Expected a whole number')
  return clamp(Number(text), 1, LIMITS.pageMessagesMax)
}

/** @returns ms */
export function readWait(text: string): number {
  if (!DECIMAL.test(text)) throw refuse('wait', 'Expected a number of seconds')
  return clamp(Number(text) * 1000, 0, LIMITS.waitMaxMs)
}

/** `Prefer: wait=N` (RFC 7240, 4.3). @returns ms */
export function readPreferredWait(request: FastifyRequest): number | undefined {
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d+)"?/i.exec(
    String(request.headers['prefer'] ?? ''),
  )?.[1]
  return seconds === undefined ? undefined : clamp(Number(seconds) * 1000, 0, LIMITS.waitMaxMs)
}

export function readNonce(text: string | undefined): string | undefined {
  if (text !== undefined && text.length > LIMITS.nonceCharsMax) {
    throw refuse('n', `Expected at most ${LIMITS.nonceCharsMax} characters`)
  }
  return text
}

export function readRoom(request: FastifyRequest): string {
  const { room } = request.params as { room: string }
  if (!isRoomName(room)) throw refuse('room', 'Expected the name of a room')
  return room
}

export function readPeer(request: FastifyRequest): string {
  const { peer } = request.params as { peer: string }
  if (!isAddress(peer)) throw refuse('peer', 'Expected a peer: name or name:device')
  return peer
}
