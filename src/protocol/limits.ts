// Every cap of the protocol (section 3) in one place: its number, its unit (at the end of the name)
// and the reason it exists. What a server tells its clients as `limits` is made from here.

const KIB = 1024
const MIB = 1024 * KIB
const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

export const LIMITS = {
  /** An SDP has 2 to 10 kB; more than this is no signal. */
  signalBytesMax: 64 * KIB,
  /** Four of the largest signals; bounds what one request can make the server hold. */
  requestBytesMax: 256 * KIB,
  /** Parsers of generated clients recurse; so do ours. */
  jsonDepthMax: 32,
  /** One sender must not fill another peer's mailbox ... */
  mailboxMessagesMax: 256,
  mailboxBytesMax: MIB,
  /** ... nor crowd out the other senders ... */
  senderMessagesMax: 64,
  senderBytesMax: 256 * KIB,
  /** ... nor may all guests together (names cost them nothing). */
  guestMessagesMax: 128,
  guestBytesMax: 512 * KIB,
  /** Joins, leaves and call ends arrive also in a full mailbox. */
  serverMessagesMax: 64,
  /** One sender's unread messages in all mailboxes: bounds what one token can make the store hold. */
  senderTotalBytesMax: 4 * MIB,
  messageTtlMinMs: 5 * SECOND,
  messageTtlMaxMs: HOUR,
  exchangeSignalsMax: 64,
  pageMessagesMax: 256,
  pageMessagesDefault: 100,
  /** Below the 30 s at which balancers and gateways cut a silent request (networks, R17). */
  waitMaxMs: 25 * SECOND,
  /** Generated clients give up after 10 to 15 s (openapi, R20). */
  waitDefaultMs: 5 * SECOND,
  /** Tabs, ghosts that a proxy left behind, and a reconnect that overlaps. */
  readsPerMailboxMax: 8,
  /** What a stalled stream may make this process hold. */
  streamQueueBytesMax: 256 * KIB,
  streamStallMs: 10 * SECOND,
  roomMembersMax: 1024,
  roomsPerPeerMax: 64,
  ticketsPerPeerMax: 8,
  ticketIdleMs: 2 * MINUTE,
  infoBytesMax: KIB,
  nonceCharsMax: 64,
  tokenBytesMax: 4 * KIB,
  grantsMax: 64,
  tokenLifeMaxMs: 31 * DAY,
  /** Clocks of token minters differ (RFC 7519, 4.1.5: "some small leeway"). */
  clockLeewayMs: 5 * SECOND,
  guestTokenMs: 15 * MINUTE,
  guestRefreshGraceMs: MINUTE,
  guestSessionMs: DAY,
  guestSessionsPerMinute: 30,
  guestSessionsBurst: 60,
  /** How long a name that a guest gave up stays reserved for that guest. */
  guestNameReservedMs: HOUR,
  knownAfterLeaseMs: DAY,
  guestKnownAfterLeaseMs: 10 * MINUTE,
  devicesPerNameMax: 16,
  replyRightMs: HOUR,
  /** Who may be replied to; the oldest right goes first. */
  replyRightsMax: 1024,
  /** A mailbox made anew cannot vouch for anything older. */
  floorAgeMs: DAY,
  idempotencyMs: 10 * MINUTE,
  idempotencyKeysMax: 256,
  idempotencyRunMs: 10 * SECOND,
  /** A signal costs one for each ten recipients begun. */
  recipientsPerCost: 10,
  openCallsMax: 32,
  ringingCallsMax: 8,
} as const

/** The numbers that clients are told, by their names in protocol section 2. */
export function clientLimits(settings: { messageTtlMs: number; rateLimit: number }) {
  const { signalBytesMax, requestBytesMax, jsonDepthMax, mailboxMessagesMax, mailboxBytesMax } =
    LIMITS
  const { senderMessagesMax, senderBytesMax, senderTotalBytesMax, exchangeSignalsMax } = LIMITS
  const { pageMessagesMax, waitMaxMs, readsPerMailboxMax, roomMembersMax, roomsPerPeerMax } = LIMITS
  const { ticketsPerPeerMax, infoBytesMax, nonceCharsMax, tokenBytesMax, grantsMax } = LIMITS
  const { messageTtlMinMs, messageTtlMaxMs, openCallsMax, ringingCallsMax } = LIMITS
  return {
    signalBytesMax,
    requestBytesMax,
    jsonDepthMax,
    mailboxMessagesMax,
    mailboxBytesMax,
    senderMessagesMax,
    senderBytesMax,
    senderTotalBytesMax,
    messageTtlMinMs,
    messageTtlMaxMs,
    messageTtlDefaultMs: settings.messageTtlMs,
    signalsPerSecondMax: settings.rateLimit,
    exchangeSignalsMax,
    pageMessagesMax,
    waitMaxMs,
    readsPerMailboxMax,
    roomMembersMax,
    roomsPerPeerMax,
    ticketsPerPeerMax,
    openCallsMax,
    ringingCallsMax,
    infoBytesMax,
    nonceCharsMax,
    tokenBytesMax,
    grantsMax,
  }
}
