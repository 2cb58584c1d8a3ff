// Every name that crosses the wire, as plain constants: problem codes, signal types, stream events,
// reasons, headers. Imports nothing, so that browsers can share it. Docs and tests compare
// themselves with these lists; a name that was once published is never reused with another meaning.

/** The header on every answer of a Posthorn server; what lacks it came from the network between. */
export const POSTHORN_HEADER = 'Posthorn'
export const PROTOCOL_VERSION = '1'

/** Who server messages are from. No peer address may begin with `@`. */
export const SERVER_ADDRESS = '@server'

/** Guests' names begin with this wherever a secret or a JWKS URL is configured. */
export const GUEST_PREFIX = 'guest-'

/** Signal types that only the server sends; from a peer they are refused with `reserved-type`. */
export const SERVER_TYPES = ['peer-joined', 'peer-left', 'call-cancelled', 'call-missed'] as const

/** Signal types whose payload the server checks. Any other type carries any JSON object. */
export const CHECKED_TYPES = ['offer', 'answer', 'ice-candidate'] as const

/** Events of `GET /events`, in the order in which a reader first meets them. */
export const STREAM_EVENTS = [
  'hello',
  'message',
  'proof',
  'heartbeat',
  'token-expiring',
  'bye',
] as const

export const BYE_REASONS = [
  'max-age',
  'shutdown',
  'token-expired',
  'session-ended',
  'too-many-reads',
  'slow-reader',
] as const
export type ByeReason = (typeof BYE_REASONS)[number]

export const RESET_REASONS = ['expired', 'evicted', 'store-restarted', 'cursor-ahead'] as const
export type ResetReason = (typeof RESET_REASONS)[number]

export const LEAVE_REASONS = ['left', 'timeout', 'ended'] as const
export type LeaveReason = (typeof LEAVE_REASONS)[number]

/** How well a kept signal is kept. */
export const DURABILITIES = ['memory', 'disk', 'redis'] as const
export type Durability = (typeof DURABILITIES)[number]

/**
 * Problem codes with the HTTP status and the title they always have (protocol section 8). The list
 * is closed: programs switch on `code`.
 */
export const PROBLEMS = {
  'invalid-json': { status: 400, title: 'The body is not valid JSON' },
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'reserved-type': { status: 400, title: 'Only the server sends this type' },
  'token-missing': { status: 401, title: 'A token is needed' },
  'token-invalid': { status: 401, title: 'The token is not valid' },
  'token-expired': { status: 401, title: 'The token has expired' },
  'not-allowed': { status: 403, title: 'The token does not allow this' },
  'guests-off': { status: 403, title: 'Guest sessions are switched off' },
  'ticket-unknown': { status: 403, title: 'The ticket is not known' },
  'not-found': { status: 404, title: 'There is nothing at this path' },
  'peer-not-found': { status: 404, title: 'No such peer can be reached' },
  'room-not-found': { status: 404, title: 'There is no such room' },
  'call-not-found': { status: 404, title: 'There is no such call' },
  'method-not-allowed': { status: 405, title: 'The path does not take this method' },
  'peer-taken': { status: 409, title: 'The name is taken' },
  'room-full': { status: 409, title: 'The room is full' },
  'call-state': { status: 409, title: 'The call is not in a state that allows this' },
  'call-glare': { status: 409, title: 'The other side is calling already' },
  'in-progress': { status: 409, title: 'The first request with this key is still running' },
  'too-large': { status: 413, title: 'The request is too large' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'key-reused': { status: 422, title: 'The idempotency key was used for another request' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  'mailbox-full': { status: 429, title: 'The mailbox is full' },
  'store-unavailable': { status: 503, title: 'The store cannot be reached' },
  'store-full': { status: 507, title: 'The store is full' },
} as const
export type ProblemCode = keyof typeof PROBLEMS
