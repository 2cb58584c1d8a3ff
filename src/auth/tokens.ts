// Verifies and mints JWTs. Three kinds of keys, chosen by the header's `alg` and `kid` alone and
// never mixed (RFC 8725, 3.1 and 3.2): the secret (HS256), a key for guests derived from the secret
// (HS256 with our `kid`), and the key set of the application's identity provider (EdDSA, ES256,
// RS256 by a JWKS URL that comes from the configuration and from nowhere else).
//
// A signature is checked once per token: the claims of tokens seen lately are kept by the SHA-256 of
// the whole token. Times, issuer, grants and revocation are checked every time.
import { createHash, createHmac } from 'node:crypto'
import {
  compactVerify,
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import { ProblemError } from '../core/errors.ts'
import type { Identity } from '../core/grants.ts'
import { LIMITS } from '../protocol/limits.ts'
import { identityFrom } from './claims.ts'

const GUEST_KEY_ID = 'posthorn-guest'
const JWKS_ALGORITHMS = ['EdDSA', 'ES256', 'RS256']
/** A key set that does not answer must not hold a request for longer than a dead store may. */
const JWKS_TIMEOUT_MS = 2000
const CACHED_TOKENS_MAX = 10_000
/** A key that was withdrawn from a key set may still be trusted for as long. */
const CACHED_TOKEN_MS = 60_000

export interface TokenSettings {
  /** At least 32 bytes; configured or random. */
  secret: string | undefined
  jwksUrl?: string | undefined
  issuer?: string | undefined
  audience?: string | undefined
  /** A secret or a JWKS URL is configured: guests have names and rooms of their own. */
  configured: boolean
}

interface Verified {
  claims: JWTPayload
  guest: boolean
  byKeySet: boolean
  hash: string
}

export class Tokens {
  readonly #settings: TokenSettings
  readonly #clock: Clock
  readonly #secret: Uint8Array | undefined
  readonly #guestSecret: Uint8Array | undefined
  readonly #keySet: ReturnType<typeof createRemoteJWKSet> | undefined
  readonly #cache: LRUCache<string, Verified>

  constructor(settings: TokenSettings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
    const { secret, jwksUrl } = settings
    if (secret !== undefined) {
      this.#secret = Buffer.from(secret)
      this.#guestSecret = createHmac('sha256', secret).update('posthorn guests 1').digest()
    }
    if (jwksUrl !== undefined) {
      this.#keySet = createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: JWKS_TIMEOUT_MS })
    }
    this.#cache = new LRUCache({
      max: CACHED_TOKENS_MAX,
      ttl: CACHED_TOKEN_MS,
      perf: { now: () => clock.now() },
    })
  }

  /**
   * Who shows this token? Revocation is not looked at.
   * @param graceMs how long after `exp` it still counts
   * @throws ProblemError token-invalid, token-expired; store-unavailable while the key set cannot be had
   */
  async identify(token: string, graceMs = 0): Promise<Identity> {
    const { claims, guest, byKeySet, hash } = await this.#verify(token)
    const { issuer, audience, configured } = this.#settings
    const without = byKeySet ? { rooms: [], create: false } : { rooms: ['*'], create: true }
    const rules = {
      issuer,
      audience,
      guestNamesReserved: configured,
      graceMs,
      without,
      guest,
      hash,
    }
    const identity = identityFrom(claims, rules, this.#clock.wall())
    // Lifetimes are measured with the clock that never jumps. Below a second the two are the same.
    const skewMs = Math.round((this.#clock.now() - this.#clock.wall()) / 1000) * 1000
    return { ...identity, expiresAt: identity.expiresAt + skewMs }
  }

  /** Mints the token of a guest; it ends with the session's 24 hours at the latest. */
  async mintGuest(guest: {
    peer: string
    holder: string
    startedAt: number
    info?: Record<string, unknown> | undefined
  }): Promise<{ token: string; identity: Identity }> {
    if (!this.#guestSecret) throw new ProblemError('guests-off')
    const { peer, holder, startedAt, info } = guest
    const now = this.#clock.wall()
    const end = Math.min(now + LIMITS.guestTokenMs, startedAt + LIMITS.guestSessionMs)
    const rooms = this.#settings.configured ? ['guest-*'] : ['*']
    const { issuer, audience } = this.#settings
    const posthorn = {
      peer,
      rooms,
      create: true,
      direct: [],
      holder,
      startedAt,
      ...(info && { info }),
    }
    const jwt = new SignJWT({ posthorn })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: GUEST_KEY_ID })
      .setSubject(peer)
      .setJti(crypto.randomUUID())
      .setIssuedAt(Math.floor(now / 1000))
      .setExpirationTime(Math.floor(end / 1000))
    if (issuer !== undefined) jwt.setIssuer(issuer)
    if (audience !== undefined) jwt.setAudience(audience)
    const token = await jwt.sign(this.#guestSecret)
    return { token, identity: await this.identify(token) }
  }

  async #verify(token: string): Promise<Verified> {
    if (token.length > LIMITS.tokenBytesMax) {
      throw bad('The token is too long.')
    }
    const key = toHash(token)
    const cached = this.#cache.get(key)
    if (cached) return cached
    // What is revoked is named without the signature: of ES256 each has a twin that is valid too.
    const hash = toHash(token.slice(0, token.lastIndexOf('.')))
    const verified = { ...(await this.#checkSignature(token)), hash }
    this.#cache.set(key, verified)
    return verified
  }

  async #checkSignature(token: string): Promise<Omit<Verified, 'hash'>> {
    try {
      if (!isCompact(token)) throw bad('It is no JWT in its compact form.')
      const { alg, typ, crit, b64, kid } = decodeProtectedHeader(token)
      if (crit !== undefined || b64 !== undefined) throw bad('The header has crit or b64.')
      if (typ !== undefined && !(typeof typ === 'string' && /^(at\+)?jwt$/i.test(typ))) {
        throw bad('The header has another typ than JWT.')
      }
      const guest = alg === 'HS256' && kid === GUEST_KEY_ID
      const secret = guest ? this.#guestSecret : this.#secret
      const byKeySet = alg !== 'HS256'
      const { payload } = await (byKeySet
        ? compactVerify(token, this.#needKeySet(), { algorithms: JWKS_ALGORITHMS })
        : compactVerify(token, need(secret), { algorithms: ['HS256'] }))
      return { claims: parseClaims(payload), guest, byKeySet }
    } catch (error) {
      throw toProblem(error)
    }
  }

  #needKeySet() {
    return need(this.#keySet)
  }
}

const bad = (detail: string) => new ProblemError('token-invalid', { detail })

const toHash = (text: string) => createHash('sha256').update(text).digest('base64url')

/**
 * Three parts in base64url without padding, the signature in the one spelling that encoders write:
 * decoders take others too (RFC 4648, 3.5), and a token must not have several.
 */
function isCompact(token: string): boolean {
  const signature = /^[\w-]+\.[\w-]+\.([\w-]+)$/.exec(token)?.[1]
  return (
    signature !== undefined &&
    Buffer.from(signature, 'base64url').toString('base64url') === signature
  )
}

function need<K>(key: K | undefined): K {
  if (key === undefined) {
    throw bad('Tokens with this algorithm are not taken.')
  }
  return key
}

function parseClaims(payload: Uint8Array): JWTPayload {
  const claims: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw bad('The claims are no object.')
  }
  return claims as JWTPayload
}

function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error
  // The key set could not be had: the token may be good, so its holder must not throw it away.
  const unreachable =
    error instanceof errors.JWKSTimeout ||
    error instanceof errors.JWKSInvalid ||
    (error instanceof errors.JOSEError && error.code === 'ERR_JOSE_GENERIC') ||
    (error instanceof TypeError && error.message.includes('fetch'))
  return unreachable
    ? new ProblemError('store-unavailable', {
        detail: 'The key set of the identity provider cannot be reached.',
        retryAfterMs: 2000,
      })
    : new ProblemError('token-invalid', { detail: 'The token cannot be verified.' })
}
