// One stream of events, minute by minute on a clock turned by hand (protocol section 4): what comes
// first, when it beats, warns and ends, and why. Its socket takes everything; slow ones are in
// back-pressure.test.ts, the race with a doorbell in lost-wake-up.test.ts.
import t, { type Test } from 'tap'
import { EventStream, type StreamOptions, StreamSweep } from '../../src/delivery/event-stream.ts'
import type { Read } from '../../src/delivery/hub.ts'
import { BYE_REASONS } from '../../src/protocol/names.ts'
import { NOON } from '../helpers/clock.ts'
import { makeDelivery } from '../helpers/delivery.ts'
import { FakeSink } from '../helpers/sink.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

interface Asked extends Partial<Omit<StreamOptions, 'read'>> {
  n?: string
  expiresAt?: number
}

/** A delivery whose streams are opened as the route does it, with the times of what they write. */
function makeStreams() {
  const parts = makeDelivery()
  const { context, hub, clock } = parts
  const sweep = new StreamSweep(clock)
  const open = async (asked: Asked = {}) => {
    const { n, expiresAt = NOON + 60 * MINUTE, ...options } = asked
    const read: Read = hub.open({ peer: 'bob', kind: 'stream', n, expiresAt })
    const stream = new EventStream(context, {
      read,
      since: 0,
      nudge: false,
      firstOfTicket: false,
      maxAgeMs: 10 * MINUTE,
      random: 0.5,
      ...options,
    })
    const sink = new FakeSink()
    const times: [second: number, event: string][] = []
    const write = sink.write.bind(sink)
    sink.write = (text) => {
      const event = /event: (\S+)/.exec(text)?.[1] ?? (text.includes('data:') ? 'message' : '')
      times.push([(clock.now() - NOON) / SECOND, event])
      write(text)
    }
    const first = await stream.readFirst()
    sweep.add(stream)
    stream.run(sink, first).finally(() => {
      sweep.delete(stream)
      hub.close(read)
    })
    await clock.advance(0)
    /** The seconds at which this event was written. */
    const secondsOf = (name: string) =>
      times.filter(([, event]) => event === name).map(([second]) => second)
    return { read, stream, sink, times, secondsOf }
  }
  return { ...parts, open }
}

type Streams = ReturnType<typeof makeStreams>

const fact = (t: Test, name: string, body: (t: Test, streams: Streams) => Promise<void>) =>
  t.test(name, async (t) => body(t, makeStreams()))

t.test('a stream begins', async (t) => {
  await fact(t, 'with hello behind 2 KiB of comment, in one write', async (t, { open }) => {
    const { sink } = await open({ n: 'x"1', maxAgeMs: 55_000.4 })
    const [first = ''] = sink.writes
    t.match(first, /^:[ ]+\nevent: hello\ndata: /)
    t.ok(Buffer.byteLength(first) > 2048)
    t.same(sink.dataOf('hello'), [
      {
        peer: 'bob',
        reset: false,
        n: 'x"1',
        heartbeatMs: 15_000,
        maxAgeMs: 55_000,
        serverTime: '2026-11-20T12:00:00.000Z',
      },
    ])
  })

  await fact(t, 'with what is kept, then a heartbeat', async (t, { open, post }) => {
    await post()
    const id = await post()
    const { sink } = await open()
    t.same(sink.names, ['hello', 'message', 'message', 'heartbeat'])
    t.same(sink.dataOf('heartbeat'), [
      { cursor: id, newest: id, serverTime: '2026-11-20T12:00:00.000Z' },
    ])
    const { events } = sink.decoded
    t.equal(events.at(-1)?.id, String(id), 'the id of a heartbeat is its cursor')
    t.equal(events[2]?.id, String(id), 'the id of a message is its id')
    t.equal(events[0]?.id, undefined)
  })

  await fact(t, 'behind its cursor', async (t, { open, post }) => {
    const since = await post()
    await post()
    const { sink } = await open({ since })
    t.same(sink.seqs, [2])
  })

  await fact(t, 'with the word that something was lost', async (t, { open, post, clock }) => {
    const since = await post()
    await post({ expiresAt: NOON + 5 * SECOND })
    await post()
    await clock.advance(6 * SECOND)
    const { sink } = await open({ since })
    t.match(sink.dataOf('hello'), [{ reset: true, resetReason: 'expired' }])
    t.same(sink.seqs, [1, 3], 'and everything that is kept')
    await clock.advance(SECOND)
    t.equal(sink.bye, undefined, 'and goes on')
  })

  await fact(t, 'with everything, whatever the page', async (t, { open, post }) => {
    for (let n = 0; n < 200; n++) await post({ from: `sender${n % 4}` })
    const { sink } = await open()
    t.same(
      sink.seqs,
      Array.from({ length: 200 }, (_, at) => at + 1),
    )
    t.equal(sink.names.at(-1), 'heartbeat')
  })

  await fact(t, 'page by page behind a cursor, losing none', async (t, { open, post }) => {
    const since = await post()
    for (let n = 0; n < 200; n++) await post({ from: `sender${n % 4}` })
    const { sink } = await open({ since })
    t.same(
      sink.seqs,
      Array.from({ length: 200 }, (_, at) => at + 2),
    )
    t.equal(sink.dataOf('heartbeat').length, 1, 'one heartbeat, behind it all')
    t.equal(sink.names.at(-1), 'heartbeat')
  })
})

t.test('messages', async (t) => {
  await fact(t, 'are one write each, in order', async (t, { open, post, clock }) => {
    const { sink } = await open()
    const before = sink.writes.length
    for (let n = 0; n < 5; n++) await post()
    await clock.advance(0)
    t.same(sink.seqs, [1, 2, 3, 4, 5])
    t.equal(sink.writes.length, before + 5)
    for (const write of sink.writes.slice(before)) t.match(write, /^id: \d+\ndata: .*\n\n$/)
  })

  await fact(
    t,
    'are not acknowledged by being written',
    async (t, { open, post, store, clock }) => {
      const since = await post()
      await open({ since })
      await post()
      await clock.advance(SECOND)
      t.equal((await store.snapshot('bob', clock.now())).cursor, since, 'the one it came with is')
    },
  )

  await fact(t, 'are reported with their age', async (t, { open, post, clock, delivered }) => {
    await post()
    await clock.advance(3 * SECOND)
    await open()
    t.match(delivered, [{ transport: 'stream', ageMs: 3 * SECOND }])
  })
})

t.test('heartbeats', async (t) => {
  const range = (from: number, to: number, step: number) =>
    Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, at) => from + at * step)

  await fact(t, 'come every 15 s', async (t, { open, clock }) => {
    const { secondsOf } = await open()
    await clock.advance(61 * SECOND)
    t.same(secondsOf('heartbeat'), [0, 15, 30, 45, 60])
  })

  await fact(t, 'come every 2 s for 30 s at first', async (t, { open, clock }) => {
    const { secondsOf } = await open({ firstOfTicket: true })
    await clock.advance(76 * SECOND)
    t.same(secondsOf('heartbeat'), [...range(0, 30, 2), 45, 60, 75])
  })

  await fact(t, 'come every 2 s for 30 s after a message', async (t, { open, post, clock }) => {
    const { secondsOf } = await open()
    await clock.advance(20 * SECOND)
    await post()
    await clock.advance(57 * SECOND)
    t.same(secondsOf('heartbeat'), [0, 15, ...range(22, 50, 2), 65])
  })

  await fact(t, 'keep their pace while messages come', async (t, { open, post, clock }) => {
    const { secondsOf } = await open()
    for (let n = 0; n < 40; n++) {
      await post()
      await clock.advance(SECOND / 2)
    }
    const beats = secondsOf('heartbeat')
    const gaps = beats.slice(1).map((at, index) => at - (beats[index] as number))
    t.ok(Math.max(...gaps) <= 2.25, `at most a sweep late: ${gaps}`)
    t.ok(Math.min(...gaps) >= 2, 'and none too many')
  })

  await fact(t, 'carry the newest id', async (t, { open, post, clock, store }) => {
    const { sink } = await open()
    const id = await post()
    await clock.advance(2 * SECOND)
    t.match(sink.dataOf('heartbeat').at(-1), { cursor: id, newest: id })
    t.equal((await store.snapshot('bob', clock.now())).newest, id)
  })
})

t.test('the proof', async (t) => {
  await fact(t, 'comes after 250 ms, in its own write', async (t, { open, clock }) => {
    const { sink, secondsOf } = await open({ n: 'x1' })
    await clock.advance(249)
    t.same(secondsOf('proof'), [])
    await clock.advance(1)
    t.same(secondsOf('proof'), [0.25])
    t.equal(sink.writes.at(-1), 'event: proof\ndata: {"n":"x1"}\n\n')
  })

  await fact(t, 'reaches a poll with the same nonce', async (t, { open, hub, clock }) => {
    const poll = hub.open({ peer: 'bob', kind: 'poll', n: 'x1', expiresAt: NOON + MINUTE })
    await open({ n: 'x1' })
    t.equal(poll.proof, undefined)
    await clock.advance(250)
    t.equal(poll.proof, 'x1')
  })

  await fact(t, 'does not come once the stream is over', async (t, { open, hub, clock }) => {
    const poll = hub.open({ peer: 'bob', kind: 'poll', n: 'x1', expiresAt: NOON + MINUTE })
    const { read, secondsOf } = await open({ n: 'x1' })
    read.end('shutdown')
    await clock.advance(SECOND)
    t.same(secondsOf('proof'), [])
    t.equal(poll.proof, undefined)
  })
})

t.test('the warning before the token ends', async (t) => {
  await fact(t, 'comes 60 s before, once', async (t, { open, clock }) => {
    const { sink, secondsOf } = await open({ expiresAt: NOON + 100 * SECOND })
    await clock.advance(99 * SECOND)
    t.same(secondsOf('token-expiring'), [40])
    t.same(sink.dataOf('token-expiring'), [{ expiresInMs: 60_000 }])
  })

  await fact(t, 'comes at the opening where less is left', async (t, { open, clock }) => {
    const { sink, secondsOf } = await open({ expiresAt: NOON + 20 * SECOND })
    await clock.advance(10 * SECOND)
    t.same(secondsOf('token-expiring'), [0])
    t.same(sink.dataOf('token-expiring'), [{ expiresInMs: 20_000 }])
  })

  await fact(t, 'comes again for a fresh token', async (t, { open, hub, clock }) => {
    const { secondsOf } = await open({ expiresAt: NOON + 70 * SECOND })
    await clock.advance(30 * SECOND)
    hub.renew('bob', NOON + 170 * SECOND)
    await clock.advance(130 * SECOND)
    t.same(secondsOf('token-expiring'), [10, 110])
    t.same(secondsOf('bye'), [])
    await clock.advance(10 * SECOND)
    t.same(secondsOf('bye'), [170])
  })
})

t.test('the bye', async (t) => {
  const ends: Record<string, (streams: Streams, read: Read) => Promise<void>> = {
    shutdown: async ({ hub }) => hub.endAll('shutdown'),
    'session-ended': async ({ hub }) => hub.endPeer('bob', 'session-ended'),
    'too-many-reads': async ({ hub }) => {
      for (let n = 0; n < 8; n++) hub.open({ peer: 'bob', kind: 'poll', expiresAt: NOON + MINUTE })
    },
    'max-age': ({ clock }) => clock.advance(55 * SECOND),
    'token-expired': ({ clock }) => clock.advance(40 * SECOND),
    // A gap: the doorbell was lost, and when the stream looks the message is gone.
    'slow-reader': async ({ store, post, clock }) => {
      store.onRing = () => {}
      await post({ expiresAt: clock.now() + 5 * SECOND })
      await clock.advance(15 * SECOND)
    },
  }

  for (const reason of BYE_REASONS) {
    await fact(t, `says ${reason}, last`, async (t, streams) => {
      const expiresAt = NOON + (reason === 'token-expired' ? 40 : 600) * SECOND
      const { clock, open } = streams
      const { sink, read } = await open({ maxAgeMs: 55 * SECOND, expiresAt })
      t.equal(sink.bye, undefined)
      await ends[reason]?.(streams, read)
      await clock.advance(0)
      const retryAfterMs = { shutdown: 1500, 'too-many-reads': 5000 }[reason as string] ?? 0
      t.same(sink.dataOf('bye'), [{ reason, retryAfterMs }])
      t.equal(sink.names.at(-1), 'bye')
      t.equal(sink.ended, 'in order')
      await clock.advance(MINUTE)
      t.equal(sink.names.at(-1), 'bye', 'nothing is written behind it')
    })
  }

  await fact(t, 'spreads a shutdown over 3 s', async (t, { open, hub, clock }) => {
    const streams = await Promise.all([0, 0.25, 0.999].map((random) => open({ random })))
    hub.endAll('shutdown')
    await clock.advance(0)
    t.same(
      streams.map(({ sink }) => sink.bye?.['retryAfterMs']),
      [0, 750, 2997],
    )
  })

  await fact(
    t,
    'of a session that ended is not another',
    async (t, { open, post, hub, store, clock }) => {
      await store.touch({ peer: 'bob', guest: false, leaseMs: MINUTE, now: clock.now() })
      await post()
      await post({ to: 'dora' })
      await store.forget('dora', clock.now())
      const { sink } = await open()
      hub.endPeer('bob', 'session-ended')
      await store.forget('bob', clock.now())
      await clock.advance(0)
      t.match(sink.bye, { reason: 'session-ended' })
      t.match(store.stats(), { mailboxes: 0, bytes: 0 }, 'and no mailbox is made anew')
    },
  )

  await fact(t, 'comes to none whose client has gone', async (t, { open, clock }) => {
    const { sink, read } = await open()
    read.end('gone')
    await clock.advance(0)
    t.equal(sink.ended, 'destroyed')
    t.equal(sink.bye, undefined)
  })
})

t.test('a nudge', async (t) => {
  await fact(t, 'follows each event in a write of its own', async (t, { open, post, clock }) => {
    const { sink } = await open({ nudge: true })
    await post()
    await clock.advance(250)
    const kinds = sink.writes.map((text) => (text === ':\n' ? ':' : 'event'))
    const events = kinds.filter((kind) => kind === 'event').length
    t.equal(events, 4, 'hello, heartbeat, message, proof')
    t.equal(kinds.length - events, events, 'as many nudges')
    t.equal(kinds.at(-1), ':')
    t.same(sink.decoded.oddities, [])
  })

  await fact(t, 'comes a tick later', async (t, { open, clock }) => {
    const { sink } = await open({ nudge: true })
    const turns: number[] = []
    const write = sink.write.bind(sink)
    let turn = 0
    const count = () => {
      turn += 1
      if (turn < 50) setImmediate(count)
    }
    sink.write = (text) => {
      turns.push(turn)
      write(text)
    }
    setImmediate(count)
    await clock.advance(250)
    t.equal(turns.length, 2, 'the proof and its nudge')
    t.ok((turns[1] as number) > (turns[0] as number))
  })

  await fact(t, 'is not written behind the end', async (t, { open, post, hub, clock }) => {
    const { sink } = await open({ nudge: true })
    await post()
    // Promises only: the message is written, the tick of its nudge has not come.
    for (let n = 0; n < 30; n++) await null
    t.match(sink.writes.at(-1), /^id: /)
    hub.endAll('shutdown')
    await clock.advance(SECOND)
    t.match(sink.writes.at(-1), /bye/)
  })

  await fact(t, 'is not written without being asked for', async (t, { open, clock }) => {
    const { sink } = await open()
    await clock.advance(MINUTE)
    t.notOk(sink.writes.includes(':\n'))
  })
})

t.test('the sweep', async (t) => {
  await fact(t, 'is one timer for all streams, none without', async (t, { open, hub, clock }) => {
    await Promise.all([open(), open(), open()])
    await clock.advance(SECOND)
    t.equal(clock.waiting, 1)
    hub.endAll('shutdown')
    await clock.advance(SECOND)
    t.equal(clock.waiting, 0)
    await open()
    await clock.advance(16 * SECOND)
    t.equal(clock.waiting, 1, 'and begins again')
  })
})
