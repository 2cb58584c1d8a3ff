// What the routes and plugins of this folder need, handed in by server.ts.

import type { StreamSweep } from '../delivery/event-stream.ts'
import type { DeliveryContext } from '../delivery/long-poll.ts'
import type { SessionContext } from '../signaling/sessions.ts'
import type { Metrics } from './plugins/metrics.ts'

export interface HttpSettings {
  /** '' or '/x'. */
  basePath: string
  corsOrigins: '*' | string[]
  trustProxy: string[]
  streamMaxAgeMs: number
  metricsToken?: string | undefined
  logLevel: string
  tls?: { cert: string; key: string } | undefined
}

export interface HttpContext extends SessionContext, DeliveryContext {
  http: HttpSettings
  metrics: Metrics
  sweep: StreamSweep
  /** Set when the server was told to stop: polls are short, answers say `Connection: close`. */
  draining: boolean
  /** While it is there, requests wait for it before anything is done with them, and answers too. */
  gate?: Promise<void> | undefined
  /** 0 to 1. */
  random(): number
}
