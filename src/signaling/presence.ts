// Presence is a lease, not a socket: any authenticated request and any open read renews it. A
// member whose lease ran out leaves its rooms by `timeout`.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { toTimestamp } from '../core/clock.ts'
import { ProblemError } from '../core/errors.ts'
import type { Identity } from '../core/grants.ts'
import type { Address } from '../protocol/address.ts'
import type { SignalingContext } from './context.ts'
import { leave } from './rooms.ts'
import { findPeers } from './send.ts'

const LEASE_RENEWAL_MS = 5_000

/** The peer did something. @throws ProblemError token-invalid when its name is another guest's by now */
export async function renewLease(context: SignalingContext, me: Identity): Promise<void> {
  const { store, clock, settings } = context
  const { peer, guest, holder } = me
  const step = { peer, guest, holder, leaseMs: settings.leaseMs, now: clock.now() }
  if (await store.touch(step)) return
  throw new ProblemError('token-invalid', { detail: 'The name belongs to another guest by now.' })
}

/** @throws ProblemError peer-not-found for whoever may not reach that peer */
export async function lookAtPeer(context: SignalingContext, me: Identity, peer: Address) {
  const { to } = await findPeers(context, me, peer)
  const now = context.clock.now()
  const states = await Promise.all(to.map((address) => context.store.peer(address, now)))
  const lastSeenAt = Math.max(...states.map((state) => state.lastSeenAt ?? 0))
  return {
    peer,
    online: states.some((state) => state.online),
    ...(lastSeenAt > 0 && { lastSeenAt: toTimestamp(lastSeenAt) }),
  }
}

/** What has to be done from time to time: one loop for everybody, no timer per peer. */
export class Housekeeping {
  readonly #context: SignalingContext
  readonly #everyMs: number
  #renewAt = 0
  #cancel: (() => void) | undefined
  #stopped = false

  /** @param onError a round that failed (the store is away); the next one tries again */
  constructor(context: SignalingContext, onError: (error: unknown) => void) {
    this.#context = context
    this.#everyMs = Math.min(1000, context.settings.leaseMs / 3)
    const next = () => {
      if (this.#stopped) return
      this.#cancel = context.clock.after(this.#everyMs, () => {
        this.round().catch(onError).finally(next)
      })
    }
    next()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async round(): Promise<void> {
    const { store, hub, clock } = this.#context
    const now = clock.now()
    if (now >= this.#renewAt) {
      const { leaseMs } = this.#context.settings
      this.#renewAt = now + Math.min(LEASE_RENEWAL_MS, leaseMs / 3)
      for (const peer of hub.peers()) {
        await store.touch({ peer, onlyKnown: true, leaseMs, now })
      }
      for (const { ticket } of hub.all()) {
        if (ticket !== undefined) await store.useTicket({ ticket, stream: true, now })
      }
      if (store.ringsMayBeLost) hub.ringAll()
    }
    await store.sweep(now)
    for (const { peer, rooms } of await store.gonePeers(now)) {
      for (const room of rooms) {
        await leave(this.#context, peer, room, 'timeout')
        // When a network fails, thousands are gone at once: others must be served in between.
        await nextTurn()
      }
    }
  }
}
