// Style as tests: which layer may import which (the picture in docs: arrows never point back), one
// package one door, sizes, names. Exceptions are listed, and a listed one that is none any more is
// a failure too, so that the lists only get shorter.
import t from 'tap'
import { isIn, parseSource, readSources, type Source } from './helpers/sources.ts'

const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 70

/** What the files of a place may import of our own. The first place that fits counts. */
const LAYERS: [place: string, mayImport: string[]][] = [
  ['protocol/names.ts', []],
  ['protocol/', ['protocol/']],
  ['core/', ['core/', 'protocol/']],
  ['store/store.ts', ['core/', 'protocol/']],
  ['store/', ['store/', 'core/', 'protocol/']],
  ['delivery/', ['delivery/', 'store/store.ts', 'core/', 'protocol/']],
  ['auth/', ['auth/', 'core/', 'protocol/']],
  [
    'signaling/',
    ['signaling/', 'delivery/hub.ts', 'auth/', 'store/store.ts', 'core/', 'protocol/'],
  ],
  ['http/', ['http/', 'signaling/', 'delivery/', 'auth/', 'store/store.ts', 'core/', 'protocol/']],
  ['config/', ['config/', 'core/', 'protocol/']],
  [
    'server.ts',
    [
      'config/',
      'http/',
      'signaling/',
      'delivery/',
      'auth/',
      'store/memory.ts',
      'store/store.ts',
      'core/',
      'protocol/',
    ],
  ],
  ['cli.ts', ['server.ts', 'config/', 'core/', 'protocol/']],
  ['index.ts', ['server.ts', 'config/']],
  ['demo/browser/', ['demo/browser/', 'protocol/names.ts']],
]

/** Below the store, layers know each other by their types alone. */
const TYPES_ONLY: [place: string, target: string][] = [
  ['delivery/', 'store/store.ts'],
  ['signaling/', 'store/store.ts'],
  ['signaling/', 'delivery/hub.ts'],
  ['signaling/', 'auth/'],
  ['http/', 'store/store.ts'],
]

/** The doors of each package. A package that is not here is not used. */
const DOORS: Record<string, string[]> = {
  '@fastify/cors': ['http/'],
  '@fastify/swagger': ['http/'],
  '@fastify/swagger-ui': ['http/'],
  '@sinclair/typebox': ['protocol/', 'http/'],
  'better-sse': ['delivery/frames.ts'],
  fastify: ['http/'],
  jose: ['auth/', 'cli.ts'],
  'lru-cache': ['store/memory.ts', 'auth/tokens.ts'],
  'node:fs': ['config/', 'cli.ts', 'server.ts', 'http/routes/pages.ts'],
  'prom-client': ['http/plugins/metrics.ts'],
}

/** No I/O, no clock, no random number. */
const NODE_FREE = ['core/', 'protocol/', 'demo/browser/', 'store/']

/** Known exceptions; take them off when they are none any more. */
const LARGE_FILES = ['store/memory.ts']
/** Lists of routes and of metrics, which have no steps. */
const LONG_FUNCTIONS = [
  'http/plugins/metrics.ts collectMetrics',
  'http/routes/messages.ts messageRoutes',
  'http/routes/rooms.ts roomRoutes',
  'http/routes/sessions.ts sessionRoutes',
]
/** A page has no other log. */
const CONSOLES = ['cli.ts', 'demo/browser/call.ts']

const sources = readSources()

const ruleOf = (path: string) => LAYERS.find(([place]) => isIn(path, place))

/** What a file imports of our own although it may not. */
const trespasses = ({ path, imports }: Source): string[] =>
  imports
    .filter(
      ({ isPackage, target }) =>
        !isPackage && !ruleOf(path)?.[1].some((place) => isIn(target, place)),
    )
    .map(({ target }) => `${path} → ${target}`)

/** Packages that come in by another door. Where the server is put together, types may be named. */
const sideDoors = ({ path, imports }: Source): string[] =>
  imports
    .filter(
      ({ isPackage, target }) => isPackage && (!target.startsWith('node:') || target in DOORS),
    )
    .filter(({ isType }) => !(isType && path === 'server.ts'))
    .filter(({ target }) => !DOORS[target]?.some((door) => isIn(path, door)))
    .map(({ target }) => `${path} → ${target}`)

t.test('the rules see what they forbid', async (t) => {
  const breaks = (path: string, text: string) => {
    const source = parseSource(path, text)
    return [...trespasses(source), ...sideDoors(source)]
  }
  const store = "import { MemoryStore } from '../store/memory.ts'"
  t.same(breaks('signaling/x.ts', store), ['signaling/x.ts → store/memory.ts'])
  t.same(breaks('core/x.ts', "import type { A } from '../store/store.ts'").length, 1)
  t.same(breaks('core/x.ts', "const x = await import('../server.ts')").length, 1)
  t.same(breaks('core/x.ts', "export { a } from '../http/app.ts'").length, 1)
  t.same(breaks('core/x.ts', "let a: import('../http/app.ts').A").length, 1)
  t.same(breaks('signaling/x.ts', "import { type A } from 'fastify'").length, 1)
  t.same(breaks('http/plugins/x.ts', "import type { A } from 'fastify'"), [])
  t.same(breaks('http/plugins/x.ts', "import x from 'left-pad'").length, 1)
  t.same(breaks('delivery/x.ts', "import { x } from 'better-sse'").length, 1)
  t.same(breaks('demo/browser/x.ts', "import { x } from '../../protocol/limits.ts'").length, 1)
  t.same(breaks('protocol/names.ts', "import { x } from './limits.ts'").length, 1)
  t.same(breaks('server.ts', "import type { FastifyInstance } from 'fastify'"), [])
  const text = `export default 1\nfunction long() {${'\n'.repeat(70)}}`
  const { hasDefaultExport, functions } = parseSource('x.ts', text)
  t.same([hasDefaultExport, functions], [true, [{ name: 'long', lines: 71 }]])
})

t.test('every file belongs to a layer', async (t) => {
  t.ok(sources.length > 40, `${sources.length} files`)
  t.same(
    sources.filter(({ path }) => !ruleOf(path)).map(({ path }) => path),
    [],
  )
})

t.test('arrows never point back', async (t) => {
  t.same(sources.flatMap(trespasses), [])
})

t.test('only server.ts chooses a store', async (t) => {
  const choosing = sources.filter(({ path, imports }) => {
    const isStore = path.startsWith('store/')
    return !isStore && imports.some(({ target }) => target.startsWith('store/memory'))
  })
  t.same(
    choosing.map(({ path }) => path),
    ['server.ts'],
  )
})

t.test('layers know the one below by its types', async (t) => {
  const found = TYPES_ONLY.flatMap(([place, target]) =>
    sources
      .filter(({ path }) => isIn(path, place))
      .flatMap(({ path, imports }) =>
        imports
          .filter((one) => !one.isPackage && isIn(one.target, target) && !one.isType)
          .map((one) => `${path} → ${one.target}`),
      ),
  )
  t.same(found, [])
})

t.test('no file imports itself in a circle', async (t) => {
  const targets = new Map(
    sources.map(({ path, imports }) => [
      path,
      imports.filter(({ isPackage, isType }) => !isPackage && !isType).map(({ target }) => target),
    ]),
  )
  const reaches = (from: string, seen = new Set<string>()): Set<string> => {
    for (const target of targets.get(from) ?? []) {
      if (!seen.has(target)) reaches(target, seen.add(target))
    }
    return seen
  }
  t.same(
    sources.filter(({ path }) => reaches(path).has(path)).map(({ path }) => path),
    [],
  )
})

t.test('one package, one door', async (t) => {
  t.same(sources.flatMap(sideDoors), [])
  const used = new Set(sources.flatMap(({ imports }) => imports.map(({ target }) => target)))
  t.same(
    Object.keys(DOORS).filter((name) => !used.has(name)),
    [],
    'and none without use',
  )
})

t.test('rules and state use nothing of Node', async (t) => {
  const found = sources
    .filter(({ path }) => NODE_FREE.some((place) => isIn(path, place)))
    .flatMap(({ path, imports }) =>
      imports
        .filter(({ target }) => target.startsWith('node:'))
        .map(({ target }) => `${path} → ${target}`),
    )
  t.same(found, [])
  const impure = /\bDate\.now\b|\bMath\.random\b|\bperformance\.|\bsetTimeout\b|\bcrypto\./
  t.same(
    sources
      .filter(({ path, text }) => /^(core|protocol|store)\//.test(path) && impure.test(text))
      .map(({ path }) => path),
    ['core/clock.ts'],
    'time and chance are arguments',
  )
})

t.test('exports have names', async (t) => {
  t.same(
    sources.filter(({ hasDefaultExport }) => hasDefaultExport).map(({ path }) => path),
    [],
  )
})

t.test('only the command line writes to the console', async (t) => {
  const writing = sources.filter(({ text }) => /\bconsole\s*\./.test(text))
  t.same(
    writing.map(({ path }) => path),
    CONSOLES,
  )
})

t.test(`files have ${FILE_LINES_MAX} lines at most`, async (t) => {
  const large = sources.filter(({ lines }) => lines > FILE_LINES_MAX)
  t.same(
    large.map(({ path }) => path),
    LARGE_FILES,
  )
})

t.test(`functions have ${FUNCTION_LINES_MAX} lines at most`, async (t) => {
  const long = sources.flatMap(({ path, functions }) =>
    functions
      .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
      .map(({ name }) => `${path} ${name}`),
  )
  t.same(long, LONG_FUNCTIONS)
})

t.test('nothing is left to do', async (t) => {
  t.same(
    sources.filter(({ text }) => /\b(TODO|FIXME|XXX|HACK)\b/.test(text)).map(({ path }) => path),
    [],
  )
})
