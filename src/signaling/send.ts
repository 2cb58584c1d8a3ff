// Sends one signal: may they, is it right, which mailboxes, keep (protocol section 3). The order of
// the checks is part of the protocol (section 8): rights come before content, so that an answer
// never tells a stranger more than that there is nobody.
import { ProblemError } from '../core/errors.ts'
import { type Identity, mayReachDirectly } from '../core/grants.ts'
import { type Address, hasDevice, isAddress, isRoomName, nameOf } from '../protocol/address.ts'
import { toOneLine } from '../protocol/json-text.ts'
import { LIMITS } from '../protocol/limits.ts'
import { type Durability, SERVER_TYPES } from '../protocol/names.ts'
import { checkSignalDraft, payloadError, type SignalDraft } from '../protocol/signal.ts'
import type { Kept, Once } from '../store/store.ts'
import type { SignalingContext } from './context.ts'
import { writeLetter } from './letters.ts'
import { takeSignalTokens } from './rates.ts'

/** A signal as it came: parsed, and the text of its payload. */
export interface Posted {
  /** Without members that are null. */
  value: Record<string, unknown>
  payloadText: string | undefined
}

export interface SendOutcome {
  kept: number
  /** Every copy; of a signal to a whole room only those that were refused. */
  copies: Kept[]
  durability: Durability
}

/**
 * @param once the item of a request with an idempotency key
 * @throws ProblemError invalid-request, peer-not-found, room-not-found, reserved-type, too-large,
 *   rate-limited; mailbox-full or store-full when nobody kept it
 */
export async function sendSignal(
  context: SignalingContext,
  sender: Identity,
  posted: Posted,
  once?: Once,
): Promise<SendOutcome> {
  const target = readTarget(posted.value)
  const { to, direct } = await findRecipients(context, sender, target)
  const signal = checkContent(posted)
  const now = context.clock.now()
  const letter = writeLetter(
    {
      ...signal,
      from: sender.peer,
      guest: sender.guest,
      payloadText: payloadTextOf(posted),
      ttlMs: ttlOf(signal, context.settings.messageTtlMs),
    },
    now,
  )
  await takeSignalTokens(context, sender.peer, to.length)
  const replies = direct && { replyUntil: now + LIMITS.replyRightMs }
  const copies = await context.store.append({ letter, to, now, ...(once && { once }), ...replies })
  return toOutcome(context, copies, { type: signal.type, toRoom: target.to === undefined })
}

interface Target {
  to: Address | undefined
  room: string | undefined
}

function readTarget({ to, room }: Record<string, unknown>): Target {
  const errors = []
  if (to === undefined && room === undefined) {
    errors.push({ pointer: '/to', detail: 'Expected to, room, or both' })
  }
  if (to !== undefined && !isAddress(to)) {
    errors.push({ pointer: '/to', detail: 'Expected a peer: name or name:device' })
  }
  if (room !== undefined && !isRoomName(room)) {
    errors.push({ pointer: '/room', detail: 'Expected the name of a room' })
  }
  if (errors.length > 0) throw new ProblemError('invalid-request', { errors })
  return { to: to as Address | undefined, room: room as string | undefined }
}

async function findRecipients(context: SignalingContext, sender: Identity, { to, room }: Target) {
  if (room === undefined) return findPeers(context, sender, to as Address)
  const state = await context.store.room(room)
  if (!state?.members.some(({ peer }) => peer === sender.peer)) {
    throw new ProblemError('room-not-found')
  }
  const others = state.members.map(({ peer }) => peer).filter((peer) => peer !== sender.peer)
  const chosen = to === undefined ? others : others.filter((peer) => isMeant(to, peer))
  if (to !== undefined && chosen.length === 0) throw new ProblemError('peer-not-found')
  return { to: chosen, direct: false }
}

/** Does `to` (a full address, or a name for all its devices) mean this peer? */
const isMeant = (to: Address, peer: Address) =>
  peer === to || (!hasDevice(to) && nameOf(peer) === to)

/**
 * The full addresses that `to` reaches, for this sender.
 * @throws ProblemError peer-not-found, whether or not they exist
 */
export async function findPeers(context: SignalingContext, sender: Identity, to: Address) {
  const { store, clock } = context
  const now = clock.now()
  const directly = await findDirectly(context, sender, to, now)
  const mates = await store.roomMates(sender.peer, to)
  const repliers = await store.replyRights(sender.peer, now)
  const found = new Set([...directly, ...mates, ...repliers.filter((peer) => isMeant(to, peer))])
  // By one's own name one means one's other devices.
  if (to !== sender.peer) found.delete(sender.peer)
  if (found.size === 0) throw new ProblemError('peer-not-found')
  return { to: [...found], direct: directly.length > 0 }
}

async function findDirectly(
  { store }: SignalingContext,
  sender: Identity,
  to: Address,
  now: number,
) {
  if (sender.direct.length === 0) return []
  if (hasDevice(to)) return mayReachDirectly(sender, to) ? [to] : []
  const known = (await store.known(to, now)).filter((peer) => mayReachDirectly(sender, peer))
  if (known.length > 0) return known
  // Nobody came yet: it waits in the mailbox of the name for the first who comes.
  return mayReachDirectly(sender, to) ? [to] : []
}

function checkContent({ value }: Posted): SignalDraft {
  const { type, payload } = value
  if ((SERVER_TYPES as readonly unknown[]).includes(type)) throw new ProblemError('reserved-type')
  // PHP writes an empty object as `[]`.
  const isEmptyArray = Array.isArray(payload) && payload.length === 0
  const signal = isEmptyArray ? { ...value, payload: {} } : value
  const errors = checkSignalDraft(signal)
  if (value['from'] !== undefined) {
    errors.push({ pointer: '/from', detail: 'The server writes it' })
  }
  if (value['call'] !== undefined && value['to'] === undefined) {
    errors.push({ pointer: '/call', detail: 'A signal of a call needs to' })
  }
  if (errors.length === 0) {
    const error = payloadError(type as string, signal['payload'])
    if (error) errors.push(error)
  }
  if (errors.length > 0) throw new ProblemError('invalid-request', { errors })
  return signal as SignalDraft
}

function payloadTextOf({ value, payloadText }: Posted): string | undefined {
  if (Array.isArray(value['payload'])) return '{}'
  return payloadText === undefined ? undefined : toOneLine(payloadText)
}

function ttlOf({ ttl }: SignalDraft, messageTtlMs: number): number {
  if (ttl === undefined) return messageTtlMs
  return Math.min(Math.max(ttl * 1000, LIMITS.messageTtlMinMs), LIMITS.messageTtlMaxMs)
}

function toOutcome(
  context: SignalingContext,
  copies: Kept[],
  { type, toRoom }: { type: string; toRoom: boolean },
) {
  const refused = copies.filter((copy) => 'refused' in copy)
  const kept = copies.length - refused.length
  const first = refused[0]
  if (first && kept === 0) {
    throw new ProblemError(first.refused, { retryAfterMs: first.retryAfterMs })
  }
  context.metrics.onAccepted(type, kept)
  return { kept, copies: toRoom ? refused : copies, durability: context.store.durability }
}
