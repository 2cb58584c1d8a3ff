// Sessions: who you are, and what to show for it (protocol section 2).
import type { FastifyInstance } from 'fastify'
import { ProblemError } from '../../core/errors.ts'
import { GuestInput, Heartbeat, Session, Snapshot, TokenInput } from '../../protocol/session.ts'
import {
  endSession,
  openGuest,
  openSession,
  refreshSession,
  takeSnapshot,
} from '../../signaling/sessions.ts'
import type { HttpContext } from '../context.ts'
import { findToken } from '../plugins/authenticate.ts'
import { bodyReader } from '../plugins/body.ts'
import { operation, ticketQuery } from './operation.ts'
import { readQuery } from './parameters.ts'

const readGuest = bodyReader(GuestInput)
const readNothing = bodyReader(TokenInput)

export function sessionRoutes(app: FastifyInstance, context: HttpContext): void {
  app.post(
    '/sessions',
    {
      config: { auth: 'none' },
      schema: operation({
        id: 'createGuestSession',
        tag: 'sessions',
        summary: 'Opens a session as a guest',
        description: 'Where guests are allowed. Without a name the guest gets an unguessable one.',
        secured: false,
        body: GuestInput,
        status: 201,
        answer: Session,
        answerText: 'The session.',
        problems: [
          'guests-off',
          'not-allowed',
          'peer-taken',
          'rate-limited',
          'store-unavailable',
          'store-full',
        ],
      }),
    },
    async (request, reply) => {
      if (!context.settings.guests) throw new ProblemError('guests-off')
      // The earlier token of the name's holder may come as Bearer too.
      const token = findToken(request)
      const guest = { ...readGuest(request), ...(token !== undefined && { token }) }
      const session = await openGuest(context, guest, request.ip ?? '')
      return reply.code(201).send(session)
    },
  )

  app.post(
    '/session/open',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'openSession',
        tag: 'sessions',
        summary: 'Opens a session with a token of the application',
        description:
          'Gives a ticket. A fresh token of the same peer carries its open reads and tickets on.',
        body: TokenInput,
        answer: Session,
        answerText: 'The session.',
        problems: ['invalid-request'],
      }),
    },
    (request) => {
      readNothing(request)
      return openSession(context, request.identity, request.token)
    },
  )

  app.post(
    '/session/refresh',
    {
      config: { auth: 'refresh' },
      schema: operation({
        id: 'refreshSession',
        tag: 'sessions',
        summary: 'Gives a guest a new token',
        description:
          'Until 60 s after the end of the old one, for at most 24 hours. Others mint a new token.',
        body: TokenInput,
        answer: Session,
        answerText: 'The session, with a new token.',
        problems: ['not-allowed'],
      }),
    },
    (request) => {
      readNothing(request)
      return refreshSession(context, request.identity)
    },
  )

  app.post(
    '/session/heartbeat',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'renewLease',
        tag: 'sessions',
        summary: 'Says that the peer is still there',
        description: 'Any authenticated request and any open read do the same.',
        body: TokenInput,
        answer: Heartbeat,
        answerText: 'The lease was renewed.',
        problems: [],
      }),
    },
    async (request) => {
      readNothing(request)
      return { leaseExpiresInMs: context.settings.leaseMs }
    },
  )

  app.post(
    '/session/end',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'endSession',
        tag: 'sessions',
        summary: 'Ends the session',
        description:
          'Leaves the rooms, ends reads and tickets, forgets the mailbox, revokes the token. Works from `navigator.sendBeacon`.',
        body: TokenInput,
        status: 204,
        answerText: 'The session is over.',
        problems: [],
      }),
    },
    async (request, reply) => {
      readNothing(request)
      await endSession(context, request.identity)
      return reply.code(204).send()
    },
  )

  app.get(
    '/session',
    {
      config: { auth: 'read' },
      schema: operation({
        id: 'getSession',
        tag: 'sessions',
        summary: 'The snapshot that a reader goes on from',
        description:
          'After a reset, or on a reloaded page that stored no cursor: everything stored after it has an id above `newest`.',
        query: ticketQuery,
        answer: Snapshot,
        answerText: 'The snapshot.',
        problems: ['ticket-unknown', 'invalid-request'],
      }),
    },
    (request) => {
      readQuery(request)
      return takeSnapshot(context, request.identity)
    },
  )
}
