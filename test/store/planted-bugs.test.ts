// The model of a mailbox finds what it is there to find: stores with one planted bug each. One that
// passed unnoticed would mean that the real store is not looked at there either. (The planted order
// of listening and reading is in delivery/lost-wake-up.test.ts.)
import t from 'tap'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { isRefuted } from '../helpers/properties.ts'
import { mailboxProperty } from './contract/model.ts'

const MIB = 1024 * 1024

type Read = Store['readSince']
type Append = Store['append']

/** The store, with some methods that behave otherwise. */
function replace(store: Store, methods: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const method = methods[name as keyof Store] ?? target[name as keyof Store]
      return typeof method === 'function' ? (method as Read).bind(target) : method
    },
    set: (target, name, value) => Reflect.set(target, name, value),
  })
}

const reading =
  (spoil: (page: Awaited<ReturnType<Read>>, since: number) => object) => (store: Store) =>
    replace(store, {
      readSince: async (step) => {
        const page = await store.readSince(step)
        return { ...page, ...spoil(page, step.since) }
      },
    })

const asking = (spoil: (step: Parameters<Read>[0]) => Parameters<Read>[0]) => (store: Store) =>
  replace(store, { readSince: (step) => store.readSince(spoil(step)) })

const appending =
  (spoil: (store: Store, step: Parameters<Append>[0]) => ReturnType<Append>) => (store: Store) =>
    replace(store, { append: (step) => spoil(store, step) })

const bugs: Record<string, (store: Store) => Store> = {
  'gives the cursor itself again': asking((step) =>
    step.since > 0 ? { ...step, since: step.since - 1 } : step,
  ),
  'goes on behind what it left out': reading((page) => ({ cursor: page.newest })),
  'leaves out the oldest': reading(({ entries }) => ({
    entries: entries.length > 1 ? entries.slice(1) : entries,
  })),
  'gives them in another order': reading(({ entries }) => ({ entries: entries.toReversed() })),
  'tells of no loss': reading(() => ({ reset: undefined })),
  'tells of a loss that was none': reading(({ entries, reset }, since) => ({
    reset: reset ?? (since > 0 && entries.length === 0 ? 'expired' : undefined),
  })),
  'takes a cursor ahead for idle': reading(({ reset, newest }, since) =>
    reset === 'cursor-ahead' ? { reset: undefined, entries: [], cursor: since, newest } : {},
  ),
  'tells of a loss twice': reading(({ reset, cursor }, since) => ({
    cursor: reset === 'expired' ? since : cursor,
  })),
  'gives what has expired': asking((step) => ({ ...step, now: step.now - 1 })),
  'lets expire what has not': asking((step) => ({ ...step, now: step.now + 2000 })),
  'acknowledges what was not presented': asking((step) => ({ ...step, acknowledge: true })),
  'forgets what was acknowledged': asking((step) => ({ ...step, acknowledge: false })),
  'cuts what is read from zero': reading(({ entries }, since) =>
    since === 0 ? { entries: entries.slice(0, 100) } : {},
  ),
  'drops the oldest where it must refuse': appending(async (store, step) => {
    const kept = await store.append(step)
    const [first] = kept
    if (!first || 'id' in first) return kept
    const { to: peer } = first
    const { cursor: since } = await store.readSince({
      peer,
      since: 0,
      limit: 1,
      acknowledge: false,
      now: step.now,
    })
    await store.readSince({ peer, since, limit: 1, acknowledge: true, now: step.now })
    return store.append(step)
  }),
  'keeps a letter twice': appending(async (store, step) => {
    await store.append(step)
    return store.append(step)
  }),
  'says kept and keeps nothing': appending(async (store, step) => {
    const kept = await store.append({ ...step, to: ['elsewhere'] })
    return kept.map((copy) => ({ ...copy, to: step.to[0] as string }))
  }),
}

for (const [name, plant] of Object.entries(bugs)) {
  t.test(`a store that ${name}`, async (t) => {
    const build = async ({ now }: { now: number }) => new MemoryStore({ now, bytesMax: 64 * MIB })
    const property = await mailboxProperty(build, plant)
    await isRefuted(t, property, { runs: 1000, what: 'is found out' })
  })
}
