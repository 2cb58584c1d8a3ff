// What polls and streams have in common: when they are over without anybody saying so.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Read } from '../../delivery/hub.ts'
import type { HttpContext } from '../context.ts'

/** A read that is opened within the leeway behind `exp`: without it, it would end at once, in a loop. */
const SHORTEST_MS = 1000

/** Until when the read may go on with its token, ms. */
export function readExpiry({ clock }: HttpContext, { identity }: FastifyRequest): number {
  return Math.max(identity.expiresAt, clock.now() + SHORTEST_MS)
}

/** Ends the read when its client goes away; it may have gone while it was authenticated. */
export function endWhenGone(read: Read, { raw }: FastifyReply): void {
  raw.once('close', () => read.end('gone'))
  if (raw.destroyed || raw.closed) read.end('gone')
}
