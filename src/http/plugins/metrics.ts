// Prometheus metrics (prom-client). Labels come from closed lists only: nothing of a request, no
// peer and no room becomes a label.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Hub } from '../../delivery/hub.ts'
import type { DeliveryMetrics } from '../../delivery/long-poll.ts'
import { CHECKED_TYPES } from '../../protocol/names.ts'
import type { SignalingMetrics } from '../../signaling/context.ts'
import type { Store } from '../../store/store.ts'

export interface Metrics extends DeliveryMetrics, SignalingMetrics {
  registry: Registry
  onRefused(code: string): void
}

const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60]
const KNOWN_TYPES: readonly string[] = CHECKED_TYPES

export function collectMetrics(store: Store, hub: Hub): Metrics {
  const registry = new Registry()
  const registers = [registry]
  // Event loop delay, memory, CPU, file descriptors.
  collectDefaultMetrics({ register: registry })
  const accepted = new Counter({
    name: 'posthorn_messages_accepted_total',
    help: 'Copies of signals that a mailbox kept, by type (types of applications are "other").',
    labelNames: ['type'],
    registers,
  })
  const delivered = new Counter({
    name: 'posthorn_messages_delivered_total',
    help: 'Messages written to a reader, by transport; a message read twice counts twice.',
    labelNames: ['transport'],
    registers,
  })
  const lost = new Counter({
    name: 'posthorn_messages_unread_dropped_total',
    help: 'Messages that nobody had acknowledged, by why they went: expired or evicted.',
    labelNames: ['why'],
    registers,
  })
  const latency = new Histogram({
    name: 'posthorn_delivery_seconds',
    help: 'From storing a message to writing it to a reader.',
    labelNames: ['transport'],
    buckets: LATENCY_SECONDS,
    registers,
  })
  const refused = new Counter({
    name: 'posthorn_requests_refused_total',
    help: 'Refused requests by problem code.',
    labelNames: ['code'],
    registers,
  })
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value())
      },
    })
  const reads = new Gauge({
    name: 'posthorn_reads_open',
    help: 'Open reads by transport.',
    labelNames: ['transport'],
    registers,
    collect() {
      for (const kind of ['poll', 'stream'] as const) this.set({ transport: kind }, hub.count(kind))
    },
  })
  reads.set({ transport: 'poll' }, 0)
  gauge('posthorn_mailboxes', 'Mailboxes of this store.', () => store.stats().mailboxes)
  gauge('posthorn_messages', 'Messages kept.', () => store.stats().messages)
  gauge('posthorn_rooms', 'Rooms.', () => store.stats().rooms)
  gauge('posthorn_store_bytes', 'Bytes that the store holds, estimated.', () => store.stats().bytes)
  store.onLoss = (why, letters) => lost.inc({ why }, letters)
  return {
    registry,
    onRefused: (code) => refused.inc({ code }),
    onAccepted: (type, copies) =>
      accepted.inc({ type: KNOWN_TYPES.includes(type) ? type : 'other' }, copies),
    onDelivered: (transport, ageMs) => {
      delivered.inc({ transport })
      latency.observe({ transport }, Math.max(0, ageMs) / 1000)
    },
  }
}
