// From the claims of a verified JWT to an identity (protocol section 2; RFC 7519, RFC 8725). Pure:
// the signature was checked before, time is an argument. Everything that is not exactly right is
// refused: `token-invalid`, or `token-expired` where only the time is wrong.
import { ProblemError } from '../core/errors.ts'
import { type Identity, isGrant } from '../core/grants.ts'
import { isAddress, nameOf } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import { GUEST_PREFIX } from '../protocol/names.ts'

export interface ClaimRules {
  issuer?: string | undefined
  audience?: string | undefined
  /** Names with the prefix `guest-` belong to guests (a secret or a JWKS URL is configured). */
  guestNamesReserved: boolean
  /** How long after `exp` a token still counts, where that is more than the leeway (to refresh it), ms. */
  graceMs: number
  /** What a token may do that has no `posthorn` claim at all. */
  without: { rooms: readonly string[]; create: boolean }
  /** Whether it was signed with the key of guests' tokens. */
  guest: boolean
  /** Names the token where it has no `jti`. */
  hash: string
}

type Claims = Record<string, unknown>

const bad = (detail: string) => new ProblemError('token-invalid', { detail })

/** @param now the system's clock, ms (token times were set by other machines) */
export function identityFrom(claims: Claims, rules: ClaimRules, now: number): Identity {
  const { sub, jti } = claims
  if (typeof sub !== 'string') throw bad('The claim sub is missing or no string.')
  if (jti !== undefined && typeof jti !== 'string') throw bad('The claim jti is no string.')
  checkParties(claims, rules)
  const expiresAt = checkTimes(claims, rules, now)
  const grants = readGrants(claims['posthorn'], rules)
  const peer = grants.peer ?? sub
  if (!isAddress(peer)) throw bad('Neither posthorn.peer nor sub is the address of a peer.')
  if (rules.guestNamesReserved && !rules.guest && nameOf(peer).startsWith(GUEST_PREFIX)) {
    throw bad(`Names that begin with ${GUEST_PREFIX} belong to guests.`)
  }
  const tokenId = jti === undefined ? rules.hash : `jti ${claims['iss'] ?? ''} ${jti}`
  return { peer, tokenId, expiresAt, guest: rules.guest, ...grants.allowed }
}

/** `iss` and `aud` are checked exactly when they are configured (RFC 8725, 3.8 and 3.9). */
function checkParties({ iss, aud }: Claims, { issuer, audience }: ClaimRules): void {
  if (issuer !== undefined && iss !== issuer) throw bad('The token is of another issuer.')
  if (audience === undefined) return
  const audiences = Array.isArray(aud) ? aud : [aud]
  if (!audiences.includes(audience)) throw bad('The token is for another audience.')
}

function checkTimes({ exp, iat, nbf }: Claims, { graceMs }: ClaimRules, now: number): number {
  if (!isTime(exp)) throw bad('The claim exp is missing or no number.')
  if (iat !== undefined && !isTime(iat)) throw bad('The claim iat is no number.')
  if (nbf !== undefined && !isTime(nbf)) throw bad('The claim nbf is no number.')
  const expiresAt = exp * 1000
  if (expiresAt > now + LIMITS.tokenLifeMaxMs + LIMITS.clockLeewayMs) {
    throw bad('The claim exp is more than 31 days ahead.')
  }
  const soon = now + LIMITS.clockLeewayMs
  if ((iat ?? 0) * 1000 > soon) throw bad('The token was issued in the future.')
  if ((nbf ?? 0) * 1000 > soon) throw bad('The token is not valid yet.')
  if (expiresAt + Math.max(graceMs, LIMITS.clockLeewayMs) <= now)
    throw new ProblemError('token-expired')
  return expiresAt
}

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value)

function readGrants(claim: unknown, rules: ClaimRules) {
  if (claim === undefined) return { peer: undefined, allowed: { ...rules.without, direct: [] } }
  if (!isObject(claim)) throw bad('The claim posthorn is no object.')
  const { peer, rooms = [], create = false, direct = [] } = claim
  if (peer !== undefined && typeof peer !== 'string') throw bad('posthorn.peer is no string.')
  if (typeof create !== 'boolean') throw bad('posthorn.create is no boolean.')
  const allowed = { rooms: readList(rooms, 'rooms'), create, direct: readList(direct, 'direct') }
  return { peer, allowed: rules.guest ? { ...allowed, ...readGuest(claim) } : allowed }
}

function readList(value: unknown, name: string): string[] {
  if (!Array.isArray(value) || value.length > LIMITS.grantsMax || !value.every(isGrant)) {
    throw bad(`posthorn.${name} is no list of at most ${LIMITS.grantsMax} grants.`)
  }
  return value
}

/** Members that only this server writes, into guests' tokens. */
function readGuest({ holder, startedAt, info }: Claims) {
  return {
    holder: String(holder),
    startedAt: Number(startedAt),
    ...(isObject(info) ? { info } : {}),
  }
}

const isObject = (value: unknown): value is Claims =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
