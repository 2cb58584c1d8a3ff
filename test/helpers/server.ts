// A server of its own for a test, on a free port, and what talks to it: small requests, guests and
// minted tokens, a reader of streams, raw sockets, a key set. Time stands still unless the test
// turns it. Whatever is opened here is closed when the test ends, and a server that logged an error
// fails the test: nothing that a client sends may be a fault of the server.
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createParser } from 'eventsource-parser'
import type { Test } from 'tap'
import { type Config, readConfig } from '../../src/config/config.ts'
import type { Clock } from '../../src/core/clock.ts'
import { startServer } from '../../src/server.ts'
import { FakeClock } from './clock.ts'

export const SECRET = randomBytes(32).toString('base64url')
export const METRICS_TOKEN = 'metrics-token-of-the-tests'
/** Only a failure is waited for so long. */
const PATIENCE_MS = 15_000
const ERROR_LEVEL = 50

// biome-ignore lint/suspicious/noExplicitAny: bodies are looked at by the tests
export type Json = any

export interface Answer {
  status: number
  headers: Headers
  text: string
  /** Parsed, where the body is JSON. */
  body: Json
}

/** Who asks: a token, or whatever has one. */
export type Who = string | { token: string } | undefined

export interface Peer {
  peer: string
  token: string
  ticket: string
}

export interface ServerOptions {
  clock?: Clock
  random?: () => number
  /** Errors in the log are part of the test. */
  mayLogErrors?: boolean
}

const tokenOf = (who: Who) => (typeof who === 'object' ? who.token : who)

/** Starts a server with guests, without limits of rates, with metrics; `overrides` win. */
export async function serve(
  t: Test,
  overrides: Partial<Config> = {},
  options: ServerOptions = {},
): Promise<TestServer> {
  const clock = options.clock ?? new FakeClock()
  const logs: string[] = []
  const running = await startServer(
    {
      ...readConfig([], {}),
      port: 0,
      logLevel: 'info',
      rateLimit: 0,
      metricsToken: METRICS_TOKEN,
      ...overrides,
    },
    {
      clock,
      random: options.random ?? (() => 0.5),
      logStream: { write: (line) => logs.push(line) },
    },
  )
  const server = new TestServer(running, clock, logs, overrides.basePath ?? '')
  t.teardown(async () => {
    await server.stop()
    const errors = options.mayLogErrors ? [] : server.errors()
    if (errors.length > 0) throw new Error(`the server logged errors: ${errors.join('')}`)
  })
  return server
}

export class TestServer {
  readonly origin: string
  readonly port: number
  readonly logs: string[]
  readonly #base: string
  readonly #clock: Clock
  readonly #running: { url: string; stop(how: { quick: boolean }): Promise<void> }
  #stopped: Promise<void> | undefined

  constructor(
    running: Awaited<ReturnType<typeof startServer>>,
    clock: Clock,
    logs: string[],
    base: string,
  ) {
    this.#running = running
    this.#clock = clock
    this.origin = running.url
    this.port = Number(new URL(running.url).port)
    this.logs = logs
    this.#base = base
  }

  /** @throws when time is the system's own */
  get clock(): FakeClock {
    if (!(this.#clock instanceof FakeClock)) throw new Error('time is real in this test')
    return this.#clock
  }

  /** Stops the server, and turns time until it has. */
  async stop(how = { quick: true }): Promise<void> {
    this.#stopped ??= this.#running.stop(how)
    let isOver = false
    const over = this.#stopped.finally(() => {
      isOver = true
    })
    while (!isOver && this.#clock instanceof FakeClock) {
      await this.#clock.advance(50)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await over
  }

  /** Lines of the log that tell of a fault. */
  errors(): string[] {
    return this.logs.filter((line) => (JSON.parse(line) as { level: number }).level >= ERROR_LEVEL)
  }

  async request(path: string, init: RequestInit & { who?: Who } = {}): Promise<Answer> {
    const { who, ...rest } = init
    const headers = new Headers(rest.headers)
    const token = tokenOf(who)
    if (token !== undefined) headers.set('Authorization', `Bearer ${token}`)
    const response = await fetch(`${this.origin}${this.#base}${path}`, {
      redirect: 'manual',
      ...rest,
      headers,
    })
    return toAnswer(response)
  }

  get(path: string, who?: Who, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request(path, { ...(who !== undefined && { who }), headers })
  }

  /** A POST of JSON, with the token as Bearer. */
  post(
    path: string,
    who?: Who,
    body: unknown = {},
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return this.request(path, {
      method: 'POST',
      who,
      headers: { 'Content-Type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
  }

  /** A POST as browsers send it: text/plain, with the token in the body; no preflight. */
  postText(path: string, who: Who, body: Record<string, unknown> = {}): Promise<Answer> {
    const text = JSON.stringify({ ...body, ...(who !== undefined && { token: tokenOf(who) }) })
    return this.request(path, { method: 'POST', body: text })
  }

  /** A POST of a body that stands as it is. */
  postRaw(
    path: string,
    who: Who,
    body: string | Uint8Array,
    headers: Record<string, string> = { 'Content-Type': 'application/json' },
  ): Promise<Answer> {
    return this.request(path, { method: 'POST', who, headers, body: body as BodyInit })
  }

  /** A guest session. @throws when it is refused */
  async guest(peer?: string): Promise<Peer> {
    const { status, text, body } = await this.post('/sessions', undefined, peer ? { peer } : {})
    if (status !== 201) throw new Error(`no guest session: ${text}`)
    return body as Peer
  }

  /** Opens the session of a token. @throws when it is refused */
  async open(token: string): Promise<Peer> {
    const { status, text, body } = await this.post('/session/open', token)
    if (status !== 200) throw new Error(`no session: ${text}`)
    return body as Peer
  }

  /** Guests who share a room, whose mailboxes are empty and read to the end. */
  async roomOf(...names: string[]): Promise<Peer[]> {
    const peers: Peer[] = []
    for (const name of names) {
      const peer = await this.guest(name)
      const { status, text } = await this.post('/rooms/guest-room/join', peer, { create: true })
      if (status !== 200) throw new Error(`not joined: ${text}`)
      peers.push(peer)
    }
    for (const peer of peers) await this.readAll(peer)
    return peers
  }

  /** Reads and acknowledges what waits. @returns the cursor */
  async readAll(who: Who): Promise<number> {
    const { body } = await this.get('/messages?wait=0', who)
    await this.get(`/messages?wait=0&since=${body.cursor}`, who)
    return body.cursor as number
  }

  stream(query: string, who?: Who, headers: Record<string, string> = {}): Promise<StreamReader> {
    return StreamReader.open(`${this.origin}${this.#base}/events${query}`, who, headers)
  }

  /** A token of the application, minted with the secret. */
  token(claims: Record<string, unknown>, options: MintOptions = {}): string {
    return mint(claims, { now: this.#clock.wall(), ...options })
  }

  /** The value of a metric, by its name and labels as they are written. */
  async metric(name: string): Promise<number> {
    const { text } = await this.get('/metrics', METRICS_TOKEN)
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
    return line === undefined ? Number.NaN : Number(line.split(' ').at(-1))
  }

  /** Resolves when so many reads are open on the server. */
  async holds(kind: 'poll' | 'stream', count: number): Promise<void> {
    const name = `posthorn_reads_open{transport="${kind}"}`
    await until(async () => (await this.metric(name)) === count, `${count} open ${kind}s`)
  }

  /** Writes bytes on a socket of its own. @returns what came back until it was closed, or fell silent */
  async raw(bytes: string | Uint8Array, silentMs = 100): Promise<RawAnswer> {
    const socket = connect(this.port, '127.0.0.1')
    socket.write(bytes)
    return readRaw(socket, silentMs)
  }
}

async function toAnswer(response: Response): Promise<Answer> {
  const { status, headers } = response
  const text = await response.text()
  const isJson = /\bjson\b/.test(headers.get('content-type') ?? '') && text !== ''
  return { status, headers, text, body: isJson ? JSON.parse(text) : undefined }
}

/** Waits in real time for something that happens by itself. */
export async function until(
  isTrue: () => boolean | Promise<boolean>,
  what = 'it',
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const end = performance.now() + patienceMs
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
}

/** How late the timers of this process are at most: on a busy machine real times are longer. */
export function watchLateness(t: Test): () => number {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  t.teardown(() => delay.disable())
  return () => delay.max / 1e6
}

/** Asserts that the answer is the problem document of the code. */
export function isProblem(t: Test, answer: Answer, status: number, code: string, name = ''): void {
  const { headers, body } = answer
  const label = name === '' ? code : `${name}: ${code}`
  const seen = { status: answer.status, code: body?.code, inBody: body?.status }
  t.same(seen, { status, code, inBody: status }, label)
  const isDocument =
    /^application\/problem\+json(; charset=utf-8)?$/.test(headers.get('content-type') ?? '') &&
    headers.get('posthorn') === '1' &&
    headers.get('cache-control') === 'no-store' &&
    typeof body?.title === 'string' &&
    typeof body?.detail === 'string' &&
    typeof body?.requestId === 'string' &&
    String(body?.type).endsWith(`/problems#${code}`)
  t.ok(isDocument, `${label} is a problem document`, { body })
}

// ---- streams -----------------------------------------------------------------------------------

export interface StreamEvent {
  event: string
  id: string | undefined
  data: Json
}

/** Reads a stream with a parser that is not ours. */
export class StreamReader {
  readonly status: number
  readonly headers: Headers
  /** All that came, as it stood on the wire. */
  text = ''
  events: StreamEvent[] = []
  isOver = false
  /** The body of an opening that was refused. */
  problem: Json
  #taken = 0
  readonly #abort: AbortController

  private constructor(response: Response, abort: AbortController) {
    this.status = response.status
    this.headers = response.headers
    this.#abort = abort
  }

  static async open(url: string, who: Who, headers: Record<string, string>): Promise<StreamReader> {
    const abort = new AbortController()
    const token = tokenOf(who)
    const authorization = token !== undefined && { Authorization: `Bearer ${token}` }
    const response = await fetch(url, {
      signal: abort.signal,
      headers: { ...authorization, ...headers },
    })
    const reader = new StreamReader(response, abort)
    if (response.status === 200) void reader.#run(response)
    else reader.problem = await response.json()
    return reader
  }

  async #run(response: Response): Promise<void> {
    const parser = createParser({
      onEvent: ({ event = 'message', id, data }) =>
        this.events.push({ event, id, data: JSON.parse(data) }),
    })
    const decoder = new TextDecoder()
    try {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        const text = decoder.decode(chunk, { stream: true })
        this.text += text
        parser.feed(text)
      }
    } catch {}
    this.isOver = true
  }

  /** The next event of that name that was not taken yet; others before it are passed over. */
  async next(event: string): Promise<StreamEvent> {
    let found = -1
    const look = () => {
      found = this.events.findIndex((e, index) => index >= this.#taken && e.event === event)
      return found !== -1
    }
    await until(() => look() || this.isOver, `event ${event}`)
    const taken = this.events[found]
    if (!taken) throw new Error(`the stream ended without ${event}: ${this.text.slice(-300)}`)
    this.#taken = found + 1
    return taken
  }

  of(event: string): StreamEvent[] {
    return this.events.filter((e) => e.event === event)
  }

  /** Resolves when the server has ended the stream. */
  async ended(): Promise<void> {
    await until(() => this.isOver, 'the end of the stream')
  }

  close(): void {
    this.#abort.abort()
  }
}

// ---- raw sockets -------------------------------------------------------------------------------

export interface RawAnswer {
  text: string
  /** Each answer on the connection. */
  answers: { status: number; headers: Headers; body: string }[]
  /** The server closed the connection, or reset it. */
  isClosed: boolean
}

/** Collects what comes until the socket is closed, or silent for so long after it has spoken. */
export async function readRaw(
  socket: Socket,
  silentMs: number,
  patienceMs = PATIENCE_MS,
): Promise<RawAnswer> {
  const chunks: Buffer[] = []
  let isClosed = false
  await new Promise<void>((resolve) => {
    socket.setTimeout(patienceMs, resolve)
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      socket.setTimeout(silentMs)
    })
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        isClosed = true
        resolve()
      })
    }
  })
  socket.destroy()
  const text = Buffer.concat(chunks).toString('latin1')
  return { text, answers: parseAnswers(text), isClosed }
}

function parseAnswers(text: string): RawAnswer['answers'] {
  const answers: RawAnswer['answers'] = []
  let rest = text
  while (rest.startsWith('HTTP/1.')) {
    const end = rest.indexOf('\r\n\r\n')
    if (end === -1) break
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n')
    const headers = new Headers()
    for (const line of lines) {
      const colon = line.indexOf(':')
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim())
    }
    const length = Number(headers.get('content-length') ?? 0)
    const body = rest.slice(end + 4, end + 4 + length)
    answers.push({ status: Number(first.split(' ')[1]), headers, body })
    rest = rest.slice(end + 4 + length)
  }
  return answers
}

// ---- tokens ------------------------------------------------------------------------------------

const encode = (part: string | object) =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')

type Signer = (input: string) => Buffer

export const withSecret =
  (secret: string | Buffer, hash = 'sha256'): Signer =>
  (input) =>
    createHmac(hash, secret).update(input).digest()

/** JOSE signatures: ECDSA as r and s (RFC 7518, 3.4). */
export const withKey =
  (key: KeyObject, hash: string | null): Signer =>
  (input) =>
    sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' })

/** A JWT of exactly these parts, right or wrong: texts stand as they are. */
export function forge(header: string | object, claims: string | object, signer: Signer): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${signer(input).toString('base64url')}`
}

/** A good HS256 token of an application. Without `exp` in the claims it lives for an hour. */
export function mint(
  claims: Record<string, unknown>,
  { secret = SECRET, now = Date.now(), header = {} }: MintOptions = {},
): string {
  const all = { exp: Math.floor(now / 1000) + 3600, ...claims }
  return forge({ alg: 'HS256', typ: 'JWT', ...header }, all, withSecret(secret))
}

export interface MintOptions {
  secret?: string
  /** ms */
  now?: number
  header?: Record<string, unknown>
}

/** An HTTP server that answers every request with the same, and counts. */
export async function answerer(
  t: Test,
  answer: () => { status?: number; text: string },
): Promise<{ url: string; hits: () => number; close: () => Promise<void> }> {
  let hits = 0
  const server = createServer((_request, response) => {
    hits += 1
    const { status = 200, text } = answer()
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  t.teardown(close)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hits: () => hits,
    close,
  }
}

export type JwksAlgorithm = 'EdDSA' | 'ES256' | 'RS256'

/** Which hash the signature of an algorithm is made with; none for Ed25519. */
const HASHES: Record<JwksAlgorithm, string | null> = {
  EdDSA: null,
  ES256: 'sha256',
  RS256: 'sha256',
}

/** The key set of an identity provider, served over HTTP, with one key of each algorithm. */
export async function keySet(t: Test) {
  const keys = {
    EdDSA: generateKeyPairSync('ed25519'),
    ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  }
  const jwks = Object.entries(keys).map(([alg, { publicKey }]) => ({
    ...publicKey.export({ format: 'jwk' }),
    kid: alg.toLowerCase(),
    use: 'sig',
    alg,
  }))
  const answer: { status?: number; text: string } = { text: JSON.stringify({ keys: jwks }) }
  const server = await answerer(t, () => answer)
  const signer = (alg: JwksAlgorithm) => withKey(keys[alg].privateKey, HASHES[alg])
  return {
    ...server,
    answer,
    keys,
    signer,
    /** A token signed with one of the keys. */
    sign(alg: JwksAlgorithm, claims: object, header: object = {}): string {
      return forge({ alg, kid: alg.toLowerCase(), ...header }, claims, signer(alg))
    },
  }
}
