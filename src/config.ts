// Everything that can be set. `SETTINGS` has one row per setting; flags, environment variables,
// defaults and the help text all come from it, and a test compares docs/configuration.md with it.
// Invariant: a Config is right as a whole or is not made. ConfigError names all that is wrong at
// once and never repeats what a secret, a file or a URL holds.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { createSecureContext } from 'node:tls'

const SECRET_BYTES_MIN = 32
const KIB = 1024
const SIZE_UNITS = { '': 1, KiB: KIB, MiB: KIB ** 2, GiB: KIB ** 3 }
const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const DURATION_MIN_MS = 1000
/** Less is a forgotten unit: `512` for `512MiB`. */
const MEMORY_BYTES_MIN = KIB
const MEMORY_BYTES_MAX = 1024 * KIB ** 3
const RATE_MAX = 1_000_000
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const PROXY_RANGES = ['loopback', 'linklocal', 'uniquelocal']

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

export interface Config {
  host: string
  port: number
  /** `''` or `/x`, never with a slash at its end. */
  basePath: string
  /** Left out: the server makes a random one. */
  secret?: string
  jwksUrl?: string
  issuer?: string
  audience?: string
  guests: boolean
  corsOrigins: '*' | string[]
  /** Addresses, CIDR ranges and the names `loopback`, `linklocal`, `uniquelocal`. */
  trustProxy: string[]
  memoryMaxBytes: number
  turnUrls: string[]
  turnSecret?: string
  /** Signals a second; 0 = no limit. */
  rateLimit: number
  leaseMs: number
  streamMaxAgeMs: number
  messageTtlMs: number
  ringTimeMs: number
  /** PEM texts, not paths. */
  tls?: { cert: string; key: string }
  logLevel: (typeof LOG_LEVELS)[number]
  metricsToken?: string
}

export interface Setting<T = unknown> {
  flag: string
  /** Of a file setting: the first names the file, the second holds the text itself. */
  variables: readonly string[]
  meaning: string
  /** What counts when nothing is given ... */
  default?: string
  /** ... or, where that is no plain text, what the help says about it. */
  unset?: string
  /** Is the text to be read from the file that is named? */
  isFile?: boolean
  /** A flag without a value? */
  isSwitch?: boolean
  /** @throws ConfigError whose problems say what the text must be, without naming the setting */
  parse: (text: string) => T
}

export type Settings = Record<string, Setting>

type Values<S extends Settings> = {
  [K in keyof S]: ReturnType<S[K]['parse']> | (S[K] extends { default: string } ? never : undefined)
}

/** What was found. `given` also holds what was given wrongly and therefore has no value. */
export interface Reading<S extends Settings> {
  values: Values<S>
  given: Set<keyof S>
  problems: string[]
}

/** One or more settings are wrong: all of them, one line each. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: string[]
  constructor(problems: string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

export const SETTINGS = {
  host: {
    flag: '--host',
    variables: ['POSTHORN_HOST'],
    default: '127.0.0.1',
    meaning: 'address to listen on; anything but loopback needs a secret or a JWKS URL',
    parse: parseHost,
  },
  port: {
    flag: '--port',
    variables: ['POSTHORN_PORT'],
    default: '8787',
    meaning: 'port; 0 = any free one',
    parse: integer(0, 65_535),
  },
  basePath: {
    flag: '--base-path',
    variables: ['POSTHORN_BASE_PATH'],
    default: '/',
    meaning: 'path under which everything is served',
    parse: parseBasePath,
  },
  secret: {
    flag: '--secret-file',
    variables: ['POSTHORN_SECRET_FILE', 'POSTHORN_SECRET'],
    unset: 'random, on loopback only',
    meaning: 'HS256 secret of at least 32 bytes; well-known weak values are refused',
    isFile: true,
    parse: parseSecret,
  },
  jwksUrl: {
    flag: '--jwks-url',
    variables: ['POSTHORN_JWKS_URL'],
    unset: 'none',
    meaning: 'keys of your own identity provider; needs an issuer and an audience',
    parse: parseJwksUrl,
  },
  issuer: {
    flag: '--issuer',
    variables: ['POSTHORN_ISSUER'],
    unset: 'none',
    meaning: 'what iss of every token must be',
    parse: String,
  },
  audience: {
    flag: '--audience',
    variables: ['POSTHORN_AUDIENCE'],
    unset: 'none',
    meaning: 'what aud of every token must be or hold',
    parse: String,
  },
  guests: {
    flag: '--guests',
    variables: ['POSTHORN_GUESTS'],
    unset: 'on, if on loopback and without a secret, a JWKS URL and --trust-proxy; else off',
    meaning: 'may anybody get a guest session: on or off; beside a JWKS URL it needs a secret too',
    parse: parseOnOff,
  },
  corsOrigins: {
    flag: '--cors-origins',
    variables: ['POSTHORN_CORS_ORIGINS'],
    default: '*',
    meaning: 'comma-separated origins whose pages may call; * = any',
    parse: parseCorsOrigins,
  },
  trustProxy: {
    flag: '--trust-proxy',
    variables: ['POSTHORN_TRUST_PROXY'],
    unset: 'none',
    meaning:
      'comma-separated addresses or CIDR ranges of proxies whose X-Forwarded-* count; also loopback, linklocal, uniquelocal',
    parse: list(parseProxy),
  },
  memoryMaxBytes: {
    flag: '--memory-max',
    variables: ['POSTHORN_MEMORY_MAX'],
    default: '512MiB',
    meaning: 'what the memory store may hold: bytes, or a number with KiB, MiB or GiB',
    parse: parseMemory,
  },
  dataDir: {
    flag: '--data-dir',
    variables: ['POSTHORN_DATA_DIR'],
    unset: 'none: memory',
    meaning: 'folder of the durable store; not in this version yet',
    parse: refuseForNow,
  },
  redisUrl: {
    flag: '--redis-url',
    variables: ['POSTHORN_REDIS_URL'],
    unset: 'none',
    meaning:
      'Redis or Valkey that several nodes share; excludes --data-dir; not in this version yet',
    parse: refuseForNow,
  },
  redisWait: {
    flag: '--redis-wait',
    variables: ['POSTHORN_REDIS_WAIT'],
    default: '0',
    meaning: 'replicas that must have a signal before its 201; not in this version yet',
    // The default asks for nothing and may be spelled out.
    parse: (text: string) => (text === '0' ? 0 : refuseForNow()),
  },
  turnUrls: {
    flag: '--turn-urls',
    variables: ['POSTHORN_TURN_URLS'],
    unset: 'none',
    meaning: 'comma-separated turn:, turns: and stun: URLs to hand out',
    parse: list(parseTurnUrl),
  },
  turnSecret: {
    flag: '--turn-secret-file',
    variables: ['POSTHORN_TURN_SECRET_FILE', 'POSTHORN_TURN_SECRET'],
    unset: 'none',
    meaning: 'secret shared with the TURN servers; needed for turn: and turns: URLs',
    isFile: true,
    parse: parseTurnSecret,
  },
  rateLimit: {
    flag: '--rate-limit',
    variables: ['POSTHORN_RATE_LIMIT'],
    default: '100',
    meaning:
      'signals a second a peer may send on average, with a burst of twice that; 0 = no limit on what is sent and on new guest sessions',
    parse: integer(0, RATE_MAX),
  },
  leaseMs: {
    flag: '--lease',
    variables: ['POSTHORN_LEASE'],
    default: '45s',
    meaning: 'how long a silent peer counts as online',
    parse: duration('24h'),
  },
  streamMaxAgeMs: {
    flag: '--stream-max-age',
    variables: ['POSTHORN_STREAM_MAX_AGE'],
    default: '55s',
    meaning: "a stream's life",
    parse: duration('24h'),
  },
  messageTtlMs: {
    flag: '--message-ttl',
    variables: ['POSTHORN_MESSAGE_TTL'],
    default: '120s',
    meaning: 'default life of a message; at most 1h',
    parse: duration('1h'),
  },
  ringTimeMs: {
    flag: '--ring-time',
    variables: ['POSTHORN_RING_TIME'],
    default: '45s',
    meaning: 'default ring time of a call; at most 3m',
    parse: duration('3m'),
  },
  tlsCert: {
    flag: '--tls-cert',
    variables: ['POSTHORN_TLS_CERT'],
    unset: 'none',
    meaning: 'PEM file of the certificate and its chain: serve HTTPS (HTTP/2 and HTTP/1.1)',
    isFile: true,
    parse: String,
  },
  tlsKey: {
    flag: '--tls-key',
    variables: ['POSTHORN_TLS_KEY'],
    unset: 'none',
    meaning: "PEM file of the certificate's private key, without a passphrase",
    isFile: true,
    parse: String,
  },
  logLevel: {
    flag: '--log-level',
    variables: ['POSTHORN_LOG_LEVEL'],
    default: 'info',
    meaning: 'fatal, error, warn, info, debug, trace or silent',
    parse: parseLogLevel,
  },
  metricsToken: {
    flag: '--metrics-token-file',
    variables: ['POSTHORN_METRICS_TOKEN_FILE', 'POSTHORN_METRICS_TOKEN'],
    unset: 'none: /metrics is 404',
    meaning: 'bearer token for /metrics',
    isFile: true,
    parse: parseMetricsToken,
  },
} as const satisfies Settings

/** @throws ConfigError with every problem of the flags, the environment and their combination */
export function readConfig(argv: string[], env: NodeJS.ProcessEnv): Config {
  const reading = readSettings(SETTINGS, argv, env)
  const problems = [...reading.problems, ...contradictions(reading)]
  if (problems.length > 0) throw new ConfigError(problems)
  return toConfig(reading.values)
}

function toConfig(values: Values<typeof SETTINGS>): Config {
  const { host, secret, jwksUrl, tlsCert, tlsKey, trustProxy = [], turnUrls = [] } = values
  const isPrivate = isLoopback(host) && !secret && !jwksUrl && trustProxy.length === 0
  return {
    host,
    port: values.port,
    basePath: values.basePath,
    guests: values.guests ?? isPrivate,
    corsOrigins: values.corsOrigins,
    trustProxy,
    memoryMaxBytes: values.memoryMaxBytes,
    turnUrls,
    rateLimit: values.rateLimit,
    leaseMs: values.leaseMs,
    streamMaxAgeMs: values.streamMaxAgeMs,
    messageTtlMs: values.messageTtlMs,
    ringTimeMs: values.ringTimeMs,
    logLevel: values.logLevel,
    ...present({
      secret,
      jwksUrl,
      issuer: values.issuer,
      audience: values.audience,
      turnSecret: values.turnSecret,
      tls: tlsCert && tlsKey ? { cert: tlsCert, key: tlsKey } : undefined,
      metricsToken: values.metricsToken,
    }),
  }
}

/** The members that have a value. */
function present<T extends object>(members: T) {
  const kept = Object.entries(members).filter(([, value]) => value !== undefined)
  return Object.fromEntries(kept) as { [K in keyof T]?: Exclude<T[K], undefined> }
}

/** What is wrong between settings; a setting that is wrong by itself is not blamed twice. */
function contradictions({ values, given }: Reading<typeof SETTINGS>): string[] {
  const has = (name: keyof typeof SETTINGS) => given.has(name)
  const isOpen = values.host !== undefined && !isLoopback(values.host)
  const needsTurnSecret = (values.turnUrls ?? []).some((url) => url.startsWith('turn'))
  const rules: [isBroken: boolean, problem: string][] = [
    [
      isOpen && !has('secret') && !has('jwksUrl'),
      '--host: anything but loopback needs --secret-file or --jwks-url',
    ],
    [has('jwksUrl') && !has('issuer'), '--jwks-url needs --issuer'],
    [has('jwksUrl') && !has('audience'), '--jwks-url needs --audience'],
    [
      values.guests === true && has('jwksUrl') && !has('secret'),
      '--guests on beside --jwks-url needs --secret-file',
    ],
    [has('dataDir') && has('redisUrl'), '--data-dir and --redis-url exclude each other'],
    [
      needsTurnSecret && !has('turnSecret'),
      '--turn-urls: turn: and turns: URLs need --turn-secret-file',
    ],
    [has('tlsCert') && !has('tlsKey'), '--tls-cert needs --tls-key'],
    [has('tlsKey') && !has('tlsCert'), '--tls-key needs --tls-cert'],
  ]
  const broken = rules.filter(([isBroken]) => isBroken).map(([, problem]) => problem)
  const { tlsCert, tlsKey } = values
  return tlsCert && tlsKey ? [...broken, ...tlsProblems(tlsCert, tlsKey)] : broken
}

/** OpenSSL takes a certificate with a key of another kind without a word; hence the comparison. */
function tlsProblems(cert: string, key: string): string[] {
  const certificate = attempt(() => new X509Certificate(cert))
  const privateKey = attempt(() => createPrivateKey(key))
  const problems: string[] = []
  if (!certificate) problems.push('--tls-cert: the file holds no PEM certificate')
  if (!privateKey) problems.push('--tls-key: the file holds no PEM key without a passphrase')
  if (!certificate || !privateKey) return problems
  if (!certificate.checkPrivateKey(privateKey)) {
    return ['--tls-cert and --tls-key do not belong together']
  }
  const context = attempt(() => createSecureContext({ cert, key }))
  return context ? [] : ['--tls-cert and --tls-key cannot be used: weak key or broken chain']
}

function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}

// ── Reading a table of settings ──────────────────────────────────────────────────────────────────

/** Reads any table of settings; `posthorn token` has its own. Without problems, values are whole. */
export function readSettings<S extends Settings>(
  settings: S,
  argv: string[],
  env: NodeJS.ProcessEnv,
): Reading<S> {
  const problems: string[] = []
  const flags = readFlags(settings, argv, problems)
  problems.push(...unknownVariables(env))
  const values: Record<string, unknown> = {}
  const given = new Set<keyof S>()
  for (const [name, setting] of Object.entries(settings)) {
    const sources = sourcesOf(setting, flags, env)
    if (sources.length > 0 || flags.has(setting.flag)) given.add(name)
    try {
      values[name] = readValue(setting, sources)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(...error.problems)
    }
  }
  return { values: values as Values<S>, given, problems }
}

/** The flags that were given; one without its value has the value undefined. */
function readFlags(settings: Settings, argv: string[], problems: string[]) {
  const known = new Map(Object.values(settings).map((setting) => [setting.flag, setting]))
  const flags = new Map<string, string | undefined>()
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    if (!word.startsWith('-')) {
      problems.push(`unexpected argument ${JSON.stringify(word)}`)
      continue
    }
    const [flag, inline] = splitOnce(word, '=')
    const setting = known.get(flag)
    const mayTakeNext = !setting?.isSwitch && inline === undefined
    // An unknown flag takes the next word too, unseen: it may be a secret.
    const takesNext = mayTakeNext && argv[i + 1]?.startsWith('--') === false
    const value = takesNext ? argv[++i] : inline
    const problem = flagProblem(flag, setting, value, flags.has(flag))
    if (problem) problems.push(problem)
    if (!flags.has(flag)) flags.set(flag, setting?.isSwitch ? 'on' : value || undefined)
  }
  return flags
}

function flagProblem(flag: string, setting: Setting | undefined, value = '', isAgain = false) {
  if (!setting) return `unknown flag ${flag}`
  if (isAgain) return `${flag}: given twice`
  if (setting.isSwitch) return value && `${flag}: takes no value`
  return value ? '' : `${flag}: needs a value`
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Set<string>(Object.values(SETTINGS).flatMap(({ variables }) => variables))
  return Object.keys(env)
    .filter((name) => name.startsWith('POSTHORN_') && env[name] !== '' && !known.has(name))
    .map((name) => `unknown variable ${name}`)
}

interface Source {
  /** The flag or the variable. */
  name: string
  text: string
  isFile: boolean
}

/** Where a setting's text stands: the flag alone, else the variables that are set. */
function sourcesOf(
  { flag, variables, isFile = false }: Setting,
  flags: Map<string, string | undefined>,
  env: NodeJS.ProcessEnv,
): Source[] {
  if (flags.has(flag)) {
    const text = flags.get(flag)
    return text === undefined ? [] : [{ name: flag, text, isFile }]
  }
  return variables.flatMap((name, index) => {
    const text = env[name]
    return text ? [{ name, text, isFile: isFile && index === 0 }] : []
  })
}

function readValue(setting: Setting, sources: Source[]): unknown {
  const [first, second] = sources
  if (!first) return setting.default === undefined ? undefined : setting.parse(setting.default)
  const text = readText(first)
  if (second && readText(second) !== text) {
    throw new ConfigError([`${first.name} and ${second.name} are both set and differ`])
  }
  return naming(first.name, () => setting.parse(text))
}

function readText({ name, text, isFile }: Source): string {
  return isFile ? naming(name, () => readTextFile(text)) : text
}

/** The path stays out of the problems: people put the secret itself where its file belongs. */
function readTextFile(path: string): string {
  const bytes = attemptRead(path)
  const text = attempt(() => new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  if (text === undefined) refuse('the file is not UTF-8 text; write random bytes as base64 or hex')
  const trimmed = text.replace(/[\r\n]+$/, '')
  return trimmed || refuse('the file is empty')
}

function attemptRead(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    return refuse(`the file cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Puts the name of the flag or the variable before what is wrong with its text. */
function naming<T>(name: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(error.problems.map((problem) => `${name}: ${problem}`))
  }
}

/** The settings with their variables, meanings and defaults, as `--help` shows them. */
export function describeSettings(settings: Settings): string {
  return Object.values(settings)
    .map(({ flag, variables, meaning, ...rest }) => {
      const standard = rest.default ?? rest.unset
      const end = standard === undefined ? '' : ` (default: ${standard})`
      const head = `  ${flag.padEnd(22)}${variables.join(', ')}`
      return `${head.trimEnd()}\n      ${meaning}${end}`
    })
    .join('\n')
}

// ── What a text must be ──────────────────────────────────────────────────────────────────────────

export function refuse(problem: string): never {
  throw new ConfigError([problem])
}

/** A parser of comma-separated entries; the problems of all entries come together. */
export function list<T>(parseEntry: (text: string) => T): (text: string) => T[] {
  return (text) => {
    const problems: string[] = []
    const entries = text.split(',').flatMap((part) => {
      const entry = part.trim()
      try {
        return [naming(JSON.stringify(entry), () => parseEntry(entry))]
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        problems.push(...error.problems)
        return []
      }
    })
    if (problems.length > 0) throw new ConfigError(problems)
    return entries
  }
}

/** A parser of durations from 1 s to `longest`, in ms. */
export function duration(longest: string): (text: string) => number {
  const longestMs = toMs(longest) ?? 0
  return (text) => {
    const ms = toMs(text)
    if (ms === undefined || ms < DURATION_MIN_MS || ms > longestMs) {
      refuse(`must be a number with ms, s, m or h, from 1s to ${longest}`)
    }
    return Math.round(ms)
  }
}

function toMs(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h)$/.exec(text)
  return match ? Number(match[1]) * DURATION_UNITS[match[2] as 'ms' | 's' | 'm' | 'h'] : undefined
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (!/^\d{1,15}$/.test(text) || number < min || number > max) {
      // Kubernetes sets POSTHORN_PORT=tcp://… for a Service with the name posthorn.
      const hint = text.startsWith('tcp://') ? ' (in Kubernetes: enableServiceLinks: false)' : ''
      refuse(`must be an integer from ${min} to ${max}${hint}`)
    }
    return number
  }
}

function parseMemory(text: string): number {
  const match = /^(\d{1,15})(KiB|MiB|GiB)?$/.exec(text)
  const unit = SIZE_UNITS[(match?.[2] ?? '') as keyof typeof SIZE_UNITS]
  const bytes = match ? Number(match[1]) * unit : 0
  if (bytes < MEMORY_BYTES_MIN || bytes > MEMORY_BYTES_MAX) {
    refuse('must be a whole number of bytes or with KiB, MiB or GiB, from 1KiB to 1024GiB')
  }
  return bytes
}

function isLoopback(host: string): boolean {
  const family = isIP(host)
  if (family === 0) return host.toLowerCase() === 'localhost'
  return LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

/** An IP address, or a name that cannot be taken for one (`127.1`, `1.2.3.999`). */
function isHost(text: string): boolean {
  const name = /^(?=.{1,253}$)(?!(?:.*\.)?\d+$)\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*$/
  return isIP(text) !== 0 || name.test(text)
}

function parseHost(text: string): string {
  const host = /^\[.*\]$/.test(text) ? text.slice(1, -1) : text
  return isHost(host) ? host : refuse('must be an IP address or a host name, without a port')
}

function parseBasePath(text: string): string {
  const path = text.replace(/\/$/, '')
  const segments = path.split('/').slice(1)
  const areSafe = segments.every((segment) => /^(?!\.{1,2}$)[A-Za-z0-9._~-]+$/.test(segment))
  if (!text.startsWith('/') || !areSafe) {
    refuse('must begin with / and have only letters, digits and . _ ~ - between slashes')
  }
  return path
}

function parseJwksUrl(text: string): string {
  const url = attempt(() => new URL(text))
  const host = url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? ''
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(host))
  if (!url || !isSafe) refuse('must be an https: URL (http: only for a loopback host)')
  // fetch() takes no such URL.
  if (url.username || url.password) refuse('must not hold a user name or a password')
  return text
}

function parseOnOff(text: string): boolean {
  if (text !== 'on' && text !== 'off') refuse('must be on or off')
  return text === 'on'
}

function parseCorsOrigins(text: string): '*' | string[] {
  return text === '*' ? text : list(parseOrigin)(text)
}

/** Browsers send an origin in one spelling only; any other would never match. */
function parseOrigin(text: string): string {
  const origin = attempt(() => new URL(text).origin) ?? 'null'
  const isApp = /^(?!https?:)[a-z][a-z0-9+.-]*:\/\/[a-z0-9.-]+$/.test(text)
  if (text.includes('*')) refuse('* must stand alone and means any origin')
  if (origin !== text && !isApp) {
    const hint = origin === 'null' ? '' : ` (${origin})`
    refuse(`must be an origin as browsers send it, scheme://host or scheme://host:port${hint}`)
  }
  return text
}

function parseProxy(text: string): string {
  const [address, bits] = splitOnce(text, '/')
  const bitsMax = isIPv6(address) ? 128 : 32
  const isRange = bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= bitsMax)
  if (PROXY_RANGES.includes(text) || (isIP(address) !== 0 && isRange)) return text
  return refuse(`must be an IP address, a CIDR range or one of ${PROXY_RANGES.join(', ')}`)
}

/** RFC 7064 and RFC 7065; browsers refuse a whole list for one wrong URL in it. */
function parseTurnUrl(text: string): string {
  const form =
    /^(stun|turns?):(\[[^\]]+\]|[^:?[\]]+)(?::([1-9]\d{0,4}))?(\?transport=(?:udp|tcp))?$/
  const [, scheme, host = '', port = '1', transport] = form.exec(text) ?? []
  const isHostRight = host.startsWith('[') ? isIPv6(host.slice(1, -1)) : isHost(host)
  if (!scheme || !isHostRight || Number(port) > 65_535 || (scheme === 'stun' && transport)) {
    refuse('must be stun:host[:port], turn: or turns:host[:port][?transport=udp|tcp]')
  }
  return text
}

function parseLogLevel(text: string): Config['logLevel'] {
  return LOG_LEVELS.find((level) => level === text) ?? refuse(`must be ${LOG_LEVELS.join(', ')}`)
}

function parseMetricsToken(text: string): string {
  // What cannot stand in an Authorization header could never be presented.
  return /^[!-~]+$/.test(text) ? text : refuse('must be visible ASCII without spaces')
}

function refuseForNow(): never {
  return refuse('not in this version yet; only the memory store exists')
}

// ── Secrets that everybody knows ─────────────────────────────────────────────────────────────────

/** From the documentation of other projects; people copy them. */
const SAMPLES = [
  'a-string-secret-at-least-256-bits-long', // jwt.io
  'your-256-bit-secret', // jwt.io, earlier
  'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow', // RFC 7515
  'hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg', // RFC 7520
  'cc7e0d44fd473002f1c42167459001140ec6389b7353f8088f4d9a95f2f596f2', // jose
  '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7', // FastAPI
  '192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf', // Flask
  '404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970', // Spring tutorials
  '3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R', // Hasura
  '!ChangeThisMercureHubJWTSecretKey!', // Mercure
  'super-secret-jwt-token-with-at-least-32-characters-long', // Supabase
  'reallyreallyreallyreallyverysafe', // PostgREST
  ...['north', 'logen', 'youShouldChangeMe', 'somepassword'], // coturn
  ...['keyboard cat', 'shhhhh', 'devkey', 'admin', 'coturn', 'turn', 'test'],
].map(plain)

/** How placeholders begin: changeme…, secret…, password…, your-256-bit-secret…, my-super-secret… */
const PLACEHOLDER =
  /^(?:(?:please)?(?:change|replace)(?:me|this|it)|(?:my|your)?(?:super|very|top)*(?:\d{3}bits?)?(?:secret|passw(?:or)?d)|djangoinsecure)/

const SEQUENCES = ['0123456789abcdefghijklmnopqrstuvwxyz', 'abcdefghijklmnopqrstuvwxyz0123456789']
const REPEATED_CHARS_MAX = 16

function parseSecret(text: string): string {
  if (Buffer.byteLength(text) < SECRET_BYTES_MIN) {
    refuse(`must have at least ${SECRET_BYTES_MIN} bytes`)
  }
  return parseTurnSecret(text)
}

/** TURN servers set no length; coturn's manual uses short ones. */
function parseTurnSecret(text: string): string {
  if (isWellKnown(text)) {
    refuse('is a well-known weak value; `openssl rand -base64 48` prints a good one')
  }
  return text
}

function isWellKnown(secret: string): boolean {
  const text = plain(secret)
  const isSequence = text !== '' && SEQUENCES.some((sequence) => sequence.includes(text))
  return SAMPLES.includes(text) || PLACEHOLDER.test(text) || isSequence || isRepetition(secret)
}

/** Spelling is no strength: only letters and digits count, in one case. */
function plain(secret: string): string {
  return secret.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

/** Is it one character or a short text over and over? */
function isRepetition(secret: string): boolean {
  for (let chars = 1; chars <= Math.min(REPEATED_CHARS_MAX, secret.length / 2); chars++) {
    const unit = secret.slice(0, chars)
    if (unit.repeat(Math.ceil(secret.length / chars)).slice(0, secret.length) === secret)
      return true
  }
  return false
}
