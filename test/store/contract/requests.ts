// Promises about requests with an idempotency key: every outcome, and for how long it is remembered
// (protocol section 3). What a repeated run keeps, and that it doubles nothing, is in mailboxes.ts,
// beside `append`.
import type { Test } from 'tap'
import type { Once } from '../../../src/store/store.ts'
import { NOON } from '../../helpers/clock.ts'
import { type Bench, type Build, type Fact, factsOf, MINUTE, SECOND } from './bench.ts'

const once: Once = { sender: 'alice', path: '/messages', key: 'k1', item: 0 }

export async function testRequests(t: Test, build: Build): Promise<void> {
  await t.test('outcomes', async (t) => outcomes(factsOf(t, build)))
  await t.test('partial answers', async (t) => partials(factsOf(t, build)))
  await t.test('memory', async (t) => memory(factsOf(t, build)))
}

const start = (bench: Bench, parts: Partial<Once> & { bodyHash?: string } = {}) =>
  bench.store.startRequest({ ...once, bodyHash: 'h1', now: bench.now, ...parts })

const finish = (
  bench: Bench,
  answer: string | undefined,
  { complete = true, ...parts }: Partial<Once> & { complete?: boolean } = {},
) => bench.store.finishRequest({ ...once, ...parts, answer, complete, now: bench.now })

async function outcomes(fact: Fact): Promise<void> {
  await fact('the first one runs', async (t, bench) => {
    t.same(await start(bench), { state: 'run' })
  })

  await fact('a repetition meanwhile is told to wait', async (t, bench) => {
    await start(bench)
    t.same(await start(bench), { state: 'running' })
    bench.now += 10 * SECOND - 1
    t.same(await start(bench), { state: 'running' })
  })

  await fact('an unfinished claim is free after 10 s', async (t, bench) => {
    await start(bench)
    bench.now += 10 * SECOND
    t.same(await start(bench), { state: 'run' })
    bench.now += 10 * SECOND - 1
    t.same(await start(bench), { state: 'running' }, 'and is then the claim of the second')
  })

  await fact('a repetition gets the answer', async (t, bench) => {
    await start(bench)
    await finish(bench, 'the answer')
    t.same(await start(bench), { state: 'replay', answer: 'the answer' })
    t.same(await start(bench), { state: 'replay', answer: 'the answer' }, 'however often')
  })

  await fact('another body with the same key is refused', async (t, bench) => {
    await start(bench)
    t.same(await start(bench, { bodyHash: 'h2' }), { state: 'reused' }, 'while it runs')
    await finish(bench, 'the answer')
    t.same(await start(bench, { bodyHash: 'h2' }), { state: 'reused' }, 'and when it is done')
    t.match(await start(bench), { state: 'replay' })
  })

  await fact('a failure gives the claim back', async (t, bench) => {
    await start(bench)
    await finish(bench, undefined)
    t.same(await start(bench), { state: 'run' })
    await finish(bench, undefined)
    t.same(await start(bench, { bodyHash: 'h2' }), { state: 'run' }, 'for any body')
  })

  await fact('another body after a failure is kept anew', async (t, bench) => {
    await start(bench)
    const [first] = await bench.post('bob', {}, { once })
    await finish(bench, undefined)
    t.same(await start(bench, { bodyHash: 'h2' }), { state: 'run' })
    const [second] = await bench.post('bob', {}, { once })
    t.notSame(second, first)
    t.same(await bench.seqs('bob'), [1, 2])
  })

  await fact('requests are told apart by sender, path and key', async (t, bench) => {
    const others = [{ sender: 'alice:x' }, { path: '/exchange' }, { key: 'k2' }]
    await start(bench)
    for (const other of others) t.same(await start(bench, other), { state: 'run' })
    await finish(bench, 'first')
    for (const other of others) t.same(await start(bench, other), { state: 'running' })
    for (const other of others) await finish(bench, JSON.stringify(other), other)
    t.match(await start(bench), { answer: 'first' })
    for (const other of others)
      t.match(await start(bench, other), { answer: JSON.stringify(other) })
  })

  await fact('two runs of one request keep each copy once', async (t, bench) => {
    await start(bench)
    await bench.post('bob', {}, { once })
    bench.now += 10 * SECOND
    t.match(await start(bench), { state: 'run' }, 'the first one hangs')
    await finish(bench, 'the first one is done')
    await bench.post(['bob', 'carol'], {}, { once })
    await bench.post(['bob', 'carol'], {}, { once })
    t.same(await bench.seqs('bob'), [1])
    t.same(await bench.seqs('carol'), [2])
  })

  await fact('finishing what was not started does nothing', async (t, bench) => {
    await finish(bench, 'x')
    t.same(await start(bench), { state: 'run' })
  })
}

async function partials(fact: Fact): Promise<void> {
  await fact('are at hand for the next run', async (t, bench) => {
    await start(bench)
    await finish(bench, 'one of two', { complete: false })
    t.same(await start(bench), { state: 'run', partial: 'one of two' })
    t.same(await start(bench), { state: 'running' })
    await finish(bench, 'both')
    t.same(await start(bench), { state: 'replay', answer: 'both' })
  })

  await fact('outlive a run that failed', async (t, bench) => {
    await start(bench)
    await finish(bench, 'one of two', { complete: false })
    await start(bench)
    await finish(bench, undefined)
    t.same(await start(bench), { state: 'run', partial: 'one of two' })
  })

  await fact('belong to their body', async (t, bench) => {
    await start(bench)
    await finish(bench, 'one of two', { complete: false })
    t.same(await start(bench, { bodyHash: 'h2' }), { state: 'reused' })
  })
}

async function memory(fact: Fact): Promise<void> {
  for (const swept of [true, false]) {
    await fact(`an answer is kept for 10 min (${swept ? '' : 'not '}swept)`, async (t, bench) => {
      await start(bench)
      await finish(bench, 'x')
      await bench.pass(10 * MINUTE - 1, { swept })
      t.match(await start(bench), { state: 'replay' })
      await bench.pass(SECOND, { swept })
      t.same(await start(bench, { bodyHash: 'h2' }), { state: 'run' })
    })
  }

  await fact('and for 256 newer keys of its sender', async (t, bench) => {
    const begin = async (key: string, sender = 'alice') => {
      await start(bench, { key, sender })
      await finish(bench, key, { key, sender })
    }
    await begin('first')
    for (let n = 0; n < 255; n++) await begin(`k${n}`)
    await begin('other', 'bob')
    t.match(await start(bench, { key: 'first' }), { state: 'replay' })
    await begin('last')
    t.same(await start(bench, { key: 'k0' }), { state: 'replay', answer: 'k0' })
    t.same(await start(bench, { key: 'first' }), { state: 'run' })
  })

  await fact('keys that are used anew are new ones', async (t, bench) => {
    await start(bench)
    await finish(bench, 'x')
    await bench.pass(10 * MINUTE, { swept: false })
    await start(bench)
    await finish(bench, 'y')
    await bench.pass(10 * MINUTE - SECOND)
    t.same(await start(bench), { state: 'replay', answer: 'y' })
    t.equal(bench.now, NOON + 20 * MINUTE - SECOND)
  })

  await fact('keys used anew stand behind older ones', async (t, bench) => {
    await start(bench, { key: 'again' })
    await bench.pass(SECOND)
    for (let n = 0; n < 200; n++) {
      await start(bench, { key: `k${n}` })
      await finish(bench, 'x', { key: `k${n}` })
    }
    await bench.pass(10 * MINUTE - SECOND, { swept: false })
    await start(bench, { key: 'again' })
    await finish(bench, 'y', { key: 'again' })
    for (let n = 0; n < 100; n++) await start(bench, { key: `l${n}` })
    t.same(await start(bench, { key: 'again' }), { state: 'replay', answer: 'y' })
  })
}
