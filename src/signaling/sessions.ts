// Sessions (protocol section 2): guests, tokens of the application, tickets, and their ends.
import { randomBytes, randomUUID } from 'node:crypto'
import type { Tokens } from '../auth/tokens.ts'
import { toTimestamp } from '../core/clock.ts'
import { ProblemError } from '../core/errors.ts'
import type { Identity } from '../core/grants.ts'
import { type Address, nameOf } from '../protocol/address.ts'
import { clientLimits, LIMITS } from '../protocol/limits.ts'
import { GUEST_PREFIX } from '../protocol/names.ts'
import type { SignalingContext } from './context.ts'
import { renewLease } from './presence.ts'
import { takeGuestToken } from './rates.ts'
import { leave } from './rooms.ts'

export interface GuestRequest {
  peer?: Address
  info?: Record<string, unknown>
  token?: string
}

export interface SessionContext extends SignalingContext {
  tokens: Tokens
  version: string
}

/** A share of a token's life after which a new one is due. */
const REFRESH_SHARE = 0.8

/**
 * Opens a guest session. Whether guests are allowed was checked.
 * @param address of the client, for the rate of new sessions
 * @throws ProblemError rate-limited, not-allowed, peer-taken
 */
export async function openGuest(context: SessionContext, request: GuestRequest, address: string) {
  const { store, clock, settings, tokens } = context
  const peer = request.peer ?? `${GUEST_PREFIX}${randomUUID()}`
  if (settings.configured && !peer.startsWith(GUEST_PREFIX)) {
    throw new ProblemError('not-allowed', { detail: `Guests' names begin with ${GUEST_PREFIX}.` })
  }
  await takeGuestToken(context, address)
  const shown = request.token === undefined ? undefined : await readHolder(context, request.token)
  // A token shows who held this very name, or the name that this is a device of.
  const isHolder = shown && nameOf(shown.peer) === nameOf(peer)
  const holder = isHolder ? shown.holder : randomBytes(16).toString('base64url')
  if (!(await store.claimName({ peer, holder, now: clock.now() }))) {
    throw new ProblemError('peer-taken')
  }
  const startedAt = clock.wall()
  const { token, identity } = await tokens.mintGuest({
    peer,
    holder,
    startedAt,
    info: request.info,
  })
  return startSession(context, identity, token)
}

/** The holder that a token names, whether or not it has ended meanwhile. */
async function readHolder({ tokens }: SessionContext, token: string) {
  try {
    const { peer, holder } = await tokens.identify(token, LIMITS.tokenLifeMaxMs)
    return holder === undefined ? undefined : { peer, holder }
  } catch {
    return undefined
  }
}

/** Opens a session for a token; a fresh one carries the open reads and tickets of its peer on. */
export async function openSession(context: SessionContext, me: Identity, token: string) {
  context.hub.renew(me.peer, me.expiresAt)
  await context.store.renewTickets(me, context.clock.now())
  return startSession(context, me, token)
}

/** A new token for a guest. @throws ProblemError not-allowed for others, token-expired after 24 h */
export async function refreshSession(context: SessionContext, me: Identity) {
  const { peer, holder, startedAt, info } = me
  if (!me.guest || holder === undefined || startedAt === undefined) {
    throw new ProblemError('not-allowed', {
      detail: 'Only guests refresh; others mint a new token.',
    })
  }
  if (context.clock.wall() >= startedAt + LIMITS.guestSessionMs) {
    throw new ProblemError('token-expired', { detail: 'A guest session lasts 24 hours at most.' })
  }
  const { token, identity } = await context.tokens.mintGuest({ peer, holder, startedAt, info })
  return openSession(context, identity, token)
}

/** Leaves the rooms, ends reads, tickets and reply rights, forgets the mailbox, revokes the token. */
export async function endSession(context: SessionContext, me: Identity): Promise<void> {
  const { store, hub, clock } = context
  // A guest's token could still be refreshed for a while after its end.
  const until = me.expiresAt + LIMITS.guestRefreshGraceMs
  await store.revokeToken(me.tokenId, until, clock.now())
  const { rooms } = await store.snapshot(me.peer, clock.now())
  for (const room of rooms) await leave(context, me.peer, room, 'ended')
  hub.endPeer(me.peer, 'session-ended')
  await store.forget(me.peer, clock.now())
}

/** What a reader that lost its place goes on from. */
export async function takeSnapshot(context: SessionContext, me: Identity) {
  const { newest, cursor, rooms } = await context.store.snapshot(me.peer, context.clock.now())
  const { expiresAt, limits, server } = describe(context, me)
  return { peer: me.peer, cursor, newest, rooms, calls: [], expiresAt, limits, server }
}

async function startSession(context: SessionContext, identity: Identity, token: string) {
  const { store, clock } = context
  const { peer } = identity
  await renewLease(context, identity)
  const ticket = randomBytes(16).toString('base64url')
  await store.addTicket({ ticket, identity, now: clock.now() })
  const refreshAfterMs = Math.round((identity.expiresAt - clock.now()) * REFRESH_SHARE)
  return {
    peer,
    token,
    ticket,
    ...describe(context, identity),
    refreshAfterMs: Math.max(0, refreshAfterMs),
  }
}

function describe({ store, settings, version }: SessionContext, { expiresAt }: Identity) {
  return {
    expiresAt: toTimestamp(expiresAt),
    limits: clientLimits(settings),
    server: { version, store: store.durability },
  }
}
