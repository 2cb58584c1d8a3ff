// What the text of a setting must be: one parser for each kind of value. A parser throws ConfigError
// whose problems do not name the setting (the reader of the table does).
import { BlockList, isIP, isIPv6 } from 'node:net'
import { attempt, ConfigError, naming, refuse, splitOnce } from './settings.ts'

const KIB = 1024
const SIZE_UNITS = { '': 1, KiB: KIB, MiB: KIB ** 2, GiB: KIB ** 3 }
const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const DURATION_MIN_MS = 1000
/** Less is a forgotten unit: `512` for `512MiB`. */
const MEMORY_BYTES_MIN = KIB
const MEMORY_BYTES_MAX = 1024 * KIB ** 3
export const RATE_MAX = 1_000_000
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
const PROXY_RANGES = ['loopback', 'linklocal', 'uniquelocal']

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

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

export function integer(min: number, max: number): (text: string) => number {
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

export function parseMemory(text: string): number {
  const match = /^(\d{1,15})(KiB|MiB|GiB)?$/.exec(text)
  const unit = SIZE_UNITS[(match?.[2] ?? '') as keyof typeof SIZE_UNITS]
  const bytes = match ? Number(match[1]) * unit : 0
  if (bytes < MEMORY_BYTES_MIN || bytes > MEMORY_BYTES_MAX) {
    refuse('must be a whole number of bytes or with KiB, MiB or GiB, from 1KiB to 1024GiB')
  }
  return bytes
}

export function isLoopback(host: string): boolean {
  const family = isIP(host)
  if (family === 0) return host.toLowerCase() === 'localhost'
  return LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

/** An IP address, or a name that cannot be taken for one (`127.1`, `1.2.3.999`). */
function isHost(text: string): boolean {
  const name = /^(?=.{1,253}$)(?!(?:.*\.)?\d+$)\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*$/
  return isIP(text) !== 0 || name.test(text)
}

export function parseHost(text: string): string {
  const host = /^\[.*\]$/.test(text) ? text.slice(1, -1) : text
  return isHost(host) ? host : refuse('must be an IP address or a host name, without a port')
}

export function parseBasePath(text: string): string {
  const path = text.replace(/\/$/, '')
  const segments = path.split('/').slice(1)
  const areSafe = segments.every((segment) => /^(?!\.{1,2}$)[A-Za-z0-9._~-]+$/.test(segment))
  if (!text.startsWith('/') || !areSafe) {
    refuse('must begin with / and have only letters, digits and . _ ~ - between slashes')
  }
  return path
}

export function parseJwksUrl(text: string): string {
  const url = attempt(() => new URL(text))
  const host = url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? ''
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(host))
  if (!url || !isSafe) refuse('must be an https: URL (http: only for a loopback host)')
  // fetch() takes no such URL.
  if (url.username || url.password) refuse('must not hold a user name or a password')
  return text
}

export function parseOnOff(text: string): boolean {
  if (text !== 'on' && text !== 'off') refuse('must be on or off')
  return text === 'on'
}

export function parseCorsOrigins(text: string): '*' | string[] {
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

export function parseProxy(text: string): string {
  const [address, bits] = splitOnce(text, '/')
  const bitsMax = isIPv6(address) ? 128 : 32
  const isRange = bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= bitsMax)
  if (PROXY_RANGES.includes(text) || (isIP(address) !== 0 && isRange)) return text
  return refuse(`must be an IP address, a CIDR range or one of ${PROXY_RANGES.join(', ')}`)
}

/** RFC 7064 and RFC 7065; browsers refuse a whole list for one wrong URL in it. */
export function parseTurnUrl(text: string): string {
  const form =
    /^(stun|turns?):(\[[^\]]+\]|[^:?[\]]+)(?::([1-9]\d{0,4}))?(\?transport=(?:udp|tcp))?$/
  const [, scheme, host = '', port = '1', transport] = form.exec(text) ?? []
  const isHostRight = host.startsWith('[') ? isIPv6(host.slice(1, -1)) : isHost(host)
  if (!scheme || !isHostRight || Number(port) > 65_535 || (scheme === 'stun' && transport)) {
    refuse('must be stun:host[:port], turn: or turns:host[:port][?transport=udp|tcp]')
  }
  return text
}

export function parseLogLevel(text: string): LogLevel {
  return LOG_LEVELS.find((level) => level === text) ?? refuse(`must be ${LOG_LEVELS.join(', ')}`)
}

export function parseMetricsToken(text: string): string {
  // What cannot stand in an Authorization header could never be presented.
  return /^[!-~]+$/.test(text) ? text : refuse('must be visible ASCII without spaces')
}

export function refuseForNow(): never {
  return refuse('not in this version yet; only the memory store exists')
}
