// A signal: what a peer posts. The envelope is the server's, the payload is opaque: it is kept as
// the text in which it came (see json-text), so that no number and no escape is altered. Only the
// payloads of offer, answer and ice-candidate are looked at (W3C WebRTC, RTCSessionDescriptionInit
// and RTCIceCandidateInit).
import { type Static, Type } from '@sinclair/typebox'
import {
  ADDRESS_PATTERN,
  CALL_PATTERN,
  KEY_PATTERN,
  ROOM_PATTERN,
  TYPE_PATTERN,
} from './address.ts'
import { LIMITS } from './limits.ts'
import { DURABILITIES } from './names.ts'
import { Problem } from './problem.ts'
import { compileCheck, integer, JsonObject, messageId, named, openString, ref } from './schema.ts'

export const bodyToken = Type.Optional(
  Type.String({
    description:
      'The token, for browsers: in the body it needs no preflight. Else send it as Bearer.',
  }),
)

export const idempotencyKey = Type.Optional(
  Type.String({
    pattern: KEY_PATTERN,
    description:
      'Chosen by the sender: the same key, path and body again gets the first answer. ' +
      'The header `Idempotency-Key` is the same; this member wins.',
  }),
)

const signalMembers = {
  to: Type.Optional(
    Type.String({ pattern: ADDRESS_PATTERN, description: 'A peer, `name` or `name:device`.' }),
  ),
  room: Type.Optional(
    Type.String({
      pattern: ROOM_PATTERN,
      description: 'A room of the sender. Without `to`: to every other member.',
    }),
  ),
  type: Type.String({
    pattern: TYPE_PATTERN,
    description: '`offer`, `answer`, `ice-candidate`, or a type of your own.',
  }),
  payload: Type.Optional(ref(JsonObject)),
  call: Type.Optional(
    Type.String({ pattern: CALL_PATTERN, description: 'Id of the call, chosen by the caller.' }),
  ),
  ttl: Type.Optional(
    Type.Number({
      description: `Life in seconds, clamped to ${LIMITS.messageTtlMinMs / 1000} to ${LIMITS.messageTtlMaxMs / 1000}. Left out: the server's default.`,
    }),
  ),
}

export const SignalDraft = named('SignalDraft', signalMembers, {
  description: 'One signal of an exchange.',
})
export type SignalDraft = Static<typeof SignalDraft>

export const SignalInput = named(
  'SignalInput',
  { ...signalMembers, idempotencyKey, token: bodyToken },
  { description: 'One signal, as a peer posts it. Its `from` is written by the server.' },
)

export const SessionDescription = named(
  'SessionDescription',
  {
    type: Type.String({ description: '`offer`, `answer` or `pranswer`.' }),
    sdp: Type.String({ pattern: '^v=0', description: 'The SDP, forwarded untouched.' }),
  },
  { description: 'Payload of `offer` and `answer`: RTCSessionDescriptionInit of W3C WebRTC.' },
)

export const IceCandidate = named(
  'IceCandidate',
  {
    candidate: Type.String({ description: 'The candidate line; empty: end of candidates.' }),
    sdpMid: Type.Optional(Type.String()),
    sdpMLineIndex: Type.Optional(integer('Index of the media description.', { minimum: 0 })),
    usernameFragment: Type.Optional(Type.String()),
  },
  {
    description:
      'Payload of `ice-candidate`: RTCIceCandidateInit of W3C WebRTC, or `{candidates: [...]}` for several at once.',
  },
)

export const Delivery = named(
  'Delivery',
  {
    to: Type.String({ description: 'The full address of the mailbox.' }),
    id: Type.Optional(messageId('Id of the message in that mailbox.')),
    online: Type.Optional(Type.Boolean({ description: 'Whether the peer is online; a hint.' })),
    problem: Type.Optional(ref(Problem)),
  },
  { description: 'What became of one copy: `id` and `online`, or the `problem` that refused it.' },
)
export type Delivery = Static<typeof Delivery>

export const Receipt = named(
  'Receipt',
  {
    kept: integer('How many mailboxes kept a copy.', { minimum: 0 }),
    deliveries: Type.Array(ref(Delivery), {
      description: 'Every recipient; of a signal to a whole room only those that refused.',
    }),
    durability: openString(DURABILITIES, 'How well the copies are kept.'),
  },
  { description: '`201` means kept, ordered and offered until it expires.' },
)
export type Receipt = Static<typeof Receipt>

export const checkSignalDraft = compileCheck(SignalDraft)

/**
 * What is wrong with the payload of a type that the server knows; undefined when nothing is.
 * @param payload the parsed payload, or undefined where it was left out
 */
export function payloadError(
  type: string,
  payload: unknown,
): { pointer: string; detail: string } | undefined {
  if (type === 'offer' || type === 'answer') return descriptionError(type, payload)
  if (type === 'ice-candidate') return candidatesError(payload)
  return undefined
}

function descriptionError(type: string, payload: unknown) {
  const { type: kind, sdp } = (payload ?? {}) as Record<string, unknown>
  if (kind !== type && !(type === 'answer' && kind === 'pranswer')) {
    return { pointer: '/payload/type', detail: `Expected the RTCSdpType of an ${type}` }
  }
  if (typeof sdp !== 'string' || !sdp.startsWith('v=0')) {
    return { pointer: '/payload/sdp', detail: 'Expected an SDP, which begins with v=0' }
  }
  return undefined
}

function candidatesError(payload: unknown) {
  const several = (payload as { candidates?: unknown } | undefined)?.candidates
  if (several === undefined) return candidateError(payload, '/payload')
  if (!Array.isArray(several)) {
    return { pointer: '/payload/candidates', detail: 'Expected an array of RTCIceCandidateInit' }
  }
  for (const [index, candidate] of several.entries()) {
    const error = candidateError(candidate, `/payload/candidates/${index}`)
    if (error) return error
  }
  return undefined
}

function candidateError(value: unknown, pointer: string) {
  const candidate = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >
  const { sdpMid, sdpMLineIndex, usernameFragment } = candidate
  if (typeof candidate['candidate'] !== 'string') {
    return {
      pointer: `${pointer}/candidate`,
      detail: 'Expected a string (empty: end of candidates)',
    }
  }
  // In RTCIceCandidateInit these three may be null, and browsers write them so.
  if (!isStringOrNone(sdpMid)) return { pointer: `${pointer}/sdpMid`, detail: 'Expected a string' }
  if (!isStringOrNone(usernameFragment)) {
    return { pointer: `${pointer}/usernameFragment`, detail: 'Expected a string' }
  }
  const index = sdpMLineIndex ?? 0
  if (!Number.isInteger(index) || (index as number) < 0) {
    return { pointer: `${pointer}/sdpMLineIndex`, detail: 'Expected an index' }
  }
  return undefined
}

const isStringOrNone = (value: unknown) =>
  value === undefined || value === null || typeof value === 'string'
