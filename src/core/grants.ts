// What a token allows, as pure questions. A grant is `exact` or `prefix*`; it is matched against
// the address without its device, unless the grant itself holds a `:` (protocol section 2).
import { type Address, nameOf } from '../protocol/address.ts'

/** Who is asking, as established by a token or a ticket. */
export interface Identity {
  peer: Address
  guest: boolean
  /** Grants for rooms that may be joined. */
  rooms: readonly string[]
  /** May rooms be created (those that may be joined)? */
  create: boolean
  /** Grants for peers that may be reached without sharing a room. */
  direct: readonly string[]
  /** When the token ends, ms of Unix time. */
  expiresAt: number
  /** What is revoked when the session ends: the token's `jti`, else its hash. */
  tokenId: string
  /** Guests: the secret of the session, the same in all its tokens; shows who holds the name. */
  holder?: string
  /** Guests: when the session began, ms of Unix time. */
  startedAt?: number
  /** Guests: the `info` that joins of this session carry when they have none of their own. */
  info?: Record<string, unknown>
}

const matches = (grant: string, text: string): boolean =>
  grant.endsWith('*') ? text.startsWith(grant.slice(0, -1)) : grant === text

/** Is the text `exact` or `prefix*`, with `*` only as its last character? */
export const isGrant = (text: unknown): text is string =>
  typeof text === 'string' && text.length > 0 && !text.slice(0, -1).includes('*')

export const mayJoin = (identity: Identity, room: string): boolean =>
  identity.rooms.some((grant) => matches(grant, room))

/** May the peer be reached by `direct`? `to` is a name or a full address. */
export const mayReachDirectly = (identity: Identity, to: Address): boolean =>
  identity.direct.some((grant) => matches(grant, grant.includes(':') ? to : nameOf(to)))
