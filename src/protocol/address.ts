// Peer addresses, room names and the other short strings of protocol section 1. An address is
// `name` or `name:device`; each full address owns one mailbox.

export type Address = string

const PART = '[A-Za-z0-9_][A-Za-z0-9_.~-]{0,63}'
export const ADDRESS_PATTERN = `^${PART}(:${PART})?$`
export const ROOM_PATTERN = '^[A-Za-z0-9_][A-Za-z0-9_.~-]{0,127}$'
export const CALL_PATTERN = '^[A-Za-z0-9_-]{8,64}$'
export const TYPE_PATTERN = '^[a-z][a-z0-9:.-]{0,63}$'
export const KEY_PATTERN = '^[A-Za-z0-9_.:~-]{1,64}$'

const address = new RegExp(ADDRESS_PATTERN)
const room = new RegExp(ROOM_PATTERN)
const key = new RegExp(KEY_PATTERN)

export const isAddress = (text: unknown): text is Address =>
  typeof text === 'string' && address.test(text)

export const isRoomName = (text: unknown): text is string =>
  typeof text === 'string' && room.test(text)

export const isIdempotencyKey = (text: unknown): text is string =>
  typeof text === 'string' && key.test(text)

/** The address without its device. */
export function nameOf(peer: Address): string {
  const colon = peer.indexOf(':')
  return colon === -1 ? peer : peer.slice(0, colon)
}

export const hasDevice = (peer: Address): boolean => peer.includes(':')
