// One HTTP request in the only form this page uses: GET without headers of its own, or POST of a
// JSON string as text/plain. Both are CORS-simple, so that no browser ever sends a preflight.
// An answer is either the server's JSON, a Problem (the server said no), or NetworkTrouble:
// whatever lacks the `Posthorn` header was said by the network in between and may be tried again.

const REQUEST_TIMEOUT_MS = 10_000
const BACKOFF_FIRST_MS = 80
const BACKOFF_MAX_MS = 3_000
const RETRYABLE = new Set(['in-progress', 'rate-limited', 'mailbox-full', 'store-unavailable'])

// biome-ignore lint/suspicious/noExplicitAny: bodies are described by docs, not by types of this page
export type Json = Record<string, any>

export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly retryAfterMs: number

  constructor(status: number, body: Json, retryAfterMs: number) {
    super(String(body.detail ?? body.title ?? `status ${status}`))
    this.status = status
    this.code = String(body.code ?? '')
    this.retryAfterMs = retryAfterMs
  }
}

export class NetworkTrouble extends Error {}

export interface RequestOptions {
  body?: Json
  signal?: AbortSignal
  timeoutMs?: number
}

export async function request(url: URL, options: RequestOptions = {}): Promise<Json> {
  const { response, text } = await exchange(url, options)
  const body = parse(text)
  if (!response.headers.has('posthorn') || body === undefined) {
    throw new NetworkTrouble(`the network answered for the server (${response.status})`)
  }
  if (response.ok) return body
  const retryAfterMs = Number(response.headers.get('retry-after') ?? 0) * 1000 || 0
  throw new Problem(response.status, body, retryAfterMs)
}

/** May the same request succeed when it is simply sent again? */
export function isPassing(error: unknown): boolean {
  return error instanceof NetworkTrouble || (error instanceof Problem && RETRYABLE.has(error.code))
}

/** Full jitter: a crowd that lost the same server does not come back in the same moment. */
export function backoffMs(tries: number): number {
  return Math.random() * Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** tries)
}

/** Waits, but not longer than until the browser says that the network is back. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      removeEventListener('online', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    addEventListener('online', done)
  })
}

/** For nonces and idempotency keys. (`crypto.randomUUID` is missing on pages without TLS.) */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function exchange(
  url: URL,
  { body, signal, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions,
) {
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    })
    return { response, text: await response.text() }
  } catch (error) {
    if (signal?.aborted) throw error
    throw new NetworkTrouble(timeout.aborted ? 'no answer in time' : 'no connection to the server')
  }
}

function parse(text: string): Json | undefined {
  if (text === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
