// Streams whose socket takes little or nothing: at most 256 KiB wait for it, whatever is written,
// and nothing is lost: it goes on where it stood once the socket takes more, or it ends and the
// reader comes back with its cursor.
import * as fc from 'fast-check'
import t from 'tap'
import { EventStream, StreamSweep } from '../../src/delivery/event-stream.ts'
import { makeDelivery } from '../helpers/delivery.ts'
import { holds } from '../helpers/properties.ts'
import { FakeSink } from '../helpers/sink.ts'

const KIB = 1024
const SECOND = 1000
const QUEUE_BYTES_MAX = 256 * KIB

const parts = makeDelivery()
let streams = 0

/** A letter whose frame is as long as its `bytes` say. */
const large = (bytes: number, seq: number) => {
  const head = `"type":"test","from":"a","payload":{"seq":${seq},"x":"`
  const idBytes = '{"id":1234567890123456,'.length
  return { tail: `${head}${'x'.repeat(bytes - idBytes - head.length - 3)}"}}`, bytes }
}

/** A stream of a mailbox of its own. */
function makeStream({ maxAgeMs = 600 * SECOND, nudge = false } = {}) {
  const { context, hub, clock, store } = parts
  const peer = `bob${++streams}`
  const sink = new FakeSink()
  const sweep = new StreamSweep(clock)
  let seq = 0
  const post = async (bytes: number, lifeMs = 120 * SECOND) => {
    seq += 1
    const from = `sender${streams}-${seq % 8}`
    return parts.post({ to: peer, from, ...large(bytes, seq), expiresAt: clock.now() + lifeMs })
  }
  const open = async (since: number) => {
    const expiresAt = clock.now() + 3600 * SECOND
    const read = hub.open({ peer, kind: 'stream', expiresAt })
    const options = { since, nudge, firstOfTicket: true, maxAgeMs, random: 0 }
    const stream = new EventStream(context, { read, ...options })
    const first = await stream.readFirst()
    sweep.add(stream)
    const run = stream.run(sink, first).finally(() => {
      sweep.delete(stream)
      hub.close(read)
    })
    await clock.advance(0)
    return { read, run }
  }
  const seqs = (from: number) => Array.from({ length: seq - from + 1 }, (_, at) => from + at)
  return { clock, store, hub, peer, sink, post, open, seqs }
}

t.test('a socket that takes nothing', async (t) => {
  t.test('is given 256 KiB and no more', async (t) => {
    const { sink, clock, post, open, seqs } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 12; n++) await post(60 * KIB)
    sink.block()
    await open(since)
    t.equal(sink.seqs.length, 4, 'four of 60 KiB')
    await clock.advance(30 * SECOND)
    t.equal(sink.seqs.length, 4)
    t.ok(sink.queuedMax <= QUEUE_BYTES_MAX, `at most ${QUEUE_BYTES_MAX}: ${sink.queuedMax}`)
    t.equal(sink.bye, undefined)
    sink.drain()
    await clock.advance(0)
    t.same(sink.seqs, seqs(2), 'and the page goes on when it was taken')
  })

  t.test('is given 256 KiB at most, to the byte', async (t) => {
    const { sink, clock, post, open, seqs } = makeStream({ nudge: true })
    const since = await post(100)
    for (let n = 0; n < 3; n++) await post(64 * KIB)
    sink.block()
    await open(since)
    // What is left would hold the message, but not what frames it.
    await post(QUEUE_BYTES_MAX - sink.queuedBytes())
    await clock.advance(30 * SECOND)
    t.ok(sink.queuedMax <= QUEUE_BYTES_MAX, `at most ${QUEUE_BYTES_MAX}: ${sink.queuedMax}`)
    sink.drain()
    await clock.advance(0)
    t.same(sink.seqs, seqs(2))
  })

  t.test('gets heartbeats only while they fit', async (t) => {
    const { sink, clock, post, open } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 3; n++) await post(64 * KIB)
    sink.block()
    await open(since)
    await post(QUEUE_BYTES_MAX - sink.queuedBytes() - 1100)
    await clock.advance(0)
    t.equal(sink.seqs.length, 4, 'all messages have their place')
    await clock.advance(300 * SECOND)
    t.ok(sink.queuedMax <= QUEUE_BYTES_MAX, `at most ${QUEUE_BYTES_MAX}: ${sink.queuedMax}`)
    const beats = sink.dataOf('heartbeat').length
    sink.drain()
    await clock.advance(0)
    t.equal(
      sink.dataOf('heartbeat').length,
      beats + 1,
      'and the one that is due when there is room',
    )
  })

  t.test('hears of what came meanwhile', async (t) => {
    const { sink, clock, post, open, seqs } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 6; n++) await post(60 * KIB)
    sink.block()
    await open(since)
    await post(100)
    await post(100)
    await clock.advance(SECOND)
    sink.drain()
    await clock.advance(0)
    t.same(sink.seqs, seqs(2), 'the rings while it was full are not lost')
  })

  t.test('gets its backlog beyond one page', async (t) => {
    const { sink, clock, post, open, seqs } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 150; n++) await post(5 * KIB)
    sink.block()
    await open(since)
    for (let n = 0; n < 8; n++) {
      sink.drain({ andBlock: true })
      await clock.advance(0)
    }
    t.same(sink.seqs, seqs(2))
    t.ok(sink.queuedMax <= QUEUE_BYTES_MAX)
  })
})

t.test('a stream that stalls', async (t) => {
  t.test('is ended at once and resumes from its cursor', async (t) => {
    const { sink, clock, post, open, hub, peer } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 6; n++) await post(60 * KIB)
    sink.block()
    const { run } = await open(since)
    sink.onStalled()
    await run
    t.equal(sink.ended, 'destroyed', 'a bye could not be read')
    t.equal(sink.bye, undefined)
    t.notOk([...hub.peers()].includes(peer))
    await clock.advance(SECOND)
  })

  t.test('is cut off also while its bye waits', async (t) => {
    const { sink, clock, post, open } = makeStream({ maxAgeMs: 5 * SECOND })
    const since = await post(100)
    for (let n = 0; n < 6; n++) await post(60 * KIB)
    sink.block()
    const { run } = await open(since)
    await clock.advance(6 * SECOND)
    await run
    t.match(sink.bye, { reason: 'max-age' })
    t.equal(sink.ended, 'in order')
    sink.onStalled()
    t.equal(sink.ended, 'destroyed', 'else its socket would never be given back')
  })
})

t.test('a stream that ends while its socket is full', async (t) => {
  t.test('does not wait for the socket', async (t) => {
    const { sink, clock, post, open, hub, peer } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 6; n++) await post(60 * KIB)
    sink.block()
    const { run } = await open(since)
    hub.endPeer(peer, 'shutdown')
    await run
    t.match(sink.bye, { reason: 'shutdown' })
    await clock.advance(SECOND)
  })

  t.test('is not written to when its client has gone', async (t) => {
    const { sink, post, open } = makeStream()
    const since = await post(100)
    for (let n = 0; n < 6; n++) await post(60 * KIB)
    sink.block()
    const { run, read } = await open(since)
    const before = sink.writes.length
    read.end('gone')
    await run
    t.equal(sink.ended, 'destroyed')
    t.equal(sink.writes.length, before)
  })
})

t.test('a gap ends the stream, and its reader is told', async (t) => {
  const { sink, clock, post, open, store, peer } = makeStream()
  const since = await post(100)
  // A full page that the socket does not take; behind it, what is gone before it is looked at.
  for (let n = 0; n < 64; n++) await post(5 * KIB)
  for (let n = 0; n < 3; n++) await post(100, 5 * SECOND)
  sink.block()
  const { run } = await open(since)
  await clock.advance(6 * SECOND)
  sink.drain()
  await run
  t.equal(sink.seqs.length, 64, 'the page that it had')
  t.match(sink.bye, { reason: 'slow-reader' })
  const cursor = Number(sink.messages.at(-1)?.id)
  const step = { peer, since: cursor, limit: 100, acknowledge: true, now: clock.now() }
  t.equal((await store.readSince(step)).reset, 'expired')
})

t.test('whatever the sizes and the socket', async (t) => {
  const sizes = fc.array(fc.integer({ min: 100, max: 64 * KIB }), { minLength: 1, maxLength: 14 })
  const property = fc.asyncProperty(
    sizes,
    sizes,
    fc.array(fc.nat(3), { maxLength: 12 }),
    fc.boolean(),
    async (before, later, taking, nudge) => {
      const { sink, clock, post, open, seqs, hub, peer } = makeStream({ nudge })
      const since = await post(100)
      for (const bytes of before) await post(bytes)
      sink.block()
      const { run } = await open(since)
      const rest = [...later]
      for (const what of taking) {
        if (what === 0) sink.drain({ andBlock: true })
        if (what === 1) await clock.advance(2 * SECOND)
        if (what > 1 && rest.length > 0) await post(rest.shift() as number)
        await clock.advance(0)
      }
      sink.drain()
      await clock.advance(0)
      const isComplete = sink.seqs.join() === seqs(2).join()
      hub.endPeer(peer, 'shutdown')
      await run
      // Nothing of this run takes part in the next one.
      await clock.advance(121 * SECOND)
      await parts.store.sweep(clock.now())
      return isComplete && sink.queuedMax <= QUEUE_BYTES_MAX
    },
  )
  await holds(t, property, { runs: 200, what: 'all arrives, 256 KiB wait at most' })
})
