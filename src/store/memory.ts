// The memory store: everything in this process, nothing on disk, bounded by `bytesMax`. Its
// generation begins when it is made; a reader from before is told `store-restarted`.
//
// Books are kept while things happen, so that no step scans more than one mailbox: bytes
// (memory-space), unread bytes per sender, and deadlines that are looked at once a second. What may
// be dropped for space stands in an LRU cache; what may not (unread letters, known peers, rooms) is
// never in it. Requests and tickets are in files of their own.
import { LRUCache } from 'lru-cache'
import { Deadlines } from '../core/deadlines.ts'
import type { Identity } from '../core/grants.ts'
import { type Letter, Mailbox, type Reading } from '../core/mailbox.ts'
import type { RoomMember } from '../core/room.ts'
import { type Bucket, type Rate, takeFrom } from '../core/token-bucket.ts'
import { type Address, hasDevice, nameOf } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { ResetReason } from '../protocol/names.ts'
import { MemoryLetters } from './memory-letters.ts'
import { MemoryRequests } from './memory-requests.ts'
import { Space } from './memory-space.ts'
import { MemoryTickets } from './memory-tickets.ts'
import type {
  JoinOutcome,
  JoinStep,
  Kept,
  LeaveStep,
  Once,
  PeerState,
  RequestStart,
  RoomState,
  Store,
  StoreStats,
  TouchStep,
} from './store.ts'

// Estimates of what V8 needs, rounded up (measured with 100,000 of each).
const RECORD_BYTES = 700
const MEMBER_BYTES = 300
const REVOCATION_BYTES = 150

/** How long a record waits for its peer: a guest's name is claimed before the guest comes. */
const COMING_MS = 10_000

/** Buckets that were not used for longest are dropped, that is full again. */
const BUCKETS_MAX = 65_536

interface PeerRecord {
  address: Address
  mailbox: Mailbox
  /** Absent until its first authenticated request: somebody wrote to a peer that never came. */
  seen?: { since: number; at: number; leaseUntil: number; guest: boolean }
  rooms: Set<string>
  /** Who reached this peer by `direct`, and until when it may reply. */
  replies?: Map<Address, { grantedAt: number; until: number }>
  /** Guests: the holder of the name, and when the name was claimed. */
  holder?: string
  claimedAt?: number
}

interface RoomRecord {
  capacity: number
  members: Map<Address, RoomMember>
}

export class MemoryStore implements Store {
  readonly durability = 'memory'
  readonly ringsMayBeLost = false
  onRing: Store['onRing'] = () => {}
  onLoss: Store['onLoss'] = () => {}

  readonly #generation: number
  #joins = 0
  /** The newest id of any record that was dropped: a mailbox made anew begins above it. */
  #droppedNewest = 0
  #peers = new Map<Address, PeerRecord>()
  /** The addresses of each name that have a record. */
  #names = new Map<string, Set<Address>>()
  /** Guests' names that were given up. */
  #givenUp = new Map<Address, { holder: string; until: number }>()
  #rooms = new Map<string, RoomRecord>()
  /** Peers in rooms whose lease ran out. */
  #gone = new Set<Address>()
  /** Mailboxes with acknowledged letters: what goes first when space is needed. */
  #droppable: LRUCache<Address, Mailbox>
  #space: Space
  #letters: MemoryLetters
  #requests: MemoryRequests
  #tickets: MemoryTickets
  #revoked = new Map<string, number>()
  #buckets = new LRUCache<string, Bucket>({ max: BUCKETS_MAX })
  #due = {
    letters: new Deadlines<Address>(),
    peers: new Deadlines<Address>(),
    others: new Deadlines<string>(),
  }

  /** @param now when the store begins, ms: nothing before it is remembered */
  constructor({ bytesMax, now }: { bytesMax: number; now: number }) {
    this.#generation = Math.floor(now * 1000)
    this.#droppable = new LRUCache({ maxSize: bytesMax, sizeCalculation: () => RECORD_BYTES })
    this.#space = new Space(bytesMax, () => this.#dropSome())
    this.#letters = new MemoryLetters(this.#space, (why) => this.onLoss(why, 1))
    this.#requests = new MemoryRequests(this.#space)
    this.#tickets = new MemoryTickets(this.#space)
  }

  // ---- peers -------------------------------------------------------------------------------

  async touch({ peer, guest, holder, onlyKnown, leaseMs, now }: TouchStep): Promise<boolean> {
    const before = this.#peers.get(peer)
    if (onlyKnown && !(before?.seen && isKnown(before.seen, now))) return true
    if (holder !== undefined && this.#isOthers(peer, holder, now)) return false
    const record = this.#record(peer, now)
    if (holder !== undefined) record.holder = holder
    const seen = record.seen && isKnown(record.seen, now) ? record.seen : undefined
    if (!seen) this.#handOver(record, now)
    if (!seen || seen.leaseUntil <= now) this.#due.peers.add(peer, now + leaseMs)
    record.seen = {
      since: seen?.since ?? now,
      at: now,
      leaseUntil: now + leaseMs,
      guest: guest ?? seen?.guest ?? false,
    }
    this.#gone.delete(peer)
    return true
  }

  async peer(address: Address, now: number): Promise<PeerState> {
    const seen = this.#peers.get(address)?.seen
    if (!seen || !isKnown(seen, now)) return { online: false }
    return { online: seen.leaseUntil > now, lastSeenAt: seen.at }
  }

  async known(name: string, now: number): Promise<Address[]> {
    const known = this.#knownOf(name, now)
    const devices = known.filter((record) => hasDevice(record.address))
    devices.sort((a, b) => (b.seen?.at ?? 0) - (a.seen?.at ?? 0))
    const bare = known.filter((record) => !hasDevice(record.address))
    return [...bare, ...devices.slice(0, LIMITS.devicesPerNameMax)].map((record) => record.address)
  }

  async gonePeers(): Promise<{ peer: Address; rooms: string[] }[]> {
    return [...this.#gone].map((peer) => ({
      peer,
      rooms: [...(this.#peers.get(peer)?.rooms ?? [])],
    }))
  }

  async forget(peer: Address, now: number): Promise<void> {
    const record = this.#peers.get(peer)
    if (!record) return
    if (record.holder) {
      const until = now + LIMITS.guestNameReservedMs
      this.#givenUp.set(peer, { holder: record.holder, until })
      this.#due.others.add(peer, until)
    }
    this.#dropRecord(record)
  }

  async claimName({
    peer,
    holder,
    now,
  }: {
    peer: Address
    holder: string
    now: number
  }): Promise<boolean> {
    const name = nameOf(peer)
    if (hasDevice(peer)) {
      const owner = this.#peers.get(name)
      if (!owner?.seen || !isKnown(owner.seen, now) || owner.holder !== holder) return false
    }
    const taken = (hasDevice(peer) ? [this.#peers.get(peer)] : this.#recordsOf(name)).some(
      (record) => {
        record?.mailbox.expire(now)
        return record && record.holder !== holder && isUsed(record, now)
      },
    )
    if (taken || this.#isReserved(peer, holder, now)) return false
    // What a former guest of this name left behind is not handed on.
    const left = this.#peers.get(peer)
    if (left && left.holder !== holder && left.rooms.size === 0) this.#dropRecord(left)
    const record = this.#record(peer, now)
    record.holder = holder
    record.claimedAt = now
    this.#givenUp.delete(peer)
    return true
  }

  // ---- mailboxes ---------------------------------------------------------------------------

  async append({
    letter,
    to,
    once,
    replyUntil,
    now,
  }: Parameters<Store['append']>[0]): Promise<Kept[]> {
    const kept: Kept[] = []
    for (const address of to) {
      const outcome = this.#keep(address, letter, once, now)
      kept.push(outcome)
      if ('id' in outcome && replyUntil !== undefined)
        this.#grantReply(address, letter.from, replyUntil, now)
    }
    return kept
  }

  async readSince({
    peer,
    since,
    limit,
    acknowledge,
    now,
  }: Parameters<Store['readSince']>[0]): Promise<Reading> {
    // A read makes no mailbox: it goes on when the store is full, and behind the end of a session.
    const mailbox = this.#peers.get(peer)?.mailbox ?? this.#newMailbox(now)
    const reading = mailbox.read(since, limit, now)
    if (acknowledge && !reading.reset && since > mailbox.acknowledged) {
      mailbox.acknowledge(since)
      if (mailbox.hasAcknowledged) this.#droppable.set(peer, mailbox)
    }
    return reading
  }

  async snapshot(peer: Address, now: number) {
    const { mailbox, rooms } = this.#peers.get(peer) ?? {
      mailbox: this.#newMailbox(now),
      rooms: [],
    }
    return { newest: mailbox.newest, cursor: mailbox.acknowledged, rooms: [...rooms] }
  }

  async replyRights(peer: Address, now: number): Promise<Address[]> {
    const replies = this.#peers.get(peer)?.replies
    if (!replies) return []
    const holds = ([from, { grantedAt, until }]: [
      Address,
      { grantedAt: number; until: number },
    ]) => {
      // A right dies with the session of the one it leads to.
      const seen = this.#peers.get(from)?.seen
      return until > now && seen !== undefined && seen.since <= grantedAt
    }
    return [...replies].filter(holds).map(([from]) => from)
  }

  // ---- rooms -------------------------------------------------------------------------------

  async join({ room, peer, info, create, notice, now }: JoinStep): Promise<JoinOutcome> {
    const found = this.#rooms.get(room)
    if (!found && !create) return { state: 'no-room' }
    const record = this.#record(peer, now)
    const joined = found ?? {
      capacity: create?.capacity ?? LIMITS.roomMembersMax,
      members: new Map(),
    }
    if (!joined.members.has(peer)) {
      if (joined.members.size >= joined.capacity) return { state: 'full' }
      if (record.rooms.size >= LIMITS.roomsPerPeerMax) return { state: 'too-many-rooms' }
      this.#space.take(memberBytes(info))
      if (!found) this.#rooms.set(room, joined)
      for (const other of joined.members.keys()) this.#keep(other, notice, undefined, now)
      joined.members.set(peer, { peer, info, joinedAt: now, order: ++this.#joins })
      record.rooms.add(room)
    }
    return {
      state: 'joined',
      created: !found,
      room: toRoomState(joined),
      newest: record.mailbox.newest,
    }
  }

  async leave({ room, peer, notice, tellPeer, now }: LeaveStep): Promise<number | undefined> {
    const found = this.#rooms.get(room)
    const member = found?.members.get(peer)
    if (!found || !member) return undefined
    found.members.delete(peer)
    this.#space.give(memberBytes(member.info))
    if (found.members.size === 0) this.#rooms.delete(room)
    const record = this.#peers.get(peer)
    record?.rooms.delete(room)
    if (record?.rooms.size === 0) this.#gone.delete(peer)
    for (const other of found.members.keys()) this.#keep(other, notice, undefined, now)
    if (tellPeer) this.#keep(peer, notice, undefined, now)
    return found.members.size
  }

  async room(room: string): Promise<RoomState | undefined> {
    const found = this.#rooms.get(room)
    return found && toRoomState(found)
  }

  async roomMates(peer: Address, to: Address): Promise<Address[]> {
    const mine = this.#peers.get(peer)?.rooms
    if (!mine || mine.size === 0) return []
    const candidates = hasDevice(to) ? [to] : [...(this.#names.get(to) ?? [])]
    return candidates.filter((candidate) => {
      const theirs = this.#peers.get(candidate)?.rooms ?? []
      return [...theirs].some((room) => mine.has(room))
    })
  }

  // ---- requests, tokens, tickets, rates ------------------------------------------------------

  async startRequest(step: Parameters<Store['startRequest']>[0]): Promise<RequestStart> {
    return this.#requests.start(step)
  }

  async finishRequest(step: Parameters<Store['finishRequest']>[0]): Promise<void> {
    this.#requests.finish(step)
  }

  async revokeToken(tokenId: string, until: number, now: number): Promise<void> {
    const before = this.#revoked.get(tokenId)
    if (until <= (before ?? now)) return
    if (before === undefined) this.#space.give(-REVOCATION_BYTES)
    this.#revoked.set(tokenId, until)
    this.#due.others.add(tokenId, until)
  }

  async isRevoked(tokenId: string, now: number): Promise<boolean> {
    return (this.#revoked.get(tokenId) ?? 0) > now
  }

  async addTicket(step: Parameters<Store['addTicket']>[0]): Promise<void> {
    this.#tickets.add(step)
  }

  async useTicket(step: Parameters<Store['useTicket']>[0]) {
    return this.#tickets.use(step)
  }

  async renewTickets(identity: Identity, now: number): Promise<void> {
    this.#tickets.renew(identity, now)
  }

  async takeTokens(step: {
    bucket: string
    rate: Rate
    cost: number
    now: number
  }): Promise<number> {
    let bucket = this.#buckets.get(step.bucket)
    if (!bucket) {
      bucket = { tokens: step.rate.burst, at: step.now }
      this.#buckets.set(step.bucket, bucket)
    }
    return takeFrom(bucket, step.rate, step.cost, step.now)
  }

  // ---- the store itself ----------------------------------------------------------------------

  async sweep(now: number): Promise<void> {
    for (const address of this.#due.letters.take(now)) {
      const record = this.#peers.get(address)
      record?.mailbox.expire(now)
      if (record) this.#dropIfForgotten(record, now)
    }
    for (const address of this.#due.peers.take(now)) this.#lookAtPeer(address, now)
    this.#requests.sweep(now)
    this.#tickets.sweep(now)
    for (const id of this.#due.others.take(now)) {
      if ((this.#givenUp.get(id)?.until ?? now + 1) <= now) this.#givenUp.delete(id)
      if ((this.#revoked.get(id) ?? now + 1) <= now && this.#revoked.delete(id)) {
        this.#space.give(REVOCATION_BYTES)
      }
    }
  }

  stats(): StoreStats {
    return {
      mailboxes: this.#peers.size,
      messages: this.#letters.count,
      rooms: this.#rooms.size,
      bytes: this.#space.used,
    }
  }

  async close(): Promise<void> {}

  // ---- helpers: records --------------------------------------------------------------------

  #record(address: Address, now: number): PeerRecord {
    const found = this.#peers.get(address)
    if (found) return found
    this.#space.take(RECORD_BYTES)
    const record: PeerRecord = { address, mailbox: this.#newMailbox(now), rooms: new Set() }
    this.#peers.set(address, record)
    this.#due.peers.add(address, now + COMING_MS)
    getOrMake(this.#names, nameOf(address), () => new Set<Address>()).add(address)
    return record
  }

  /** A mailbox made anew begins above everything that it cannot vouch for. */
  #newMailbox(now: number): Mailbox {
    const aged = Math.floor((now - LIMITS.floorAgeMs) * 1000)
    const floor = Math.max(this.#generation, aged, this.#droppedNewest)
    let reason: ResetReason = floor === aged ? 'expired' : 'evicted'
    if (floor === this.#generation) reason = 'store-restarted'
    return new Mailbox(floor, reason, this.#generation, this.#letters)
  }

  /** Does the name belong to another guest? */
  #isOthers(peer: Address, holder: string, now: number): boolean {
    const owner = this.#peers.get(peer)?.holder
    return (owner !== undefined && owner !== holder) || this.#isReserved(peer, holder, now)
  }

  /** Did another guest give the name up lately? */
  #isReserved(peer: Address, holder: string, now: number): boolean {
    const reserved = this.#givenUp.get(peer)
    return reserved !== undefined && reserved.until > now && reserved.holder !== holder
  }

  #recordsOf(name: string): PeerRecord[] {
    const addresses = [...(this.#names.get(name) ?? [])]
    return addresses.map((address) => this.#peers.get(address) as PeerRecord)
  }

  #knownOf(name: string, now: number): PeerRecord[] {
    return this.#recordsOf(name).filter(({ seen }) => seen && isKnown(seen, now))
  }

  /** To the first device of a name goes what waits for the bare name. */
  #handOver(device: PeerRecord, now: number): void {
    const name = nameOf(device.address)
    const bare = this.#peers.get(name)
    if (!hasDevice(device.address) || !bare || this.#knownOf(name, now).length > 0) return
    bare.mailbox.expire(now)
    // What a reader of the name has had does not wait.
    bare.mailbox.dropAcknowledged()
    const entries = bare.mailbox.empty()
    device.mailbox.adopt(entries, device.seen === undefined)
    for (const { letter } of entries) this.#due.letters.add(device.address, letter.expiresAt)
    for (const [sender, { until, grantedAt }] of bare.replies ?? []) {
      const own = device.replies?.get(sender)?.until ?? 0
      if (until > own) this.#grantReply(device.address, sender, until, grantedAt)
    }
    if (bare.rooms.size === 0) this.#dropRecord(bare)
  }

  #dropRecord(record: PeerRecord): void {
    const { address, mailbox } = record
    mailbox.forget()
    this.#tickets.dropPeer(address)
    this.#droppedNewest = Math.max(this.#droppedNewest, mailbox.newest)
    this.#droppable.delete(address)
    this.#gone.delete(address)
    this.#peers.delete(address)
    this.#space.give(RECORD_BYTES)
    const name = nameOf(address)
    const addresses = this.#names.get(name)
    addresses?.delete(address)
    if (addresses?.size === 0) this.#names.delete(name)
  }

  #dropIfForgotten(record: PeerRecord, now: number): void {
    const { seen, mailbox, rooms } = record
    if (seen && isKnown(seen, now)) return
    if (rooms.size === 0 && !mailbox.hasUnread) this.#dropRecord(record)
  }

  /** A lease is over, or a peer may be forgotten by now. */
  #lookAtPeer(address: Address, now: number): void {
    const record = this.#peers.get(address)
    if (!record) return
    const { leaseUntil, guest } = record.seen ?? { leaseUntil: 0, guest: true }
    const knownUntil = leaseUntil + knownMs(guest)
    if (leaseUntil <= now && record.rooms.size > 0) this.#gone.add(address)
    if (leaseUntil > now) this.#due.peers.add(address, leaseUntil)
    else if (knownUntil > now) this.#due.peers.add(address, knownUntil)
    else this.#dropIfForgotten(record, now)
  }

  #grantReply(recipient: Address, sender: Address, until: number, now: number): void {
    const record = this.#peers.get(recipient)
    if (!record) return
    record.replies ??= new Map()
    record.replies.delete(sender)
    record.replies.set(sender, { grantedAt: now, until })
    if (record.replies.size > LIMITS.replyRightsMax) {
      record.replies.delete(record.replies.keys().next().value as Address)
    }
  }

  // ---- helpers: letters --------------------------------------------------------------------

  #keep(to: Address, letter: Letter, once: Once | undefined, now: number): Kept {
    const online = (this.#peers.get(to)?.seen?.leaseUntil ?? 0) > now
    const before = once && this.#requests.keptBefore(once, to, now)
    if (before !== undefined) return { to, id: before, online }
    const refused = this.#letters.refusal(letter, this.#peers.has(to) ? 0 : RECORD_BYTES)
    if (refused) return { to, refused, retryAfterMs: 1000 }
    const outcome = this.#record(to, now).mailbox.append(letter, now)
    if ('retryAfterMs' in outcome) return { to, refused: 'mailbox-full', ...outcome }
    this.#letters.onKept(letter)
    this.#due.letters.add(to, letter.expiresAt)
    if (once) this.#requests.remember(once, to, outcome.id, now)
    this.onRing(to)
    return { to, id: outcome.id, online }
  }

  /** Drops what is acknowledged in the mailbox that was read longest ago. */
  #dropSome(): boolean {
    const mailbox = this.#droppable.pop()
    mailbox?.dropAcknowledged()
    return mailbox !== undefined
  }
}

/** A parsed object takes up to twenty times its text (measured with arrays of empty objects). */
const INFO_FACTOR = 20

const memberBytes = (info: Record<string, unknown> | undefined) =>
  MEMBER_BYTES + (info ? INFO_FACTOR * JSON.stringify(info).length : 0)

/** Somebody has the name: it was claimed just now, or is known, or something waits for it. */
const isUsed = ({ seen, claimedAt = 0, mailbox }: PeerRecord, now: number) =>
  claimedAt + COMING_MS > now || (seen !== undefined && isKnown(seen, now)) || mailbox.size > 0

const knownMs = (guest: boolean) =>
  guest ? LIMITS.guestKnownAfterLeaseMs : LIMITS.knownAfterLeaseMs

const isKnown = (seen: { leaseUntil: number; guest: boolean }, now: number) =>
  seen.leaseUntil + knownMs(seen.guest) > now

const toRoomState = ({ capacity, members }: RoomRecord): RoomState => ({
  capacity,
  members: [...members.values()],
})

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key)
  if (value === undefined) {
    value = make()
    map.set(key, value)
  }
  return value
}
