// Rooms and presence on the wire (protocol section 5).
import { Type } from '@sinclair/typebox'
import { LIMITS } from './limits.ts'
import { dateTime, integer, JsonObject, messageId, named, ref } from './schema.ts'
import { bodyToken } from './signal.ts'

export const JoinInput = named(
  'JoinInput',
  {
    create: Type.Optional(Type.Boolean({ description: 'Make the room if it is not there.' })),
    capacity: Type.Optional(
      integer('At most this many members; set by the creator.', {
        minimum: 1,
        maximum: LIMITS.roomMembersMax,
      }),
    ),
    info: Type.Optional(ref(JsonObject)),
    token: bodyToken,
  },
  { description: 'How to join a room.' },
)

export const Member = named(
  'Member',
  {
    peer: Type.String({ description: 'Full address.' }),
    info: Type.Optional(ref(JsonObject)),
    joinedAt: dateTime('When the peer joined.'),
    online: Type.Boolean(),
    polite: Type.Boolean({
      description:
        'Whether you, who read this, are the polite one toward that member in perfect negotiation.',
    }),
  },
  { description: 'Another member of a room.' },
)

const roomMembers = {
  room: Type.String(),
  members: Type.Array(ref(Member), { description: 'The others, in the order of joining.' }),
  newest: messageId('The newest id of your mailbox at that moment; for information.'),
}

export const Room = named(
  'Room',
  { ...roomMembers, capacity: integer('At most this many members.') },
  { description: 'A room, as one of its members sees it.' },
)

export const Membership = named(
  'Membership',
  { ...roomMembers, created: Type.Boolean({ description: 'Whether this join made the room.' }) },
  { description: 'The newcomer makes the offers to those who are there.' },
)

export const Presence = named(
  'Presence',
  {
    peer: Type.String(),
    online: Type.Boolean(),
    lastSeenAt: Type.Optional(dateTime('Its last act; absent where it never came.')),
  },
  { description: 'Whether a peer is online.' },
)
