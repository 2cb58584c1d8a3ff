// Drives a Firefox as it comes from the distribution, by Marionette: the protocol behind
// geckodriver, JSON over a plain TCP socket, so that no package and no driver is needed.
// Frames are `length:[0, id, command, parameters]` and, back, `length:[1, id, error, result]`.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const START_TIMEOUT_MS = 60_000

const PREFERENCES = {
  'marionette.port': 0, // any free one; it is written to a file in the profile
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'media.peerconnection.ice.loopback': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
}

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

export class Firefox {
  readonly #process: ChildProcess
  readonly #profile: string
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  #received = Buffer.alloc(0)
  #lastId = 0

  static async launch(path: string): Promise<Firefox> {
    const profile = mkdtempSync(join(tmpdir(), 'posthorn-firefox-'))
    writeFileSync(join(profile, 'user.js'), preferences())
    const args = ['--headless', '--marionette', '--no-remote', '--profile', profile, 'about:blank']
    const process = spawn(path, args, { stdio: 'ignore' })
    const port = await portOf(profile, process)
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const firefox = new Firefox(process, profile, socket)
    await firefox.#command('WebDriver:NewSession')
    return firefox
  }

  private constructor(process: ChildProcess, profile: string, socket: Socket) {
    this.#process = process
    this.#profile = profile
    this.#socket = socket
    socket.on('data', (bytes) => this.#read(bytes))
  }

  async goto(url: string): Promise<void> {
    await this.#command('WebDriver:Navigate', { url })
  }

  /** Runs the body of a function in the page; it returns JSON. */
  async run<T>(script: string): Promise<T> {
    const result = await this.#command('WebDriver:ExecuteScript', { script, args: [] })
    return (result as { value: T }).value
  }

  async close(): Promise<void> {
    const exited = once(this.#process, 'exit')
    this.#command('Marionette:Quit', { flags: ['eForceQuit'] }).catch(() => {})
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5_000)
    await exited
    clearTimeout(timer)
    this.#socket.destroy()
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }

  #command(name: string, parameters: object = {}): Promise<unknown> {
    const id = ++this.#lastId
    const text = JSON.stringify([0, id, name, parameters])
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`)
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #read(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    for (;;) {
      const start = this.#received.indexOf(':') + 1
      const end = start + Number(this.#received.subarray(0, Math.max(0, start - 1)))
      if (start === 0 || this.#received.length < end) return
      this.#settle(JSON.parse(this.#received.toString('utf8', start, end)))
      this.#received = this.#received.subarray(end)
    }
  }

  #settle(answer: unknown): void {
    if (!Array.isArray(answer)) return // the greeting
    const [, id, error, result] = answer
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error) waiting?.reject(new Error(`${error.error}: ${error.message}`))
    else waiting?.resolve(result)
  }
}

function preferences(): string {
  return Object.entries(PREFERENCES)
    .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`)
    .join('')
}

async function portOf(profile: string, process: ChildProcess): Promise<number> {
  const file = join(profile, 'MarionetteActivePort')
  const deadline = Date.now() + START_TIMEOUT_MS
  while (Date.now() < deadline && process.exitCode === null) {
    const port = existsSync(file) && Number(readFileSync(file, 'utf8'))
    if (port) return port
    await sleep(50)
  }
  process.kill('SIGKILL')
  throw new Error('Firefox did not start')
}
