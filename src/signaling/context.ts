// What the use cases of this folder need, handed in by server.ts. They are callable without HTTP.
import type { Clock } from '../core/clock.ts'
import type { Hub } from '../delivery/hub.ts'
import type { Store } from '../store/store.ts'

export interface SignalingSettings {
  messageTtlMs: number
  /** Signals a second and peer; 0: no limit on what is sent and on new guest sessions. */
  rateLimit: number
  leaseMs: number
  guests: boolean
  /** A secret or a JWKS URL is configured: guests' names begin with `guest-`. */
  configured: boolean
}

export interface SignalingMetrics {
  onAccepted(type: string, copies: number): void
}

export interface SignalingContext {
  store: Store
  hub: Hub
  clock: Clock
  settings: SignalingSettings
  metrics: SignalingMetrics
}
