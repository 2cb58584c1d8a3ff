// Sessions on the wire (protocol section 2).
import { Type } from '@sinclair/typebox'
import { ADDRESS_PATTERN } from './address.ts'
import { clientLimits } from './limits.ts'
import { DURABILITIES } from './names.ts'
import { dateTime, integer, JsonObject, messageId, named, openString, ref } from './schema.ts'
import { bodyToken } from './signal.ts'

export const GuestInput = named(
  'GuestInput',
  {
    peer: Type.Optional(
      Type.String({
        pattern: ADDRESS_PATTERN,
        description: 'A wished name; left out: a random one.',
      }),
    ),
    info: Type.Optional(ref(JsonObject)),
    token: Type.Optional(
      Type.String({ description: 'An earlier token of the guest who holds the name.' }),
    ),
  },
  { description: 'Who the guest wants to be.' },
)

export const TokenInput = named(
  'TokenInput',
  { token: bodyToken },
  { description: 'Nothing but the token, which may also be sent as Bearer.' },
)

export const Limits = named(
  'Limits',
  Object.fromEntries(
    Object.keys(clientLimits({ messageTtlMs: 0, rateLimit: 0 })).map((name) => [
      name,
      Type.Integer({ format: 'int32' }),
    ]),
  ),
  { description: 'The numbers of protocol section 3; the unit is the end of the name.' },
)

export const ServerInfo = named(
  'ServerInfo',
  {
    version: Type.String(),
    store: openString(DURABILITIES, 'Where messages are kept.'),
  },
  { description: 'The server.' },
)

export const Session = named(
  'Session',
  {
    peer: Type.String({ description: 'Your address.' }),
    token: Type.String({ description: 'For POSTs.' }),
    ticket: Type.String({ description: 'For the query of GETs; only reads.' }),
    expiresAt: dateTime('When the token ends.'),
    refreshAfterMs: integer('After how long a new token is due.'),
    limits: ref(Limits),
    server: ref(ServerInfo),
  },
  { description: 'A session: who you are and what to show for it.' },
)

export const Heartbeat = named(
  'Heartbeat',
  { leaseExpiresInMs: integer('How long the peer counts as online without another act.') },
  { description: 'The lease was renewed.' },
)

export const Snapshot = named(
  'Snapshot',
  {
    peer: Type.String(),
    cursor: messageId('The greatest cursor that readers of this mailbox have presented; 0: none.'),
    newest: messageId('Everything stored after this snapshot has a greater id.'),
    rooms: Type.Array(Type.String()),
    calls: Type.Array(ref(JsonObject)),
    expiresAt: dateTime('When the token ends.'),
    limits: ref(Limits),
    server: ref(ServerInfo),
  },
  { description: 'What a reader that lost its place goes on from.' },
)

export const Health = named(
  'Health',
  { status: Type.String({ description: '`ok` or `ready`.' }) },
  { description: 'The state of the server.' },
)
