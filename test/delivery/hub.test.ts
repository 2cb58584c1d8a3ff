// Reads and the doorbell: a ring is remembered until somebody waits for it, whatever else happens
// meanwhile; a mailbox has eight reads at most, on one node; ends are told once and the first
// reason counts.
import t from 'tap'
import { Hub, Read, type ReadOptions } from '../../src/delivery/hub.ts'
import { FakeClock, NOON, settle } from '../helpers/clock.ts'

const NEVER = Number.POSITIVE_INFINITY

const options = (parts: Partial<ReadOptions> = {}): ReadOptions => ({
  peer: 'bob',
  kind: 'poll',
  expiresAt: NEVER,
  ...parts,
})

/** Whether a wait is over by now. */
async function isOver(wait: Promise<void>): Promise<boolean> {
  let over = false
  wait.then(() => {
    over = true
  })
  await settle()
  return over
}

t.test('a wait', async (t) => {
  const clock = new FakeClock()

  t.test('ends with the next ring', async (t) => {
    const read = new Read(options())
    const wait = read.wait(clock)
    t.equal(await isOver(wait), false)
    read.ring()
    t.equal(await isOver(wait), true)
  })

  t.test('ends at once when the ring came before', async (t) => {
    const read = new Read(options())
    read.ring()
    read.ring()
    t.equal(await isOver(read.wait(clock)), true)
    t.equal(await isOver(read.wait(clock)), false, 'many rings are one')
  })

  t.test('ends when its time is over', async (t) => {
    const read = new Read(options())
    const wait = read.wait(clock, 1000)
    await clock.advance(999)
    t.equal(await isOver(wait), false)
    await clock.advance(1)
    t.equal(await isOver(wait), true)
    t.equal(clock.waiting, 0)
  })

  t.test('leaves no timer behind when it is rung', async (t) => {
    const read = new Read(options())
    const wait = read.wait(clock, 1000)
    t.equal(clock.waiting, 1)
    read.ring()
    await wait
    t.equal(clock.waiting, 0)
  })

  t.test('sets no timer without a time', async (t) => {
    const read = new Read(options())
    const wait = read.wait(clock)
    t.equal(clock.waiting, 0)
    read.ring()
    await wait
  })

  t.test('a ring after its time counts for the next', async (t) => {
    const read = new Read(options())
    const wait = read.wait(clock, 10)
    await clock.advance(10)
    await wait
    read.ring()
    t.equal(await isOver(read.wait(clock)), true)
  })

  t.test('ends with the read', async (t) => {
    const read = new Read(options())
    const wait = read.wait(clock)
    read.end('shutdown')
    t.equal(await isOver(wait), true)
    read.end('max-age')
    t.equal(read.ended, 'shutdown', 'the first reason counts')
  })
})

t.test('a ring', async (t) => {
  t.test('wakes every read of its mailbox and no other', async (t) => {
    const hub = new Hub()
    const clock = new FakeClock()
    const reads = [
      hub.open(options()),
      hub.open(options({ kind: 'stream' })),
      hub.open(options({ peer: 'carol' })),
      hub.open(options({ peer: 'bob:phone' })),
    ]
    const waits = reads.map((read) => isOver(read.wait(clock)))
    hub.ring('bob')
    t.same(await Promise.all(waits), [true, true, false, false])
  })

  t.test('for nobody does nothing', async (t) => {
    const hub = new Hub()
    hub.ring('nobody')
    t.same([...hub.peers()], [])
  })

  t.test('for all wakes all', async (t) => {
    const hub = new Hub()
    const clock = new FakeClock()
    const reads = ['bob', 'carol'].map((peer) => hub.open(options({ peer })))
    const waits = reads.map((read) => isOver(read.wait(clock)))
    hub.ringAll()
    t.same(await Promise.all(waits), [true, true])
  })

  t.test('does not reach a closed read', async (t) => {
    const hub = new Hub()
    const read = hub.open(options())
    hub.close(read)
    hub.ring('bob')
    t.equal(await isOver(read.wait(new FakeClock())), false)
  })
})

t.test('a mailbox', async (t) => {
  t.test('has eight reads; a ninth ends the oldest', async (t) => {
    const hub = new Hub()
    const reads = Array.from({ length: 8 }, () => hub.open(options()))
    hub.open(options({ peer: 'carol' }))
    t.same(
      reads.map(({ ended }) => ended),
      Array(8).fill(undefined),
    )
    reads.push(hub.open(options({ kind: 'stream' })))
    t.equal(reads[0]?.ended, 'too-many-reads')
    t.equal(reads.filter(({ ended }) => ended).length, 1)
    reads.push(hub.open(options()))
    t.equal(reads[1]?.ended, 'too-many-reads', 'a tenth the next, before the first is closed')
    t.equal(reads.filter(({ ended }) => ended).length, 2)
  })

  t.test('does not count reads that are over', async (t) => {
    const hub = new Hub()
    const reads = Array.from({ length: 8 }, () => hub.open(options()))
    reads[5]?.end('gone')
    hub.open(options())
    t.same(
      reads.map(({ ended }) => ended),
      [...Array(5).fill(undefined), 'gone', undefined, undefined],
    )
  })

  t.test('is forgotten with its last read', async (t) => {
    const hub = new Hub()
    const [first, second] = [hub.open(options()), hub.open(options({ kind: 'stream' }))]
    t.same([hub.count('poll'), hub.count('stream')], [1, 1])
    hub.close(first)
    t.same([...hub.peers()], ['bob'])
    hub.close(second)
    hub.close(second)
    t.same([...hub.peers()], [])
    t.same([hub.count('poll'), hub.count('stream')], [0, 0])
  })
})

t.test('ending a peer ends its reads only', async (t) => {
  const hub = new Hub()
  const [mine, other] = [hub.open(options()), hub.open(options({ peer: 'carol' }))]
  hub.endPeer('bob', 'session-ended')
  t.same([mine.ended, other.ended], ['session-ended', undefined])
  hub.endAll('shutdown')
  t.same([mine.ended, other.ended], ['session-ended', 'shutdown'])
})

t.test('a proof', async (t) => {
  t.test('reaches held polls of the same peer and nonce', async (t) => {
    const hub = new Hub()
    const clock = new FakeClock()
    const polls = [
      hub.open(options({ n: 'x' })),
      hub.open(options({ n: 'y' })),
      hub.open(options()),
      hub.open(options({ peer: 'carol', n: 'x' })),
      hub.open(options({ kind: 'stream', n: 'x' })),
    ]
    const waits = polls.map((read) => isOver(read.wait(clock)))
    hub.prove(hub.open(options({ kind: 'stream', n: 'x' })))
    t.same(await Promise.all(waits), [true, false, false, false, false])
    t.same(
      polls.map(({ proof }) => proof),
      ['x', undefined, undefined, undefined, undefined],
    )
  })

  t.test('without a nonce proves nothing', async (t) => {
    const hub = new Hub()
    const poll = hub.open(options())
    hub.prove(hub.open(options({ kind: 'stream' })))
    t.equal(poll.proof, undefined)
  })
})

t.test('a fresh token carries reads on', async (t) => {
  const hub = new Hub()
  const clock = new FakeClock()
  const [read, other] = [
    hub.open(options({ expiresAt: NOON + 1000 })),
    hub.open(options({ peer: 'carol', expiresAt: NOON + 1000 })),
  ]
  const wait = isOver(read.wait(clock))
  hub.renew('bob', NOON + 5000)
  t.equal(await wait, true, 'they look again')
  t.equal(read.expiresAt, NOON + 5000)
  hub.renew('bob', NOON + 2000)
  t.equal(read.expiresAt, NOON + 5000, 'an older one takes nothing away')
  t.equal(other.expiresAt, NOON + 1000)
})
