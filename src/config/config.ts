// Everything that can be set. `SETTINGS` has one row per setting; flags, environment variables,
// defaults and the help text all come from it, and a test compares docs/configuration.md with it.
// Invariant: a Config is right as a whole or is not made.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { parseSecret, parseTurnSecret } from './secrets.ts'
import {
  attempt,
  ConfigError,
  type Reading,
  readSettings,
  type Settings,
  type Values,
} from './settings.ts'
import {
  duration,
  integer,
  isLoopback,
  type LogLevel,
  list,
  parseBasePath,
  parseCorsOrigins,
  parseHost,
  parseJwksUrl,
  parseLogLevel,
  parseMemory,
  parseMetricsToken,
  parseOnOff,
  parseProxy,
  parseTurnUrl,
  RATE_MAX,
  refuseForNow,
} from './values.ts'

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
  logLevel: LogLevel
  metricsToken?: string
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
