// Who is asking (protocol section 2). Programs send a Bearer token; browsers send the member `token`
// of a POST's body, and read with a ticket in the query. Every route says which it takes in its
// `config.auth`; a route that does not say it stops the start.
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Tokens } from '../../auth/tokens.ts'
import { invalid, ProblemError } from '../../core/errors.ts'
import type { Identity } from '../../core/grants.ts'
import { LIMITS } from '../../protocol/limits.ts'
import type { SignalingContext } from '../../signaling/context.ts'
import { renewLease } from '../../signaling/presence.ts'
import { bodyMembers } from './body.ts'

/**
 * `token`: a token. `read`: a token or a ticket. `refresh`: a token, also up to 60 s after its end.
 * `none`: anybody.
 */
export type Auth = 'token' | 'read' | 'refresh' | 'none'

declare module 'fastify' {
  interface FastifyContextConfig {
    auth?: Auth
    /** Marks the ticket as having opened a stream. */
    stream?: boolean
  }
  interface FastifyRequest {
    identity: Identity
    token: string
    /** The read is by a ticket that has opened no stream before. */
    firstOfTicket: boolean
  }
}

export function authenticateRoutes(
  app: FastifyInstance,
  context: SignalingContext & { tokens: Tokens },
) {
  app.decorateRequest('identity')
  app.decorateRequest('token', '')
  app.decorateRequest('firstOfTicket', false)
  app.addHook('onRoute', ({ url, method, config }) => {
    if (method !== 'OPTIONS' && config?.auth === undefined)
      throw new Error(`${url} has no config.auth`)
  })
  app.addHook('preHandler', async (request) => {
    const { auth } = request.routeOptions.config
    if (auth === undefined || auth === 'none') return
    const identity =
      auth === 'read' && request.headers.authorization === undefined
        ? await readTicket(context, request)
        : await readToken(context, request, auth)
    await renewLease(context, identity).catch((error: unknown) => {
      // Reads go on when the store is full, also of a peer that it has no place for.
      const isFull = error instanceof ProblemError && error.code === 'store-full'
      if (!isFull || auth !== 'read') throw error
    })
    request.identity = identity
  })
}

async function readToken(
  { tokens, store, clock }: SignalingContext & { tokens: Tokens },
  request: FastifyRequest,
  auth: Auth,
): Promise<Identity> {
  const token = findToken(request)
  if (token === undefined) {
    if (auth === 'read') return readTicket({ store, clock }, request)
    throw new ProblemError('token-missing')
  }
  const identity = await tokens.identify(token, auth === 'refresh' ? LIMITS.guestRefreshGraceMs : 0)
  if (await store.isRevoked(identity.tokenId, clock.now())) {
    throw new ProblemError('token-invalid', { detail: 'The token was revoked.' })
  }
  request.token = token
  return identity
}

/** The token of a request: Bearer, or in the body of a POST. @throws ProblemError invalid-request */
export function findToken(request: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1]
  if (
    request.method !== 'POST' ||
    typeof request.body !== 'object' ||
    Array.isArray(request.body)
  ) {
    return bearer
  }
  const { token } = bodyMembers(request)
  if (token === undefined) return bearer
  if (typeof token !== 'string' || (bearer !== undefined && bearer !== token)) {
    throw new ProblemError('invalid-request', {
      errors: [{ pointer: '/token', detail: 'Expected one token, a string' }],
    })
  }
  return token
}

async function readTicket(
  { store, clock }: Pick<SignalingContext, 'store' | 'clock'>,
  request: FastifyRequest,
): Promise<Identity> {
  const { ticket } = request.query as Record<string, unknown>
  if (ticket === undefined) throw new ProblemError('token-missing')
  if (typeof ticket !== 'string') {
    throw invalid('/ticket', 'Expected it once')
  }
  const stream = request.routeOptions.config.stream === true
  const found = await store.useTicket({ ticket, stream, now: clock.now() })
  if (!found) throw new ProblemError('ticket-unknown')
  request.firstOfTicket = !found.streamed
  return found.identity
}
