// The contract of every store: where state lives, and what may be relied on. `test/store/contract.ts`
// checks each promise below on every implementation.
//
// ATOMICITY. Each method is one step: it happens whole or not at all, and no other step of the
// same store (on any node) is seen half done. `append` is one step per mailbox: a crash between two
// mailboxes may leave some without the letter; repeating it with the same `once` completes what is
// missing and doubles nothing. Joining or leaving a room and the notices about it are one step.
//
// ORDER. Ids strictly increase in a mailbox, whatever the clock does and however often the mailbox
// is made anew. Letters appended one after the other get ids in that order.
//
// LOSS. When a method has resolved, what it did survives everything that the store's `durability`
// names. An unread letter is not dropped before it expires. What may be gone is below the floor of
// its mailbox, and `readSince` says so. What only reading moves (the cursor presented, the lease, a
// ticket's use) may be 5 s old after a crash or on another node.
//
// EXPIRY. `now` (ms of Unix time, never going back) is an argument everywhere. What is past its time
// is never returned, whether or not it was swept away yet.
//
// SPACE. When there is none, first goes what is acknowledged or forgotten; then a write fails with
// `store-full` and has changed nothing, while reads go on. A store that cannot be reached fails
// within 2 s with `store-unavailable`.
import type { Identity } from '../core/grants.ts'
import type { Letter, Reading } from '../core/mailbox.ts'
import type { RoomMember } from '../core/room.ts'
import type { Rate } from '../core/token-bucket.ts'
import type { Address } from '../protocol/address.ts'
import type { Durability, ProblemCode } from '../protocol/names.ts'

/** Wakes the reads of a mailbox. A doorbell carries no data. */
export type Ring = (peer: Address) => void

/** One item of a request with an idempotency key. */
export interface Once {
  sender: Address
  path: string
  key: string
  /** Which signal of the request: 0 for a single one. */
  item: number
}

export type Kept =
  | { to: Address; id: number; online: boolean }
  | {
      to: Address
      refused: Extract<ProblemCode, 'mailbox-full' | 'store-full'>
      retryAfterMs: number
    }

export interface PeerState {
  online: boolean
  /** ms; absent where it never came. */
  lastSeenAt?: number
}

export interface RoomState {
  capacity: number
  /** In the order of joining. */
  members: RoomMember[]
}

export interface JoinStep {
  room: string
  peer: Address
  info: Record<string, unknown> | undefined
  /** May the room be made, and if so for how many members? Absent: only join what is there. */
  create?: { capacity: number }
  /** Kept in the mailbox of every other member, unless the peer is in the room already. */
  notice: Letter
  now: number
}

export type JoinOutcome =
  | { state: 'joined'; created: boolean; room: RoomState; newest: number }
  | { state: 'no-room' }
  | { state: 'full' }
  | { state: 'too-many-rooms' }

export interface LeaveStep {
  room: string
  peer: Address
  /** Kept in the mailbox of every other member, and of the peer itself with `tellPeer`. */
  notice: Letter
  tellPeer: boolean
  now: number
}

export interface TouchStep {
  peer: Address
  /** Absent: as it was. */
  guest?: boolean
  /** A peer that is not known stays unknown: its session has ended under an open read. */
  onlyKnown?: boolean
  /** Guests: who acts. Only the holder of a name may. */
  holder?: string | undefined
  leaseMs: number
  now: number
}

/** What a repeated request finds. `partial` are the answers of an earlier run, per item. */
export type RequestStart =
  | { state: 'run'; partial?: string }
  | { state: 'replay'; answer: string }
  | { state: 'running' }
  | { state: 'reused' }

export interface StoreStats {
  mailboxes: number
  messages: number
  rooms: number
  bytes: number
}

export type StoreEvent = 'expired' | 'evicted'

export interface Store {
  readonly durability: Durability
  /** Whether a ring may be lost, so that reads must also look by themselves every 5 s. */
  readonly ringsMayBeLost: boolean
  /** Called after a letter was kept in the mailbox, on the node that holds the reads. */
  onRing: Ring
  /** Called with how many unread letters left without having been read, and why. */
  onLoss: (event: StoreEvent, letters: number) => void

  // ---- peers -------------------------------------------------------------------------------

  /**
   * The peer did something: it is known, and online until its lease runs out. To the first device
   * of a name goes what waits in the bare mailbox, unless the bare name is known itself.
   * @returns false when the name belongs to another guest by now: nothing was done
   */
  touch(step: TouchStep): Promise<boolean>
  /** Of a full address. */
  peer(address: Address, now: number): Promise<PeerState>
  /** The full addresses that a name reaches: its known devices (the 16 used last), and the bare name if known. */
  known(name: string, now: number): Promise<Address[]>
  /** Peers in rooms whose lease has run out. They are returned until they have left every room. */
  gonePeers(now: number): Promise<{ peer: Address; rooms: string[] }[]>
  /** Ends a peer: mailbox, tickets, reply rights. Its rooms must have been left. A guest's name stays reserved. */
  forget(peer: Address, now: number): Promise<void>
  /**
   * Gives a name to a guest, in one step with looking whether it is free for that holder.
   * @returns false when it is taken
   */
  claimName(claim: { peer: Address; holder: string; now: number }): Promise<boolean>

  // ---- mailboxes ---------------------------------------------------------------------------

  /**
   * Keeps a letter in each of the mailboxes and rings them. One that is refused does not stop the
   * others.
   * @param replyUntil the recipients may reach the sender until then (ms)
   */
  append(step: {
    letter: Letter
    to: readonly Address[]
    once?: Once
    replyUntil?: number
    now: number
  }): Promise<Kept[]>
  /**
   * What is kept behind `since` (see core/mailbox).
   * @param acknowledge whether a reader presented `since` as its cursor
   */
  readSince(step: {
    peer: Address
    since: number
    limit: number
    acknowledge: boolean
    now: number
  }): Promise<Reading>
  /** The newest id of the mailbox, the greatest cursor presented, and the rooms of the peer. */
  snapshot(peer: Address, now: number): Promise<{ newest: number; cursor: number; rooms: string[] }>
  /** Who reached the peer by `direct` and may be replied to: full addresses. */
  replyRights(peer: Address, now: number): Promise<Address[]>

  // ---- rooms -------------------------------------------------------------------------------

  join(step: JoinStep): Promise<JoinOutcome>
  /** @returns how many others were told; undefined when the peer was no member */
  leave(step: LeaveStep): Promise<number | undefined>
  room(room: string): Promise<RoomState | undefined>
  /** Whom `to` (a name or a full address) reaches among those who share a room with the peer. */
  roomMates(peer: Address, to: Address): Promise<Address[]>

  // ---- requests, tokens, tickets, rates ------------------------------------------------------

  /**
   * Claims a request with an idempotency key. `bodyHash` is compared with that of the first one.
   * A claim that was not finished within 10 s may be claimed again.
   */
  startRequest(step: Once & { bodyHash: string; now: number }): Promise<RequestStart>
  /**
   * Remembers the answer, for 10 min or until 256 newer keys of the same sender; without an answer
   * it gives the claim back.
   * @param complete false: a repetition gets the answer as `partial` and runs
   */
  finishRequest(
    step: Once & { answer: string | undefined; complete: boolean; now: number },
  ): Promise<void>

  revokeToken(tokenId: string, until: number, now: number): Promise<void>
  isRevoked(tokenId: string, now: number): Promise<boolean>

  /** At most 8 per peer: a ninth ends the oldest. A ticket dies 2 min after its last use. */
  addTicket(step: { ticket: string; identity: Identity; now: number }): Promise<void>
  /** @returns whose it is, and whether a stream was opened with it before */
  useTicket(step: {
    ticket: string
    stream: boolean
    now: number
  }): Promise<{ identity: Identity; streamed: boolean } | undefined>
  /** Carries the tickets of a peer on with its fresh token. */
  renewTickets(identity: Identity, now: number): Promise<void>

  /** @returns 0 when `cost` was granted, else after how many ms it would be */
  takeTokens(step: { bucket: string; rate: Rate; cost: number; now: number }): Promise<number>

  // ---- the store itself ----------------------------------------------------------------------

  /** Drops what is past its time; called about once a second. */
  sweep(now: number): Promise<void>
  stats(): StoreStats
  close(): Promise<void>
}
