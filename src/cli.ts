#!/usr/bin/env node
// The program `posthorn`: one command per row of `COMMANDS`. Results go to standard output,
// everything else to standard error. Wrong input ends with 78 and names all that is wrong; a port
// that cannot be had ends with 69; SIGTERM and SIGINT end `serve` with 0.
// The server, its document and the token library are loaded only by the command that needs them.
import { readFileSync } from 'node:fs'
import { type Config, readConfig, SETTINGS } from './config/config.ts'
import {
  ConfigError,
  describeSettings,
  readSettings,
  refuse,
  type Settings,
} from './config/settings.ts'
import { duration, list } from './config/values.ts'
import { isAddress, isRoomName } from './protocol/address.ts'
import { LIMITS } from './protocol/limits.ts'
import { GUEST_PREFIX } from './protocol/names.ts'

/** As in BSD's sysexits.h. */
const EXIT = { ok: 0, unavailable: 69, defect: 70, misconfigured: 78 }

/** A Ctrl-C reaches the server twice under `npm start`: from the terminal and from npm. */
const SAME_SIGNAL_MS = 200

const LISTEN_PROBLEMS: Record<string, string> = {
  EADDRINUSE: 'another program has the port',
  EACCES: 'no right to use the port',
  EADDRNOTAVAIL: 'this machine does not have the address',
  ENOTFOUND: 'the host name is not known',
}

const TOKEN_SETTINGS = {
  peer: {
    flag: '--peer',
    variables: [],
    meaning: 'whose token it is: name or name:device; needed',
    parse: parsePeer,
  },
  rooms: {
    flag: '--rooms',
    variables: [],
    unset: 'none',
    meaning: 'comma-separated rooms that may be joined, exact or prefix*',
    parse: grants((text) => isRoomName(text), 'a room'),
  },
  direct: {
    flag: '--direct',
    variables: [],
    unset: 'none',
    meaning: 'comma-separated peers that may be reached without a shared room, exact or prefix*',
    parse: grants((text) => isAddress(text), 'a peer'),
  },
  create: {
    flag: '--create',
    variables: [],
    meaning: 'may create rooms',
    isSwitch: true,
    parse: Boolean,
  },
  ttlMs: {
    flag: '--ttl',
    variables: [],
    default: '1h',
    meaning: "the token's life; at most 744h (31 days)",
    parse: duration('744h'),
  },
  secret: { ...SETTINGS.secret, unset: 'none; needed' },
  issuer: SETTINGS.issuer,
  audience: SETTINGS.audience,
} as const satisfies Settings

interface Command {
  usage: string
  does: string
  settings?: Settings
  run: (argv: string[]) => Promise<number>
}

const COMMANDS: Record<string, Command> = {
  serve: {
    usage: 'posthorn serve [flags]',
    does: 'runs the server',
    settings: SETTINGS,
    run: serve,
  },
  token: {
    usage: 'posthorn token --peer alice [--rooms a,b*] [--direct bob] [--create] [--ttl 1h]',
    does: 'mints a token with the configured secret and prints it',
    settings: TOKEN_SETTINGS,
    run: token,
  },
  doctor: {
    usage: 'posthorn doctor URL',
    does: 'tests the path from here to a server; not in this version yet',
    run: doctor,
  },
  openapi: {
    usage: 'posthorn openapi',
    does: 'prints the OpenAPI document',
    run: openapi,
  },
}

process.exitCode = await main(process.argv.slice(2)).catch(exitAfter)

async function main([word, ...rest]: string[]): Promise<number> {
  if (word === undefined) return complain(['a command is needed; see posthorn --help'])
  if (word === '--version') return print(version())
  if (word === 'help' || isHelp(word)) return help(rest)
  const command = commandOf(word)
  if (!command) return complain([`unknown command ${JSON.stringify(word)}; see posthorn --help`])
  return rest.some(isHelp) ? print(helpFor(command)) : command.run(rest)
}

function commandOf(word: string): Command | undefined {
  return Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h'
}

/** Ends at once what a failed command may have left open. */
function exitAfter(error: unknown): number {
  if (error instanceof ConfigError) return complain(error.problems)
  console.error(error)
  process.exit(EXIT.defect)
}

function complain(problems: string[]): number {
  for (const problem of problems) console.error(`posthorn: ${problem}`)
  return EXIT.misconfigured
}

function print(text: string): number {
  // A reader that has seen enough (`| head -1`) is no failure.
  process.stdout.on('error', () => process.exit(EXIT.ok))
  process.stdout.write(`${text.trimEnd()}\n`)
  return EXIT.ok
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return JSON.parse(text).version
}

// ── help ─────────────────────────────────────────────────────────────────────────────────────────

function help([word]: string[]): number {
  if (word === undefined || isHelp(word)) return print(overview())
  const command = commandOf(word)
  if (!command) return complain([`unknown command ${JSON.stringify(word)}; see posthorn --help`])
  return print(helpFor(command))
}

function overview(): string {
  const commands = Object.values(COMMANDS).map(({ usage, does }) => `  ${usage}\n      ${does}`)
  return `posthorn ${version()}: WebRTC signaling over plain HTTP

Commands:
${commands.join('\n')}
  posthorn help [command]
      shows what a command takes
  posthorn --version
      prints the version

${settingsHelp('Settings of posthorn serve', SETTINGS)}

Exit codes: 0 stopped by SIGTERM or SIGINT, 69 the port cannot be had, 78 wrong settings.`
}

function helpFor({ usage, does, settings }: Command): string {
  const end = settings ? `\n\n${settingsHelp('Settings', settings)}` : ''
  return `${usage}\n    ${does}${end}`
}

function settingsHelp(title: string, settings: Settings): string {
  return `${title}:
${describeSettings(settings)}

A setting is given as --flag value, as --flag=value or as a variable of the environment; a flag wins.
A flag that ends in -file and a variable that ends in _FILE name a file; the variable without _FILE
holds the text itself. Durations are a number with ms, s, m or h, from 1s.`
}

// ── serve ────────────────────────────────────────────────────────────────────────────────────────

async function serve(argv: string[]): Promise<number> {
  const config = readConfig(argv, process.env)
  const signal = firstSignal()
  const { startServer } = await import('./server.ts')
  const server = await startServer(config).catch((error: NodeJS.ErrnoException) =>
    exitAfterListening(error, config),
  )
  process.stdout.write(`posthorn listening on ${server.url}\n`)
  await server.stop({ quick: (await signal) === 'SIGINT' })
  process.exit(EXIT.ok)
}

/** A signal during the start stops the server once it has started; a second one exits at once. */
function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstAt: number | undefined
    const hear = (signal: NodeJS.Signals) => {
      if (firstAt !== undefined && performance.now() - firstAt > SAME_SIGNAL_MS) {
        process.exit(EXIT.ok)
      }
      firstAt ??= performance.now()
      resolve(signal)
    }
    process.on('SIGTERM', hear)
    process.on('SIGINT', hear)
  })
}

/** @throws what has nothing to do with the port */
function exitAfterListening(error: NodeJS.ErrnoException, { host, port }: Config): never {
  const isListening = ['listen', 'bind', 'getaddrinfo'].includes(error.syscall ?? '')
  if (!isListening) throw error
  const code = error.code ?? 'unknown'
  const reason = LISTEN_PROBLEMS[code] ?? error.message
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  console.error(`posthorn: cannot listen on ${address}: ${reason} (${code})`)
  process.exit(EXIT.unavailable)
}

// ── token ────────────────────────────────────────────────────────────────────────────────────────

async function token(argv: string[]): Promise<number> {
  const { values, given, problems } = readSettings(TOKEN_SETTINGS, argv, process.env, SETTINGS)
  if (!given.has('peer')) problems.push('--peer is needed')
  if (!given.has('secret')) {
    problems.push(
      'a token needs the secret: --secret-file, POSTHORN_SECRET_FILE or POSTHORN_SECRET',
    )
  }
  const { peer, secret, rooms = [], direct = [], create = false } = values
  if (problems.length > 0 || !peer || !secret) throw new ConfigError(problems)
  const now = Date.now()
  const payload = {
    sub: peer,
    iat: Math.floor(now / 1000),
    exp: Math.floor((now + values.ttlMs) / 1000),
    ...(values.issuer && { iss: values.issuer }),
    ...(values.audience && { aud: values.audience }),
    posthorn: { peer, rooms, direct, create },
  }
  const { SignJWT } = await import('jose')
  const unsigned = new SignJWT(payload).setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
  const jwt = await unsigned.sign(new TextEncoder().encode(secret))
  if (jwt.length > LIMITS.tokenBytesMax) {
    refuse(`the token would have ${jwt.length} bytes; servers take ${LIMITS.tokenBytesMax}`)
  }
  return print(jwt)
}

function parsePeer(text: string): string {
  if (!isAddress(text)) refuse('must be name or name:device, of letters, digits and _ . ~ -')
  // On a server with a secret these names are the guests' own.
  if (text.startsWith(GUEST_PREFIX)) refuse(`must not begin with ${GUEST_PREFIX}`)
  return text
}

/** A parser of grants. A prefix is right when a name can begin with it. */
function grants(isName: (text: string) => boolean, noun: string): (text: string) => string[] {
  const parse = list((grant) =>
    isName(grant.replace(/\*$/, 'x'))
      ? grant
      : refuse(`must be ${noun} or a prefix with * at its end`),
  )
  return (text) => {
    const found = parse(text)
    return found.length <= LIMITS.grantsMax ? found : refuse(`at most ${LIMITS.grantsMax} entries`)
  }
}

// ── the others ───────────────────────────────────────────────────────────────────────────────────

async function doctor(): Promise<number> {
  console.error('posthorn doctor is not in this version yet')
  return EXIT.misconfigured
}

async function openapi(argv: string[]): Promise<number> {
  const { problems } = readSettings({}, argv, {})
  if (problems.length > 0) throw new ConfigError(problems)
  const { openApiYaml } = await import('./server.ts')
  return print(await openApiYaml())
}
