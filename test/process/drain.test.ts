// Stopping under load (protocol section 9; trust T16): the program is told to stop while peers send,
// poll, stream and connect. Nobody sees a 5xx or a reset, nothing accepted is lost to its reader, and
// the process ends with 0 in time. Then the same over HTTP/2.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, request as requestHttp } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import t, { type Test } from 'tap'

const CLI = join(import.meta.dirname, '../../dist/cli.js')
const FIXTURES = join(import.meta.dirname, '../fixtures')
const ROUNDS = 5
const PAIRS = 3
const IDLE = 4
const EXIT_MS = 25_000
/** So many signals of each pair are accepted before the program is told to stop. */
const WARM_SIGNALS = 20

// biome-ignore lint/suspicious/noExplicitAny: answers of the program
type Json = any

interface Answer {
  status: number
  headers: Record<string, unknown>
  body: Json
}

type Ask = (method: string, path: string, token?: string, body?: object) => Promise<Answer>

interface Program {
  child: ChildProcess
  origin: string
  /** Resolves with its exit code and after how long it ended. */
  stop(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }>
}

async function start(t: Test, flags: string[] = []): Promise<Program> {
  const words = [CLI, 'serve', '--port', '0', '--rate-limit', '0', ...flags]
  const child = spawn(process.execPath, words, { env: {}, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr?.on('data', (chunk) => {
    errors += chunk
  })
  const [line] = await once(createInterface({ input: child.stdout as never }), 'line')
  const origin = String(line).split(' ').at(-1) as string
  const stop = async (signal: NodeJS.Signals) => {
    const startedAt = performance.now()
    child.kill(signal)
    const [code] = await once(child, 'exit')
    t.notMatch(errors, /"level":[56]0/, 'it logs no error')
    return { code, ms: Math.round(performance.now() - startedAt) }
  }
  return { child, origin, stop }
}

/** What went wrong, and what is right to happen at the end. */
class Findings {
  readonly faults: string[] = []
  refused = 0
  served = 0
  isStopping = false
  /** Resolves when the program is told to stop. */
  readonly stopping: Promise<void>
  #resolve = () => {}

  constructor() {
    this.stopping = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  stop(): void {
    this.isStopping = true
    this.#resolve()
  }

  /** @returns whether the client may go on */
  note(what: string, outcome: Answer | Error): outcome is Answer {
    if (!(outcome instanceof Error)) {
      if (outcome.status >= 500) this.faults.push(`${what}: ${outcome.status}`)
      this.served += 1
      return true
    }
    const { code = outcome.message } = outcome as NodeJS.ErrnoException
    // The listener is closed: the balancer looked away by then.
    if (code === 'ECONNREFUSED' && this.isStopping) this.refused += 1
    else this.faults.push(`${what}: ${code} ${outcome.message}`)
    return false
  }
}

const settled = (answer: Promise<Answer>): Promise<Answer | Error> =>
  answer.catch((error: Error) => error)

/** A client of HTTP/1.1 with one connection that is kept, or one for each request. */
function http1(origin: string, isKept: boolean): Ask {
  const agent = isKept ? new Agent({ keepAlive: true, maxSockets: 1 }) : (false as const)
  return (method, path, token, body) =>
    new Promise((resolve, reject) => {
      const text = body && JSON.stringify(body)
      const request = requestHttp(`${origin}${path}`, {
        method,
        agent,
        headers: {
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(text !== undefined && {
            'Content-Type': 'application/json',
            'Content-Length': Buffer.byteLength(text),
          }),
        },
      })
      request.on('error', reject)
      request.on('response', (response) => {
        let received = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => {
          received += chunk
        })
        response.on('error', reject)
        response.on('end', () => {
          const { statusCode = 0, headers } = response
          const isJson = String(headers['content-type']).includes('json')
          resolve({ status: statusCode, headers, body: isJson ? JSON.parse(received) : received })
        })
      })
      request.end(text)
    })
}

interface StreamEnd {
  ids: number[]
  reason: string | undefined
}

type OpenStream = (path: string, token: string) => Promise<StreamEnd>

/** Reads a stream to its end. @returns what it heard, and what bye said */
const stream1 =
  (origin: string): OpenStream =>
  (path, token) =>
    new Promise((resolve, reject) => {
      const heard = new StreamEar()
      const headers = { Authorization: `Bearer ${token}` }
      const request = requestHttp(`${origin}${path}`, { agent: false, headers })
      request.on('error', reject)
      request.on('response', (response) => {
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => heard.feed(chunk))
        response.on('error', reject)
        response.on('end', () => resolve(heard))
      })
      request.end()
    })

class StreamEar implements StreamEnd {
  readonly ids: number[] = []
  reason: string | undefined
  readonly #parser = createParser({
    onEvent: ({ event, id, data }) => {
      if (event === undefined) this.ids.push(Number(id))
      if (event === 'bye') this.reason = JSON.parse(data).reason
    },
  })

  feed(chunk: string): void {
    this.#parser.feed(chunk)
  }
}

interface Client {
  ask: Ask
  stream: OpenStream
}

/** A pair whose one side sends, and whose other side polls or streams. */
class Pair {
  readonly accepted: number[] = []
  readonly read: number[] = []
  /** How its reader was told that it is over. */
  told: string | undefined
  cursor = 0
  readonly #findings: Findings
  readonly #name: string
  #sender = ''
  #reader = ''

  constructor(findings: Findings, name: string) {
    this.#findings = findings
    this.#name = name
  }

  async join(ask: Ask): Promise<void> {
    const names = [`${this.#name}-from`, `${this.#name}-to`]
    const tokens: string[] = []
    for (const peer of names) {
      const { body } = await ask('POST', '/sessions', undefined, { peer })
      await ask('POST', `/rooms/${this.#name}/join`, body.token, { create: true })
      tokens.push(body.token)
    }
    this.#sender = tokens[0] as string
    this.#reader = tokens[1] as string
    this.cursor = (await ask('GET', '/messages?wait=0', this.#reader)).body.cursor
  }

  async send(ask: Ask): Promise<void> {
    const to = `${this.#name}-to`
    for (;;) {
      const posted = ask('POST', '/messages', this.#sender, { to, type: 'x', payload: { a: 'b' } })
      const answer = await settled(posted)
      if (!this.#findings.note(`${this.#name} sends`, answer)) return
      if (answer.status === 201) this.accepted.push(answer.body.deliveries[0].id)
      await sleep(4)
    }
  }

  async poll(ask: Ask): Promise<void> {
    for (;;) {
      const path = `/messages?wait=25&since=${this.cursor}`
      const answer = await settled(ask('GET', path, this.#reader))
      if (!this.#findings.note(`${this.#name} polls`, answer)) return
      this.#take(answer.body)
      this.told = 'a page'
    }
  }

  #take({ messages, cursor }: Json): void {
    for (const { id, from } of messages) if (from !== '@server') this.read.push(id)
    this.cursor = cursor
  }

  async stream({ ask, stream }: Client): Promise<void> {
    let isOver = false
    const acknowledge = async () => {
      while (!isOver) {
        await sleep(100)
        const answer = await settled(
          ask('GET', `/messages?wait=0&since=${this.cursor}`, this.#reader),
        )
        if (!this.#findings.note(`${this.#name} acknowledges`, answer)) return
        this.#take(answer.body)
      }
    }
    const acknowledged = acknowledge()
    const end = await stream(`/events?since=${this.cursor}`, this.#reader).catch((e: Error) => e)
    isOver = true
    await acknowledged
    if (end instanceof Error) this.#findings.faults.push(`${this.#name} streams: ${end.message}`)
    else {
      this.told = `bye ${end.reason}`
      this.read.splice(0, this.read.length, ...new Set([...this.read, ...end.ids].sort()))
      this.cursor = Math.max(this.cursor, end.ids.at(-1) ?? 0)
    }
  }

  /** What was accepted for its reader up to where it has read. */
  due(): number[] {
    return this.accepted.filter((id) => id <= this.cursor)
  }
}

interface Load {
  findings: Findings
  pollers: Pair[]
  streamers: Pair[]
  readiness: { status: number; atMs: number }[]
  over: Promise<unknown>
}

/** A request whose body arrives while the program stops. */
async function upload(origin: string, findings: Findings): Promise<void> {
  const text = JSON.stringify({ peer: 'slow-upload' })
  const answer = new Promise<Answer>((resolve, reject) => {
    const headers = { 'Content-Type': 'text/plain', 'Content-Length': text.length }
    const request = requestHttp(`${origin}/sessions`, { method: 'POST', agent: false, headers })
    request.on('error', reject)
    request.on('response', (response) => {
      response.resume()
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: undefined })
    })
    request.write(text.slice(0, 5))
    void findings.stopping.then(() => sleep(1000)).then(() => request.end(text.slice(5)))
  })
  const outcome = await settled(answer)
  findings.note('uploads', outcome)
  if (!(outcome instanceof Error) && outcome.status !== 201) findings.faults.push('not uploaded')
}

/** A connection that was made in advance, and asks for something only while the program stops. */
async function preconnect(origin: string, findings: Findings): Promise<void> {
  const socket = connectTcp(Number(new URL(origin).port), '127.0.0.1')
  await once(socket, 'connect')
  await findings.stopping
  await sleep(2000)
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', (error) => findings.faults.push(`preconnects: ${error.message}`))
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'close')
  if (!/^HTTP\/1\.1 200 .*connection: close/is.test(text)) findings.faults.push('no answer')
}

/** Puts load on a program until it refuses connections. */
async function load(
  client: (isKept: boolean) => Client,
  others: ((findings: Findings) => Promise<void>)[] = [],
): Promise<Load> {
  const findings = new Findings()
  const pairs = (kind: string) =>
    Array.from({ length: PAIRS }, (_, n) => new Pair(findings, `${kind}${n}`))
  const [pollers, streamers] = [pairs('poll'), pairs('stream')]
  const { ask } = client(true)
  for (const pair of [...pollers, ...streamers]) await pair.join(ask)
  const readiness: Load['readiness'] = []

  const connecting = async () => {
    for (;;) {
      const answer = await settled(client(false).ask('GET', '/openapi-3.1.json'))
      if (!findings.note('connects', answer)) return
      await sleep(10)
    }
  }
  const looking = async () => {
    for (;;) {
      const atMs = performance.now()
      const answer = await settled(client(false).ask('GET', '/readyz'))
      // 503 is its right answer now.
      if (answer instanceof Error) {
        findings.note('looks', answer)
        return
      }
      readiness.push({ status: answer.status, atMs })
      await sleep(25)
    }
  }
  /** Silent for two seconds of the stop: its next request is served all the same. */
  const idling = async () => {
    const { ask } = client(true)
    const first = await settled(ask('GET', '/healthz'))
    if (!findings.note('idles', first)) return
    await findings.stopping
    await sleep(2000)
    findings.note('returns', await settled(ask('GET', '/healthz')))
  }
  const over = Promise.all([
    ...pollers.flatMap((pair) => [pair.send(client(true).ask), pair.poll(client(true).ask)]),
    ...streamers.flatMap((pair) => [pair.send(client(true).ask), pair.stream(client(true))]),
    connecting(),
    looking(),
    ...Array.from({ length: IDLE }, idling),
    ...others.map((run) => run(findings)),
  ])
  return { findings, pollers, streamers, readiness, over }
}

async function stopUnderLoad(t: Test, program: Program, running: Load): Promise<void> {
  const { findings, pollers, streamers, readiness, over } = running
  const pairs = [...pollers, ...streamers]
  while (pairs.some(({ accepted }) => accepted.length < WARM_SIGNALS)) await sleep(10)
  await sleep(Math.random() * 100)
  const before = findings.served
  const signalledAt = performance.now()
  findings.stop()
  const { code, ms } = await program.stop('SIGTERM')
  await over
  t.equal(code, 0)
  t.ok(ms <= EXIT_MS, `it ends after ${ms} ms`)
  t.same(findings.faults, [], 'nobody sees a 5xx or a reset')
  t.ok(findings.served > before + 20, `${findings.served - before} requests were served meanwhile`)
  const later = readiness.filter(({ atMs }) => atMs > signalledAt + 200)
  t.ok(later.length >= 2, 'new connections are taken for a while')
  t.ok(
    later.every(({ status }) => status === 503),
    'and told that it is not ready',
  )
  for (const pair of pairs) {
    const { accepted, read, told } = pair
    t.ok(accepted.length >= WARM_SIGNALS, `${accepted.length} signals were accepted`)
    t.same(read, pair.due(), `its reader had ${read.length}, without a gap`)
    t.equal(told, streamers.includes(pair) ? 'bye shutdown' : 'a page')
  }
}

async function round(t: Test, number: number): Promise<void> {
  await t.test(`round ${number}`, async (t) => {
    const program = await start(t)
    const client = (isKept: boolean) => ({
      ask: http1(program.origin, isKept),
      stream: stream1(program.origin),
    })
    const others = [upload, preconnect].map(
      (run) => (findings: Findings) => run(program.origin, findings),
    )
    await stopUnderLoad(t, program, await load(client, others))
  })
}

async function roundOverHttp2(t: Test): Promise<void> {
  await t.test('over HTTP/2', async (t) => {
    const cert = join(FIXTURES, 'tls-cert.pem')
    const flags = ['--tls-cert', cert, '--tls-key', join(FIXTURES, 'tls-key.pem')]
    const program = await start(t, flags)
    const ca = readFileSync(cert)
    const client = (isKept: boolean) => {
      const connection = new Http2Connection(program.origin, ca, isKept)
      return { ask: connection.ask, stream: connection.stream }
    }
    await stopUnderLoad(t, program, await load(client))
  })
}

t.test('SIGTERM under load', { jobs: 2, buffered: true }, async (t) => {
  const rounds = Array.from({ length: ROUNDS }, (_, n) => round(t, n + 1))
  await Promise.all([...rounds, roundOverHttp2(t)])
})

/** One session at a time; a new one when the server says GOAWAY, as browsers do. */
class Http2Connection {
  readonly #origin: string
  readonly #ca: Buffer
  readonly #isKept: boolean
  #session: ClientHttp2Session | undefined

  constructor(origin: string, ca: Buffer, isKept: boolean) {
    this.#origin = origin
    this.#ca = ca
    this.#isKept = isKept
  }

  ask: Ask = async (method, path, token, body) => {
    const session = await this.#connected()
    return new Promise((resolve, reject) => {
      const stream = session.request({
        ':method': method,
        ':path': path,
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      })
      let headers: Record<string, unknown> = {}
      let text = ''
      stream.setEncoding('utf8')
      stream.on('response', (received) => {
        headers = received
      })
      stream.on('data', (chunk) => {
        text += chunk
      })
      stream.on('error', reject)
      stream.on('close', () => {
        if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) {
          reject(new Error(`stream reset with ${stream.rstCode}`))
          return
        }
        if (!this.#isKept) session.close()
        const isJson = String(headers['content-type']).includes('json')
        const status = Number(headers[':status'])
        if (Number.isNaN(status)) reject(new Error('no answer'))
        else resolve({ status, headers, body: isJson ? JSON.parse(text) : text })
      })
      stream.end(body && JSON.stringify(body))
    })
  }

  stream: OpenStream = async (path, token) => {
    const session = await this.#connected()
    return new Promise((resolve, reject) => {
      const heard = new StreamEar()
      const stream = session.request({ ':path': path, authorization: `Bearer ${token}` })
      stream.setEncoding('utf8')
      stream.on('data', (chunk: string) => heard.feed(chunk))
      stream.on('error', reject)
      stream.on('close', () => resolve(heard))
    })
  }

  async #connected(): Promise<ClientHttp2Session> {
    const current = this.#session
    if (this.#isKept && current && !current.closed && !current.destroyed) return current
    const session = connectHttp2(this.#origin, { ca: this.#ca })
    this.#session = session
    await once(session, 'connect')
    session.on('error', () => {})
    return session
  }
}

t.test('SIGINT is quick', async (t) => {
  const program = await start(t)
  const ask = http1(program.origin, true)
  const { body } = await ask('POST', '/sessions')
  const stream = stream1(program.origin)('/events', body.token)
  const poll = ask(
    'GET',
    `/messages?wait=25&since=${(await ask('GET', '/session', body.token)).body.newest}`,
    body.token,
  )
  await sleep(200)
  const { code, ms } = await program.stop('SIGINT')
  t.equal(code, 0)
  t.ok(ms < 3000, `it ends after ${ms} ms`)
  t.equal((await stream).reason, 'shutdown')
  t.same((await poll).body.messages, [])
})

t.test('without a connection SIGTERM is quick too', async (t) => {
  const program = await start(t)
  const { code, ms } = await program.stop('SIGTERM')
  t.equal(code, 0)
  t.ok(ms < 3000, `it ends after ${ms} ms`)
})

t.test('a second signal ends it at once', async (t) => {
  const program = await start(t)
  const { body } = await http1(program.origin, true)('POST', '/sessions')
  const stream = stream1(program.origin)('/events', body.token).catch(() => undefined)
  await sleep(100)
  const over = program.stop('SIGTERM')
  await sleep(500)
  program.child.kill('SIGTERM')
  const { code, ms } = await over
  t.equal(code, 0)
  t.ok(ms < 3000, `it ends after ${ms} ms`)
  await stream
})
