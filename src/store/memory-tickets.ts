// Tickets of the memory store: who reads with which, until when.
import { Deadlines } from '../core/deadlines.ts'
import type { Identity } from '../core/grants.ts'
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { Space } from './memory-space.ts'

const TICKET_BYTES = 700

interface Ticket {
  identity: Identity
  usedAt: number
  /** Whether a stream was opened with it. */
  streamed: boolean
}

export class MemoryTickets {
  #tickets = new Map<string, Ticket>()
  /** Of each peer, oldest first. */
  #peers = new Map<Address, string[]>()
  #due = new Deadlines<string>()
  readonly #space: Space

  constructor(space: Space) {
    this.#space = space
  }

  add({ ticket, identity, now }: { ticket: string; identity: Identity; now: number }): void {
    this.#space.take(TICKET_BYTES)
    this.#tickets.set(ticket, { identity, usedAt: now, streamed: false })
    this.#due.add(ticket, now + LIMITS.ticketIdleMs)
    const tickets = [...(this.#peers.get(identity.peer) ?? []), ticket]
    this.#peers.set(identity.peer, tickets)
    if (tickets.length > LIMITS.ticketsPerPeerMax) this.#drop(tickets[0] as string)
  }

  use({ ticket, stream, now }: { ticket: string; stream: boolean; now: number }) {
    const found = this.#tickets.get(ticket)
    if (!found || !isAlive(found, now)) return undefined
    found.usedAt = now
    const { identity, streamed } = found
    found.streamed ||= stream
    return { identity, streamed }
  }

  renew(identity: Identity, now: number): void {
    for (const ticket of this.#peers.get(identity.peer) ?? []) {
      const found = this.#tickets.get(ticket)
      if (found && isAlive(found, now) && found.identity.expiresAt < identity.expiresAt) {
        found.identity = identity
      }
    }
  }

  dropPeer(peer: Address): void {
    for (const ticket of this.#peers.get(peer) ?? []) this.#drop(ticket)
  }

  sweep(now: number): void {
    for (const ticket of this.#due.take(now)) {
      const found = this.#tickets.get(ticket)
      if (found && isAlive(found, now)) this.#due.add(ticket, found.usedAt + LIMITS.ticketIdleMs)
      else this.#drop(ticket)
    }
  }

  #drop(ticket: string): void {
    const found = this.#tickets.get(ticket)
    if (!found) return
    this.#space.give(TICKET_BYTES)
    this.#tickets.delete(ticket)
    const { peer } = found.identity
    const rest = (this.#peers.get(peer) ?? []).filter((other) => other !== ticket)
    if (rest.length > 0) this.#peers.set(peer, rest)
    else this.#peers.delete(peer)
  }
}

const isAlive = ({ usedAt, identity }: Ticket, now: number) =>
  usedAt + LIMITS.ticketIdleMs > now && identity.expiresAt > now
