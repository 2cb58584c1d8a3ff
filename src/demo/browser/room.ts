// The room as this page sees it: its members, and one call to each. Knows no element of the page.
// Invariant: a call that is connected outlives everything that happens to signaling (a reset, a new
// session, a member that fell silent); a call that is not is begun anew when the room is read again.
import { Call } from './call.ts'
import { type Json, Problem } from './http.ts'
import { type Arrival, type Departure, Signaling, type Transport } from './signaling.ts'

const SERVER = '@server'
/** Where the operator set a secret, guests are let into rooms of this prefix only. */
const GUEST_PREFIX = 'guest-'

export interface Member {
  peer: string
  name: string
  call: Call
  /** It left the room by time-out: kept as long as its call stands. */
  isAway: boolean
}

export interface RoomHandlers {
  changed(): void
  arrived(arrival: Arrival): void
  departed(departure: Departure): void
  reset(reason: string): void
  reading(transport: Transport, heldBack: boolean): void
  trouble(text: string): void
  mended(): void
  failed(error: unknown): void
}

export interface RoomOptions {
  base: URL
  room: string
  name: string
  stream: MediaStream
  transport: Transport
}

export class Room {
  readonly members = new Map<string, Member>()
  name: string
  #stream: MediaStream
  readonly #transport: Transport
  readonly #signaling: Signaling
  readonly #on: RoomHandlers
  #iceServers: RTCIceServer[] = []
  #hasLeft = false
  #rejoining: Promise<void> | undefined

  constructor({ base, room, name, stream, transport }: RoomOptions, on: RoomHandlers) {
    this.name = room
    this.#stream = stream
    this.#transport = transport
    this.#on = on
    this.#signaling = new Signaling(
      base,
      { name },
      {
        ...on,
        arrived: (arrival) => this.#receive(arrival),
        reset: (reason) => this.#reset(reason),
        renewed: (sameAddress) => this.#renewed(sameAddress),
        failed: (error) => this.#fail(error),
      },
    )
  }

  get peer(): string {
    return this.#signaling.session.peer
  }

  async enter(): Promise<void> {
    await this.#signaling.session.start()
    this.#iceServers = await this.#readIceServers()
    await this.#rejoin()
    void this.#signaling.read(this.#transport)
  }

  readBy(transport: Transport): void {
    void this.#signaling.read(transport)
  }

  async replaceMedia(stream: MediaStream): Promise<void> {
    this.#stream = stream
    for (const { call } of this.members.values()) await call.replaceMedia(stream)
  }

  nameOf(peer: string): string {
    return this.members.get(peer)?.name ?? peer
  }

  async leave(): Promise<void> {
    this.#hasLeft = true
    this.#signaling.stop()
    this.#dropAll()
    await this.#signaling.session.end()
  }

  leaveByBeacon(): void {
    this.#hasLeft = true
    this.#signaling.stop()
    this.#signaling.session.endByBeacon()
  }

  /** Joining twice is the same as once, so this is also how the room is read again. */
  #rejoin(): Promise<void> {
    this.#rejoining ??= this.#join().finally(() => {
      this.#rejoining = undefined
    })
    return this.#rejoining
  }

  async #join(): Promise<void> {
    const room = await this.#signaling.join(this.name).catch((error) => this.#joinAsGuest(error))
    const listed = new Set<string>()
    for (const { peer, info, polite } of room.members) {
      listed.add(peer)
      const { call } = this.#keep(peer, info, polite)
      if (!call.isConnected) call.offer()
    }
    for (const { peer, call } of [...this.members.values()]) {
      if (!listed.has(peer) && !call.isConnected) this.#drop(peer)
    }
    this.#on.changed()
  }

  async #joinAsGuest(error: unknown): Promise<Json> {
    const isRefused = error instanceof Problem && [403, 404].includes(error.status)
    if (!isRefused || this.name.startsWith(GUEST_PREFIX)) throw error
    this.name = GUEST_PREFIX + this.name
    return this.#signaling.join(this.name)
  }

  async #readIceServers(): Promise<RTCIceServer[]> {
    try {
      return (await this.#signaling.session.get('ice-servers')).iceServers
    } catch {
      return [] // a call between neighbours needs none
    }
  }

  #reset(reason: string): void {
    this.#on.reset(reason)
    this.#signaling.session
      .get('session')
      .then(() => this.#rejoin())
      .catch((error) => this.#fail(error))
  }

  #renewed(sameAddress: boolean): void {
    // The others know our calls by the old address, and hear nothing from it any more.
    if (!sameAddress) this.#dropAll()
    this.#rejoin().catch((error) => this.#fail(error))
  }

  #receive(arrival: Arrival): void {
    this.#on.arrived(arrival)
    const { from, type, payload } = arrival.message
    if (from === SERVER) this.#hearServer(type, payload)
    else if (['offer', 'answer', 'ice-candidate'].includes(type)) {
      void this.#toCall(from, type, payload)
    }
  }

  async #toCall(from: string, type: string, payload: Json): Promise<void> {
    // Somebody whose arrival got lost: the room knows.
    if (!this.members.has(from)) await this.#rejoin().catch((error) => this.#fail(error))
    this.members.get(from)?.call.receive(type, payload)
  }

  #hearServer(type: string, { peer, info, polite, reason }: Json): void {
    if (type === 'peer-joined') this.#keep(peer, info, polite)
    if (type === 'peer-left') this.#letGo(peer, reason)
    this.#on.changed()
  }

  #letGo(peer: string, reason: string): void {
    // We were silent for too long ourselves, a sleeping laptop perhaps.
    if (peer === this.peer) void this.#rejoin().catch((error) => this.#fail(error))
    const member = this.members.get(peer)
    if (member && reason === 'timeout' && member.call.isConnected) member.isAway = true
    else this.#drop(peer)
  }

  #keep(peer: string, info: Json | undefined, polite: boolean): Member {
    const name = String(info?.name || peer)
    const known = this.members.get(peer)
    if (known) {
      known.call.polite = polite
      return Object.assign(known, { name, isAway: false })
    }
    const call = new Call({
      polite,
      stream: this.#stream,
      iceServers: this.#iceServers,
      send: (type, payload) => this.#signaling.send(peer, type, payload),
      changed: () => this.#callChanged(peer),
    })
    const member = { peer, name, call, isAway: false }
    this.members.set(peer, member)
    return member
  }

  #callChanged(peer: string): void {
    const member = this.members.get(peer)
    if (member?.isAway && !member.call.isConnected) this.#drop(peer)
    this.#on.changed()
  }

  /** Requests that were under way when the page left fail too: nobody waits for them. */
  #fail(error: unknown): void {
    if (!this.#hasLeft) this.#on.failed(error)
  }

  #drop(peer: string): void {
    this.members.get(peer)?.call.close()
    this.members.delete(peer)
  }

  #dropAll(): void {
    for (const peer of [...this.members.keys()]) this.#drop(peer)
  }
}
