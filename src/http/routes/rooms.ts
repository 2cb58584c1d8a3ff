// Rooms and presence (protocol section 5).
import type { FastifyInstance } from 'fastify'
import { JoinInput, Membership, Presence, Room } from '../../protocol/room.ts'
import { TokenInput } from '../../protocol/session.ts'
import { lookAtPeer } from '../../signaling/presence.ts'
import { joinRoom, leaveRoom, lookAtRoom } from '../../signaling/rooms.ts'
import type { HttpContext } from '../context.ts'
import { bodyMembers, bodyReader } from '../plugins/body.ts'
import { operation, peerParam, roomParam, ticketQuery } from './operation.ts'
import { readPeer, readQuery, readRoom } from './parameters.ts'

const readJoin = bodyReader(JoinInput)
const readNothing = bodyReader(TokenInput)

export function roomRoutes(app: FastifyInstance, context: HttpContext): void {
  app.post(
    '/rooms/:room/join',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'joinRoom',
        tag: 'rooms',
        summary: 'Joins a room',
        description: 'Joining twice is the same as once. The newcomer makes the offers.',
        params: roomParam,
        body: JoinInput,
        answer: Membership,
        answerText: 'You are a member.',
        problems: ['room-not-found', 'not-allowed', 'room-full', 'rate-limited'],
      }),
    },
    (request) => {
      const wantsToCreate = bodyMembers(request)['create'] === true
      return joinRoom(
        context,
        request.identity,
        readRoom(request),
        () => readJoin(request),
        wantsToCreate,
      )
    },
  )

  app.post(
    '/rooms/:room/leave',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'leaveRoom',
        tag: 'rooms',
        summary: 'Leaves a room',
        description: 'The others are told. With the last member the room is gone.',
        params: roomParam,
        body: TokenInput,
        status: 204,
        answerText: 'You are no member any more.',
        problems: ['room-not-found', 'rate-limited'],
      }),
    },
    async (request, reply) => {
      const room = readRoom(request)
      readNothing(request)
      await leaveRoom(context, request.identity.peer, room)
      return reply.code(204).send()
    },
  )

  app.get(
    '/rooms/:room',
    {
      config: { auth: 'read' },
      schema: operation({
        id: 'getRoom',
        tag: 'rooms',
        summary: 'The room, for its members',
        description: 'Who else is in it. For everybody else there is no such room.',
        params: roomParam,
        query: ticketQuery,
        answer: Room,
        answerText: 'The room.',
        problems: ['room-not-found', 'ticket-unknown', 'invalid-request'],
      }),
    },
    (request) => {
      readQuery(request)
      return lookAtRoom(context, request.identity.peer, readRoom(request))
    },
  )

  app.get(
    '/peers/:peer',
    {
      config: { auth: 'read' },
      schema: operation({
        id: 'getPeer',
        tag: 'peers',
        summary: 'Whether a peer is online, for whoever may reach it',
        description: 'A name is online when one of its devices is that the asker may reach.',
        params: peerParam,
        query: ticketQuery,
        answer: Presence,
        answerText: 'The presence of the peer.',
        problems: ['peer-not-found', 'ticket-unknown', 'invalid-request'],
      }),
    },
    (request) => {
      readQuery(request)
      return lookAtPeer(context, request.identity, readPeer(request))
    },
  )
}
