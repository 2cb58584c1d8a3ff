// Rooms (protocol section 5): join, leave, look; the other members are told by messages of the
// server, in the same step of the store.
import { toTimestamp } from '../core/clock.ts'
import { ProblemError } from '../core/errors.ts'
import { type Identity, mayJoin } from '../core/grants.ts'
import { isPolite } from '../core/room.ts'
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { LeaveReason } from '../protocol/names.ts'
import type { RoomState } from '../store/store.ts'
import type { SignalingContext } from './context.ts'
import { writeNotice } from './letters.ts'
import { takeSignalTokens } from './rates.ts'

export interface JoinRequest {
  create?: boolean
  capacity?: number
  info?: Record<string, unknown>
}

/**
 * Rights come before content: `readContent` is called once the room may be joined.
 * @throws ProblemError room-not-found, not-allowed, room-full, rate-limited
 */
export async function joinRoom(
  context: SignalingContext,
  me: Identity,
  room: string,
  readContent: () => JoinRequest,
  wantsToCreate: boolean,
) {
  const { store, clock } = context
  const found = await store.room(room)
  if (!mayJoin(me, room) || (!found && !wantsToCreate)) throw new ProblemError('room-not-found')
  if (!found && !me.create) {
    throw new ProblemError('not-allowed', { detail: 'This token may not create rooms.' })
  }
  const { capacity = LIMITS.roomMembersMax, info = me.info } = readContent()
  await takeSignalTokens(context, me.peer, found?.members.length ?? 1)
  const now = clock.now()
  // Those who are there came earlier than the newcomer: they are the impolite ones.
  const payload = { peer: me.peer, info, polite: false }
  const outcome = await store.join({
    room,
    peer: me.peer,
    info,
    notice: writeNotice('peer-joined', room, payload, context.settings.messageTtlMs, now),
    now,
    ...(wantsToCreate && me.create && { create: { capacity } }),
  })
  if (outcome.state === 'no-room') throw new ProblemError('room-not-found')
  if (outcome.state === 'full') throw new ProblemError('room-full')
  if (outcome.state === 'too-many-rooms') {
    throw new ProblemError('rate-limited', {
      detail: `A peer may be in ${LIMITS.roomsPerPeerMax} rooms.`,
      retryAfterMs: 1000,
      policy: { name: 'rooms', quota: LIMITS.roomsPerPeerMax, windowMs: 1000 },
    })
  }
  const members = await describeMembers(context, me.peer, outcome.room)
  return { room, created: outcome.created, members, newest: outcome.newest }
}

/** The room as its member sees it. @throws ProblemError room-not-found */
export async function lookAtRoom(context: SignalingContext, me: Address, room: string) {
  const state = await context.store.room(room)
  if (!state?.members.some(({ peer }) => peer === me)) throw new ProblemError('room-not-found')
  const { newest } = await context.store.snapshot(me, context.clock.now())
  return {
    room,
    capacity: state.capacity,
    members: await describeMembers(context, me, state),
    newest,
  }
}

/** @throws ProblemError room-not-found when the peer is no member; rate-limited */
export async function leaveRoom(
  context: SignalingContext,
  me: Address,
  room: string,
): Promise<void> {
  const state = await context.store.room(room)
  if (!state?.members.some(({ peer }) => peer === me)) throw new ProblemError('room-not-found')
  await takeSignalTokens(context, me, state.members.length)
  await leave(context, me, room, 'left')
}

/** Leaves whatever the reason; the others are told. */
export async function leave(
  context: SignalingContext,
  peer: Address,
  room: string,
  reason: LeaveReason,
) {
  const now = context.clock.now()
  const timedOut = reason === 'timeout'
  // A peer that was away must find out, also when it comes back late.
  const ttlMs = timedOut ? LIMITS.messageTtlMaxMs : context.settings.messageTtlMs
  const notice = writeNotice('peer-left', room, { peer, reason }, ttlMs, now)
  await context.store.leave({ room, peer, notice, tellPeer: timedOut, now })
}

async function describeMembers(
  { store, clock }: SignalingContext,
  reader: Address,
  state: RoomState,
) {
  const now = clock.now()
  const self = state.members.find(({ peer }) => peer === reader)
  const others = state.members.filter((member) => member !== self)
  return Promise.all(
    others.map(async (member) => ({
      peer: member.peer,
      info: member.info,
      joinedAt: toTimestamp(member.joinedAt),
      online: (await store.peer(member.peer, now)).online,
      polite: self !== undefined && isPolite(self, member),
    })),
  )
}
