// The race that loses signals: a ring comes while the store is still being read. Here every order
// of asks, answers and posts is tried (fast-check's scheduler) and no clock is ever turned, so what
// a doorbell misses never arrives. Readers that listen first lose none; the same test sees both
// planted bugs: reading before listening, and being deaf while reading.
import * as fc from 'fast-check'
import t from 'tap'
import { EventStream } from '../../src/delivery/event-stream.ts'
import type { Read } from '../../src/delivery/hub.ts'
import { type DeliveryContext, pollPage } from '../../src/delivery/long-poll.ts'
import type { Store } from '../../src/store/store.ts'
import { settle } from '../helpers/clock.ts'
import { makeDelivery } from '../helpers/delivery.ts'
import { seqsOf } from '../helpers/letters.ts'
import { holds, isRefuted } from '../helpers/properties.ts'
import { FakeSink } from '../helpers/sink.ts'

const RUNS = 1500
const NEVER = Number.POSITIVE_INFINITY
const WAIT_MS = 25_000

interface Race {
  context: DeliveryContext
  /** Whose mailbox it is: another one in each race. */
  peer: string
  /** Rings reach the hub, or not. */
  setDeaf(deaf: boolean): void
  isOver(): boolean
}

/** Reads until the race is over. @returns what arrived so far, in order */
type Reader = (race: Race) => () => number[]

async function pollOnce({ context, peer }: Race, since: number) {
  const read = context.hub.open({ peer, kind: 'poll', expiresAt: NEVER })
  try {
    return await pollPage(context, { read, since, limit: 100, waitMs: WAIT_MS })
  } finally {
    context.hub.close(read)
  }
}

/** The planted bug: looks first and listens then. */
async function pollReadingFirst({ context, peer }: Race, since: number) {
  const { store, hub, clock } = context
  const look = () =>
    store.readSince({ peer, since, limit: 100, acknowledge: true, now: clock.now() })
  const first = await look()
  if (first.entries.length > 0) return first
  const read = hub.open({ peer, kind: 'poll', expiresAt: NEVER })
  await read.wait(clock, WAIT_MS)
  hub.close(read)
  return look()
}

const poller =
  (poll: typeof pollOnce | typeof pollReadingFirst): Reader =>
  (race) => {
    const seqs: number[] = []
    const run = async () => {
      for (let since = 0; !race.isOver(); ) {
        const page = await poll(race, since)
        seqs.push(...seqsOf(page.entries))
        since = page.cursor
      }
    }
    run()
    return () => seqs
  }

const streamer: Reader = ({ context, peer }) => {
  const read: Read = context.hub.open({ peer, kind: 'stream', expiresAt: NEVER })
  const options = { nudge: false, firstOfTicket: false, maxAgeMs: 55_000, random: 0 }
  const stream = new EventStream(context, { read, since: 0, ...options })
  const sink = new FakeSink()
  const run = async () => stream.run(sink, await stream.readFirst())
  run().finally(() => context.hub.close(read))
  return () => sink.seqs
}

/** The planted bug: what rings while the store is being read is not heard. */
const deaf =
  (reader: Reader): Reader =>
  (race) => {
    race.setDeaf(true)
    return reader(race)
  }

// One for all races: a store is a large thing to make.
const { context, store, hub, post } = makeDelivery()
let races = 0

/** Posts while readers read, in the order that the scheduler chooses. Nothing may be missing. */
const losesNothing = (readers: Reader[]) =>
  fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 5 }), async (scheduler, posts) => {
    const peer = `bob${++races}`
    let isDeaf = false
    let isOver = false
    let reading = 0
    const slow = {
      readSince: async (step: Parameters<Store['readSince']>[0]) => {
        reading += 1
        await scheduler.schedule(Promise.resolve(), 'ask')
        const answer = await store.readSince(step)
        await scheduler.schedule(Promise.resolve(), 'answer')
        reading -= 1
        return answer
      },
    } as Store
    store.onRing = (rung) => {
      if (!isDeaf || reading === 0) hub.ring(rung)
    }
    const race: Race = {
      context: { ...context, store: slow },
      peer,
      setDeaf: (deaf) => {
        isDeaf = deaf
      },
      isOver: () => isOver,
    }
    const arrived = readers.map((reader) => reader(race))
    let posted = 0
    for (let n = 0; n < posts; n++) {
      scheduler.schedule(Promise.resolve(), 'post').then(() => post({ to: peer, seq: ++posted }))
    }
    const runAll = async () => {
      for (await settle(); scheduler.count() > 0; await settle()) await scheduler.waitOne()
    }
    await runAll()
    const all = Array.from({ length: posts }, (_, at) => at + 1)
    const isComplete = arrived.every((seqs) => seqs().join() === all.join())
    isOver = true
    hub.endAll('shutdown')
    await runAll()
    return isComplete
  })

t.test('a poll loses no ring', async (t) => {
  await holds(t, losesNothing([poller(pollOnce)]), { runs: RUNS, what: 'one reader' })
})

t.test('a stream loses no ring', async (t) => {
  await holds(t, losesNothing([streamer]), { runs: RUNS, what: 'one reader' })
})

t.test('readers of one mailbox lose no ring', async (t) => {
  const readers = [poller(pollOnce), streamer, poller(pollOnce)]
  await holds(t, losesNothing(readers), { runs: RUNS / 3, what: 'two polls and a stream' })
})

t.test('the planted bugs are found', async (t) => {
  const readingFirst = losesNothing([poller(pollReadingFirst)])
  await isRefuted(t, readingFirst, { runs: RUNS, what: 'a poll that reads before it listens' })
  const deafPoll = losesNothing([deaf(poller(pollOnce))])
  await isRefuted(t, deafPoll, { runs: RUNS, what: 'a poll that is deaf while it reads' })
  const deafStream = losesNothing([deaf(streamer)])
  await isRefuted(t, deafStream, { runs: RUNS, what: 'a stream that is deaf while it reads' })
})
