// Who is in a room and what the members are told (protocol section 5). Pure.
import type { Address } from '../protocol/address.ts'

export interface RoomMember {
  peer: Address
  info: Record<string, unknown> | undefined
  /** When it joined, ms. */
  joinedAt: number
  /** Grows with every join of the room: who has the greater one came later. */
  order: number
}

/**
 * In perfect negotiation (W3C WebRTC, 10.7) exactly one side of each pair is polite: here the one
 * that came later, which is also the one that offers.
 */
export const isPolite = (reader: RoomMember, toward: RoomMember): boolean =>
  reader.order > toward.order
