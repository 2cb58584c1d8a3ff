// A message: a signal as it stands in one peer's mailbox, with an id. It is turned into JSON once:
// everything behind its `id` is one text (the tail), shared by every mailbox, frame and page it
// reaches. A page is put together from those texts by hand, so that the same bytes go out
// everywhere (rule 5: one message, one JSON).
import { Type } from '@sinclair/typebox'
import { LIMITS } from './limits.ts'
import { RESET_REASONS } from './names.ts'
import { Problem } from './problem.ts'
import { dateTime, integer, JsonObject, messageId, named, openString, ref } from './schema.ts'
import { bodyToken, idempotencyKey, Receipt, SignalDraft } from './signal.ts'

export const Message = named(
  'Message',
  {
    id: messageId('Strictly increasing in a mailbox. Compare ids; compute nothing from them.'),
    type: Type.String({
      description:
        '`offer`, `answer`, `ice-candidate`, `peer-joined`, `peer-left`, or a type of the application. New types are normal: have a default branch.',
    }),
    from: Type.String({ description: 'The sender, written by the server; `@server` for its own.' }),
    room: Type.Optional(Type.String()),
    call: Type.Optional(Type.String()),
    payload: Type.Optional(ref(JsonObject)),
    sentAt: dateTime('When the server stored it.'),
    expiresAt: dateTime('Until when it is offered.'),
  },
  { description: 'A signal as it stands in a mailbox.' },
)

const pageMembers = {
  messages: Type.Array(ref(Message), { description: 'In order of their ids.' }),
  newest: Type.Optional(
    messageId('The newest id of the mailbox, for information; never a `since`.'),
  ),
  reset: Type.Optional(
    Type.Boolean({
      description:
        'Messages after `since` may be missing: rebuild from `GET /session` and the rooms.',
    }),
  ),
  resetReason: Type.Optional(openString(RESET_REASONS, 'Why, with `reset`.')),
  serverTime: dateTime('The clock by which messages are stamped.'),
}

export const MessagePage = named(
  'MessagePage',
  {
    ...pageMembers,
    newest: messageId('The newest id of the mailbox, for information; never a `since`.'),
    reset: Type.Boolean({
      description:
        'Messages after `since` may be missing: rebuild from `GET /session` and the rooms.',
    }),
    cursor: messageId('Pass it as `since`.'),
    n: Type.Optional(
      Type.String({ description: 'The nonce, echoed. Another one: a cache spoke.' }),
    ),
    proof: Type.Optional(
      Type.String({ description: 'The nonce of a stream that was proven at this moment.' }),
    ),
  },
  { description: 'One answer of a long-poll.' },
)

export const ExchangeInput = named(
  'ExchangeInput',
  {
    signals: Type.Optional(Type.Array(ref(SignalDraft), { maxItems: LIMITS.exchangeSignalsMax })),
    since: Type.Optional(messageId('Read after this cursor. Left out: only send.')),
    wait: Type.Optional(
      Type.Number({ description: 'Seconds to wait for a message (0 to 25), without `signals`.' }),
    ),
    limit: Type.Optional(Type.Integer({ description: 'At most this many messages (1 to 256).' })),
    idempotencyKey,
    token: bodyToken,
  },
  { description: 'Send and read in one request.' },
)

export const ExchangeItem = named(
  'ExchangeItem',
  {
    status: integer('The status that this signal would have had on its own.'),
    receipt: Type.Optional(ref(Receipt)),
    problem: Type.Optional(ref(Problem)),
  },
  { description: 'What became of one signal of an exchange.' },
)

export const ExchangeOutcome = named(
  'ExchangeOutcome',
  {
    results: Type.Array(ref(ExchangeItem), { description: 'One for each signal, in order.' }),
    ...pageMembers,
    cursor: Type.Optional(messageId('Pass it as `since`; absent where nothing was read.')),
  },
  { description: 'The answer of an exchange.' },
)

/** The members of a message behind its id, in the order in which they are written. */
export interface MessageParts {
  type: string
  from: string
  room?: string | undefined
  call?: string | undefined
  /** JSON text of the payload. */
  payloadText?: string | undefined
  sentAt: string
  expiresAt: string
}

/** The tail: the JSON text of a message behind `"id":N,`. */
export function writeTail(parts: MessageParts): string {
  const { type, from, room, call, payloadText, sentAt, expiresAt } = parts
  // These strings come from closed alphabets (core/address): they need no escaping.
  let text = `"type":"${type}","from":"${from}"`
  if (room !== undefined) text += `,"room":"${room}"`
  if (call !== undefined) text += `,"call":"${call}"`
  if (payloadText !== undefined) text += `,"payload":${payloadText}`
  return `${text},"sentAt":"${sentAt}","expiresAt":"${expiresAt}"}`
}

/** `{"id":N,` + tail. The one JSON of a message. */
export const messageJson = (id: number, tail: string): string => `{"id":${id},${tail}`

/** Bytes that `messageJson` adds to a tail (an id has 16 digits until the year 2286). */
export const MESSAGE_HEAD_BYTES = '{"id":1234567890123456,'.length
