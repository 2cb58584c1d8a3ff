// The two ways to read a mailbox: a held GET that is answered with one page (long-poll), and an
// event stream (SSE). Both go on from the same cursor and hand over the same messages, so that one
// can take the other's place at any moment. Each function reads once and returns when the next read
// is due; the caller repeats it, and mends what is thrown.
import { type Json, NetworkTrouble, Problem, pause, randomKey, request } from './http.ts'
import type { Message, Signaling } from './signaling.ts'

const POLL_WAIT_S = 25
const POLL_TIMEOUT_MS = (POLL_WAIT_S + 5) * 1000
/** By then the server's `proof` is there, or something on the way collects the stream. */
const PROOF_TIMEOUT_MS = 4_000
/** Twice the calmest rate of heartbeats that the protocol knows, and a little. */
const SILENCE_MAX_MS = 2 * 15_000 + 1_500

/** Silent from the start: a box on the way buffers. There is never an error, only no events. */
export class StreamHeldBack extends Error {}

export async function readByPoll(signaling: Signaling, signal: AbortSignal): Promise<void> {
  const { session } = signaling
  const n = randomKey()
  const url = session.address('messages', { since: signaling.cursor, wait: POLL_WAIT_S, n })
  const page = await request(url, { signal, timeoutMs: POLL_TIMEOUT_MS })
  if (page.n !== n) throw new NetworkTrouble('a cache answered for the server')
  session.alive()
  if (page.reset) signaling.startOver(page.resetReason)
  for (const message of page.messages) {
    const ageMs = Date.parse(page.serverTime) - Date.parse(message.sentAt)
    signaling.take(message, ageMs, 'poll')
  }
  signaling.cursor = page.cursor
}

/** The native EventSource, opened anew for each read: its own return has no jitter and no ticket. */
export async function readByStream(signaling: Signaling, signal: AbortSignal): Promise<void> {
  const n = randomKey()
  const source = new EventSource(
    signaling.session.address('events', { since: signaling.cursor, n }),
  )
  const watchdog = new Watchdog()
  const close = () => source.close()
  signal.addEventListener('abort', close)
  try {
    const bye = await Promise.race([listen(source, signaling, watchdog, n), aborted(signal)])
    if (bye.reason === 'token-expired') await signaling.session.refresh()
    await pause(bye.retryAfterMs ?? 0)
  } finally {
    signal.removeEventListener('abort', close)
    watchdog.stop()
    close()
  }
}

/** Hands over what the stream brings, until the server says `bye`. */
function listen(
  source: EventSource,
  signaling: Signaling,
  watchdog: Watchdog,
  n: string,
): Promise<Json> {
  const { session } = signaling
  const clock = new ServerClock()
  return new Promise((resolve, reject) => {
    let silenceMaxMs = PROOF_TIMEOUT_MS
    const expect = (error: Error) => watchdog.start(silenceMaxMs, () => reject(error))
    const on = (name: string, act: (data: Json) => void) =>
      source.addEventListener(name, (event) => {
        expect(new NetworkTrouble('the stream fell silent'))
        act(JSON.parse((event as MessageEvent).data))
      })

    on('hello', (hello) => {
      if (hello.n !== n) return reject(new NetworkTrouble('a cache answered for the server'))
      clock.set(hello.serverTime)
      expect(new StreamHeldBack())
      if (hello.reset) signaling.startOver(hello.resetReason)
    })
    on('proof', () => {
      silenceMaxMs = SILENCE_MAX_MS
      expect(new NetworkTrouble('the stream fell silent'))
      session.alive()
    })
    on('message', (message) => {
      signaling.take(message as Message, clock.now() - Date.parse(message.sentAt), 'stream')
    })
    on('heartbeat', (heartbeat) => {
      clock.set(heartbeat.serverTime)
      signaling.cursor = Math.max(signaling.cursor, heartbeat.cursor)
      session.alive()
    })
    on('token-expiring', () => void session.refresh().catch(() => {}))
    on('bye', resolve)
    source.onerror = () => reject(lossOf(source))
    expect(new StreamHeldBack())
  })
}

/** A browser hides the status, but it gives up (CLOSED) only where there was one. */
function lossOf(source: EventSource): Error {
  if (source.readyState !== EventSource.CLOSED) return new NetworkTrouble('the stream was cut')
  return new Problem(403, { code: 'ticket-unknown', detail: 'the stream was refused' }, 0)
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

class Watchdog {
  #timer: ReturnType<typeof setTimeout> | undefined

  start(ms: number, bark: () => void): void {
    this.stop()
    this.#timer = setTimeout(bark, ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

/** The server's time, carried on by the browser's steady clock: its calendar is never trusted. */
class ServerClock {
  #serverAt = Date.now()
  #localAt = performance.now()

  set(serverTime: string): void {
    this.#serverAt = Date.parse(serverTime)
    this.#localAt = performance.now()
  }

  now(): number {
    return this.#serverAt + performance.now() - this.#localAt
  }
}
