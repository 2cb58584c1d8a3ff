// README.md and docs/ say what the code does, in both directions: every code, event, reason, limit,
// path, setting and metric that exists is documented with its number, and nothing else is. Links
// resolve, and docs/problems.md is what scripts/write-docs.mjs makes of the source.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { readConfig, SETTINGS } from '../../src/config/config.ts'
import type { Setting } from '../../src/config/settings.ts'
import { ProblemError } from '../../src/core/errors.ts'
import { toJson } from '../../src/http/openapi.ts'
import { problemBody } from '../../src/http/plugins/problems.ts'
import { PROBLEM_HELP } from '../../src/http/problem-page.ts'
import { clientLimits, LIMITS } from '../../src/protocol/limits.ts'
import {
  BYE_REASONS,
  CHECKED_TYPES,
  DURABILITIES,
  LEAVE_REASONS,
  PROBLEMS,
  RESET_REASONS,
  SERVER_TYPES,
  STREAM_EVENTS,
} from '../../src/protocol/names.ts'
import { buildForDocument, buildServer, startServer } from '../../src/server.ts'
import {
  readAnchors,
  readBlocks,
  readCodes,
  readLinks,
  readTable,
  withoutBlocks,
} from './markdown.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGES = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
].filter((name) => name.endsWith('.md'))
const config = { ...readConfig([], {}), port: 0, logLevel: 'silent' as const }

const read = (page: string) => readFileSync(join(ROOT, page), 'utf8')
const readme = read('README.md')
const protocol = read('docs/protocol.md')
const operating = read('docs/operating.md')

const sorted = (texts: Iterable<string>) => [...texts].sort()
const column = (rows: string[][], index: number) =>
  rows.flatMap((row) => readCodes(row[index] ?? ''))

// A program, so it has no types.
const { problemsPage } = await import(new URL('../../scripts/write-docs.mjs', import.meta.url).href)

let running: ReturnType<typeof startServer> | undefined
t.teardown(async () => (await running)?.stop({ quick: true }))

/** A server for all tests. @returns its address */
async function serve(): Promise<string> {
  running ??= startServer(config)
  return (await running).url
}

// ── Names ────────────────────────────────────────────────────────────────────────────────────────

t.test('problem codes have their statuses', async (t) => {
  const statuses = Object.entries(PROBLEMS).map(([code, { status }]) => `${status} ${code}`)
  for (const page of [protocol, read('docs/problems.md')]) {
    const documented = readTable(page, 'status').flatMap(([status = '', codes = '']) =>
      readCodes(codes).map((code) => `${status} ${code}`),
    )
    t.same(sorted(documented), sorted(statuses))
  }
})

t.test('problem codes in running text exist', async (t) => {
  const known = new Set([...Object.keys(PROBLEMS), 'internal'])
  for (const page of PAGES) {
    // `404 peer-not-found`
    for (const [, status, code = ''] of read(page).matchAll(/`([45]\d\d) ([a-z-]+)`/g)) {
      t.ok(known.has(code), `${page}: ${code}`)
      t.equal(PROBLEMS[code as keyof typeof PROBLEMS]?.status, Number(status), `${page}: ${code}`)
    }
  }
})

t.test('stream events and reasons are listed', async (t) => {
  t.same(column(readTable(protocol, 'event'), 0), STREAM_EVENTS)
  t.same(column(readTable(protocol, 'reason of `bye`'), 0), BYE_REASONS)
  t.same(column(readTable(protocol, '`resetReason`'), 0), RESET_REASONS)
  t.same(column(readTable(protocol, 'reason of `peer-left`'), 0), LEAVE_REASONS)
})

t.test('signal types are listed', async (t) => {
  const types = new Set(column(readTable(protocol, 'type'), 0))
  t.same(sorted(types), sorted([...CHECKED_TYPES, ...SERVER_TYPES]))
})

t.test('durabilities are listed', async (t) => {
  const [last = '', ...first] = [...DURABILITIES].reverse().map((name) => `\`${name}\``)
  t.match(protocol, `\`durability\` is ${first.reverse().join(', ')} or ${last}`)
})

t.test('response headers that scripts see are listed', async (t) => {
  const response = await fetch(`${await serve()}/session`, {
    headers: { Origin: 'https://a.example' },
  })
  const exposed = (response.headers.get('access-control-expose-headers') ?? '').split(', ')
  const documented = new Set(column(readTable(protocol, 'response header'), 0))
  for (const name of exposed) t.ok(documented.has(name), name)
})

// ── Limits ───────────────────────────────────────────────────────────────────────────────────────

const UNITS: Record<string, number> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  days: 86_400_000,
}

/** `64 KiB`, `10 min` or `1,024` as a number, in the unit at the end of the limit's name. */
function toNumber(text: string): number {
  const [digits = '', unit] = text.split(' ')
  const number = Number(digits.replaceAll(',', ''))
  return unit === undefined ? number : number * (UNITS[unit] ?? Number.NaN)
}

t.test('limits have their numbers', async (t) => {
  const { messageTtlMs, rateLimit } = config
  const told = clientLimits({ messageTtlMs, rateLimit })
  const numbers = { ...LIMITS, ...told }
  const rows = readTable(protocol, 'name')
  const documented = rows.map(([name = '', number = '']) => [readCodes(name)[0], toNumber(number)])
  t.same(Object.fromEntries(documented), numbers)
  const names = column(
    rows.filter(({ length }) => length === 4),
    0,
  )
  t.same(names, Object.keys(told), 'those that clients are told are in the first table')
})

// ── Paths ────────────────────────────────────────────────────────────────────────────────────────

interface Operation {
  security: unknown[]
  requestBody?: unknown
  parameters?: { name: string }[]
  responses: Record<string, { description: string }>
}

const COMMON = {
  body: ['invalid-json', 'invalid-request', 'too-large', 'unsupported-media-type'],
  token: ['token-missing', 'token-invalid', 'token-expired', 'store-unavailable', 'store-full'],
  read: ['ticket-unknown', 'invalid-request'],
}

const app = await buildForDocument()
const openapi = JSON.parse(toJson(app, '3.0.3')) as {
  paths: Record<string, Record<string, Operation>>
}
await app.close()

/** One line for an operation, as the table has it. */
function describeOperation(method: string, path: string, operation: Operation): string {
  const { responses, security, requestBody, parameters = [] } = operation
  const isRead = parameters.some(({ name }) => name === 'ticket')
  const isSecured = security.length > 0
  const common = new Set([
    ...(requestBody ? COMMON.body : []),
    ...(isSecured ? COMMON.token : []),
    ...(isRead ? COMMON.read : []),
  ])
  const refusals = Object.keys(responses).filter((status) => !status.startsWith('2'))
  const codes = refusals.flatMap((status) => readCodes(responses[status]?.description ?? ''))
  const isMissing = [...common].some((code) => !codes.includes(code))
  const own = sorted(codes.filter((code) => !common.has(code)))
  const who = isRead ? 'token or ticket' : isSecured ? 'token' : 'anybody'
  const success = Object.keys(responses).find((status) => status.startsWith('2'))
  return `${method.toUpperCase()} ${path} ${who} ${success} ${own}${isMissing ? ' without the common ones' : ''}`
}

t.test('paths have their statuses and problems', async (t) => {
  const documented = readTable(protocol, 'method').map(
    ([method, path = '', who = '', success, codes = '']) =>
      `${method} ${readCodes(path)} ${who.replace(', also late', '')} ${success} ${sorted(readCodes(codes))}`,
  )
  const operations = Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) =>
      describeOperation(method, path, operation),
    ),
  )
  t.same(sorted(documented), sorted(operations))
})

t.test('pages and documents are there', async (t) => {
  for (const path of column(readTable(protocol, 'path'), 0)) {
    const { status } = await fetch(`${await serve()}${path}`)
    t.equal(status, path === '/metrics' ? 404 : 200, path)
  }
})

// ── Settings, metrics, source ────────────────────────────────────────────────────────────────────

t.test('settings have their variables and defaults', async (t) => {
  const settings: readonly Setting[] = Object.values(SETTINGS)
  const rows = readTable(readme, 'flag')
  const all = readTable(read('docs/configuration.md'), 'flag')
  t.same(sorted(column(all, 0)), sorted(settings.map(({ flag }) => flag)))
  for (const [flag = '', variables = '', standard = ''] of [...rows, ...all]) {
    const setting = settings.find((candidate) => candidate.flag === readCodes(flag)[0])
    t.same(readCodes(variables), setting?.variables, flag)
    t.equal(standard.replaceAll('`', ''), setting?.default ?? setting?.unset, `default of ${flag}`)
  }
})

t.test('flags and variables in running text exist', async (t) => {
  const known = Object.values(SETTINGS).flatMap(({ flag, variables }) => [flag, ...variables])
  const ofToken = ['--peer', '--rooms', '--direct', '--create', '--ttl']
  const ofOthers = ['--help', '--version', '--json', '--max-time', '--disable-coverage', '--flag']
  const others = [...ofToken, ...ofOthers, '--max-old-space-size']
  for (const page of PAGES) {
    const named = read(page).matchAll(/(?<![\w-])--[a-z]+(-[a-z]+)*|POSTHORN_[A-Z_]*[A-Z]/g)
    const unknown = [...named]
      .map(([name]) => name)
      .filter((name) => ![...known, ...others].includes(name))
    t.same(unknown, [], page)
  }
})

t.test('metrics are listed', async (t) => {
  const { app, context } = await buildServer(config)
  const existing = context.metrics.registry.getMetricsAsArray().map(({ name }) => name)
  await app.close()
  const documented = column(readTable(operating, 'metric'), 0)
  t.same(
    existing.filter((name) => !documented.includes(name)),
    [],
    'each has a row',
  )
  // Elsewhere the system tells less.
  const own = documented.filter((name) => process.platform === 'linux' || /^posthorn_/.test(name))
  t.same(
    own.filter((name) => !existing.includes(name)),
    [],
    'each row has one',
  )
  const named = [...operating.matchAll(/\b(posthorn|nodejs|process)_[a-z0-9_]+/g)]
  t.same(
    named.map(([name]) => name).filter((name) => !documented.includes(name)),
    [],
    'so has each that is named',
  )
})

t.test('the map of the source names every folder', async (t) => {
  const folders = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${join(entry.parentPath, entry.name).slice(ROOT.length + 1)}/`)
  const named = column(readTable(readme, 'folder'), 0).concat(
    ...readTable(readme, 'folder').map((row) => readCodes(row[1] ?? '')),
  )
  t.same(sorted(named.filter((name) => name.endsWith('/'))), sorted(['src/', ...folders]))
})

t.test('scripts of npm that are named exist', async (t) => {
  const { scripts } = JSON.parse(read('package.json'))
  for (const page of PAGES) {
    for (const [, name = ''] of read(page).matchAll(/npm (?:run )?(start|test|(?<=run )[a-z]+)/g)) {
      t.ok(Object.hasOwn(scripts, name), `${page}: npm run ${name}`)
    }
  }
})

t.test('files that are named exist', async (t) => {
  for (const page of PAGES) {
    const named = readCodes(withoutBlocks(read(page))).filter((name) =>
      /^(src|scripts|test|docs)\/[\w./-]+$/.test(name),
    )
    t.same(
      named.filter((name) => !existsSync(join(ROOT, name))),
      [],
      page,
    )
  }
})

// ── Links ────────────────────────────────────────────────────────────────────────────────────────

/** Does a link of a page lead somewhere in this repository, or out of it? */
function resolves(page: string, link: string): boolean {
  if (/^https?:/.test(link)) return true
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page : join(dirname(page), path)
  if (!existsSync(join(ROOT, target))) return false
  return anchor === undefined || readAnchors(read(target)).has(anchor)
}

t.test('links resolve', async (t) => {
  for (const page of PAGES) {
    const links = readLinks(read(page))
    t.same(
      links.filter((link) => !resolves(page, link)),
      [],
      page,
    )
  }
})

t.test('JSON in docs/protocol.md is JSON', async (t) => {
  for (const { language, text, line } of readBlocks(protocol)) {
    if (language === 'json') t.doesNotThrow(() => JSON.parse(text), `line ${line}`)
  }
})

// ── Problems ─────────────────────────────────────────────────────────────────────────────────────

t.test('docs/problems.md is not stale', async (t) => {
  const isFresh = read('docs/problems.md') === problemsPage(PROBLEMS, PROBLEM_HELP)
  t.ok(isFresh, 'else: npm run build && node scripts/write-docs.mjs')
})

t.test('the type of a problem leads to its explanation', async (t) => {
  const base = await serve()
  const refusal = await fetch(`${base}/nowhere`)
  const { type } = (await refusal.json()) as { type: string }
  t.equal(type, `${base}/problems#not-found`)
  for (const code of Object.keys(PROBLEMS) as (keyof typeof PROBLEMS)[]) {
    const url = new URL(problemBody(new ProblemError(code), 'x', base).type)
    const page = await (await fetch(url)).text()
    t.match(page, `id="${url.hash.slice(1)}"`, code)
    t.ok(page.includes(PROBLEM_HELP[code]), `${code} is explained`)
  }
})
