// Who this page is to the server: a guest session with its token, its ticket and their renewal.
// Invariant: a request either succeeds, is refused for good (a Problem is thrown), or is repeated
// until it succeeds. Lost network, forgotten ticket and expired token are mended here and only told.
// The token travels in bodies of POSTs, the ticket in the addresses of GETs, nothing in headers.
import { backoffMs, isPassing, type Json, NetworkTrouble, Problem, pause, request } from './http.ts'

const REFRESH_MARGIN = 0.8
const MENDS_APART_MS = 2_000
const TIMER_MAX_MS = 2 ** 31 - 1

export interface SessionHandlers {
  /** A new session stands in place of a lost one, if possible under the same address. */
  renewed(sameAddress: boolean): void
  trouble(text: string): void
  mended(): void
  failed(error: unknown): void
}

export class Session {
  peer = ''
  readonly #base: URL
  readonly #info: Json
  readonly #on: SessionHandlers
  #token = ''
  #ticket = ''
  #ended = false
  #inTrouble = false
  /** When the session or its ticket was last replaced, on the browser's steady clock. */
  #mendedAt = Number.NEGATIVE_INFINITY
  #renewing: Promise<void> | undefined
  #refreshTimer: ReturnType<typeof setTimeout> | undefined

  constructor(base: URL, info: Json, on: SessionHandlers) {
    this.#base = base
    this.#info = info
    this.#on = on
  }

  async start(): Promise<void> {
    const body = { info: this.#info }
    this.#adopt(await this.#persist(() => request(this.#url('sessions'), { body })))
  }

  get(path: string): Promise<Json> {
    return this.#persist(() => request(this.address(path)))
  }

  post(path: string, body: Json = {}): Promise<Json> {
    return this.#persist(() => request(this.#url(path), { body: { ...body, token: this.#token } }))
  }

  address(path: string, query: Record<string, string | number> = {}): URL {
    const url = this.#url(path)
    url.searchParams.set('ticket', this.#ticket)
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value))
    return url
  }

  /** A guest may refresh for a day; after that only a new session helps. */
  async refresh(): Promise<void> {
    try {
      this.#adopt(await this.post('session/refresh'))
    } catch (error) {
      if (!(error instanceof Problem) || this.#ended) throw error
      await this.#renew()
    }
  }

  /** Something came from the server: whatever was told to be broken works again. */
  alive(): void {
    if (!this.#inTrouble) return
    this.#inTrouble = false
    this.#on.mended()
  }

  /** Mends what can be mended and waits where that is due, or throws the error again. */
  async recover(error: unknown, tries: number): Promise<void> {
    if (this.#ended) throw error
    const mendedAt = this.#mendedAt
    if (isPassing(error)) this.#tell(error as Error)
    else if (error instanceof Problem && error.code === 'ticket-unknown') await this.#reopen()
    else if (error instanceof Problem && error.status === 401) await this.#renew()
    else throw error
    // What was mended just now is used at once; what has to be mended time and again is not.
    if (this.#mendedAt - mendedAt > MENDS_APART_MS) return
    const atLeastMs = error instanceof Problem ? error.retryAfterMs : 0
    await pause(Math.max(atLeastMs, tries === 0 ? 0 : backoffMs(tries)))
  }

  async end(): Promise<void> {
    this.#stop()
    if (!this.#token) return
    await request(this.#url('session/end'), { body: { token: this.#token } }).catch(() => {})
  }

  /** For `pagehide`, when there is no time left to wait for an answer. */
  endByBeacon(): void {
    this.#stop()
    navigator.sendBeacon(this.#url('session/end'), JSON.stringify({ token: this.#token }))
  }

  async #persist(attempt: () => Promise<Json>): Promise<Json> {
    for (let tries = 0; ; tries++) {
      try {
        const answer = await attempt()
        this.alive()
        return answer
      } catch (error) {
        await this.recover(error, tries)
      }
    }
  }

  async #reopen(): Promise<void> {
    try {
      this.#adopt(await request(this.#url('session/open'), { body: { token: this.#token } }))
      this.#mendedAt = performance.now()
    } catch (error) {
      if (error instanceof Problem && error.status === 401) await this.#renew()
      else if (isPassing(error)) this.#tell(error as Error)
      else throw error
    }
  }

  /** Many requests may learn of the lost session at once: it is replaced once. */
  #renew(): Promise<void> {
    this.#renewing ??= this.#replace().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  /** The old address if it can be had, so that the others' calls stay where they are; else any. */
  async #replace(): Promise<void> {
    const { peer } = this
    for (const wish of [{ peer, token: this.#token }, { peer }, {}]) {
      try {
        const body = { ...wish, info: this.#info }
        this.#adopt(await request(this.#url('sessions'), { body }))
        this.#mendedAt = performance.now()
        return this.#on.renewed(this.peer === peer)
      } catch (error) {
        if (error instanceof NetworkTrouble) return this.#tell(error)
        if (!(error instanceof Problem) || error.code === 'guests-off') throw error
      }
    }
  }

  #adopt(session: Json): void {
    this.peer = session.peer
    this.#token = session.token ?? this.#token
    this.#ticket = session.ticket ?? this.#ticket
    if (!session.refreshAfterMs || this.#ended) return
    clearTimeout(this.#refreshTimer)
    this.#refreshTimer = setTimeout(
      () => this.refresh().catch((error) => this.#ended || this.#on.failed(error)),
      Math.min(TIMER_MAX_MS, session.refreshAfterMs * REFRESH_MARGIN),
    )
  }

  #tell(error: Error): void {
    this.#inTrouble = true
    this.#on.trouble(`${error.message.replace(/\.$/, '')}; trying again …`)
  }

  #stop(): void {
    this.#ended = true
    clearTimeout(this.#refreshTimer)
  }

  #url(path: string): URL {
    return new URL(path, this.#base)
  }
}
