// Stops without hurting anybody (protocol section 9). Fastify's own close() resets sockets that are
// about to send and hangs on open streams, so the order is ours:
//   1. /readyz says 503, every answer says `Connection: close` (HTTP/2: GOAWAY), streams get `bye`,
//      polls answer;
//   2. for a while new connections are still taken: balancers need time to look away;
//   3. no new connections; what is under way is finished;
//   4. a connection that stays silent is closed from our side, in order (FIN, not RST).
//
// Closing a door hurts whoever is just coming through it: a connection in the queue of a listener, a
// request that crosses a GOAWAY. So nobody is answered for a moment before (`gate`). Who waits for an
// answer asks nothing else, and all who have asked are inside when the door is closed.
import type { IncomingMessage, Server } from 'node:http'
import type { Http2ServerRequest, ServerHttp2Session } from 'node:http2'
import { Server as NetServer, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../core/clock.ts'
import type { HttpContext } from '../context.ts'

const LISTEN_ON_MS = 3_000
/** Nobody is connected: this long is waited for somebody who is about to. */
const QUIET_MS = 300
/** A connection on which nothing happened for so long has nothing under way. */
const SILENT_MS = 4_000
/**
 * How long answers are held back before a door is closed: the last ones have to get there, and the
 * next request back, from a client that is busy too.
 */
const HOLD_MS = 200
const GIVE_UP_MS = 15_000
const LOOK_MS = 50

export class Drain {
  readonly #app: FastifyInstance
  readonly #context: HttpContext
  /** Open connections, and when something last happened on them. */
  #sockets = new Map<Socket, number>()
  /** Open sessions of HTTP/2 that were not told to go away, and when they began. */
  #sessions = new Map<ServerHttp2Session, number>()
  /** When somebody connected last. */
  #busyAt = 0

  constructor(app: FastifyInstance, context: HttpContext) {
    this.#app = app
    this.#context = context
    const { server } = app
    server.on(context.http.tls ? 'secureConnection' : 'connection', (socket: Socket) => {
      this.#sockets.set(socket, context.clock.now())
      this.#busyAt = context.clock.now()
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('session', (session: ServerHttp2Session) => {
      this.#sessions.set(session, context.clock.now())
      session.once('close', () => this.#sessions.delete(session))
    })
    // Before Fastify's listener: a request that is to be held back must find the gate shut.
    server.prependListener('request', (request: IncomingMessage) => {
      this.#watch(request)
      if (!context.draining || request.httpVersionMajor === 1) return
      const { session } = (request as unknown as Http2ServerRequest).stream
      if (session) this.#sendAway([session as ServerHttp2Session])
    })
  }

  /**
   * Resolves when everybody was served, after 15 s at the latest.
   * @param quick do not wait for balancers: somebody pressed Ctrl-C
   */
  async run({ quick }: { quick: boolean }): Promise<void> {
    const { clock, hub } = this.#context
    const startedAt = clock.now()
    this.#context.draining = true
    hub.endAll('shutdown')
    this.#sendAway([...this.#sessions.keys()])
    this.#busyAt = Math.max(this.#busyAt, startedAt)
    await this.#until(() => {
      const now = clock.now()
      const isQuiet = this.#sockets.size === 0 && now - this.#busyAt >= QUIET_MS
      return isQuiet || now - startedAt >= (quick ? 0 : LISTEN_ON_MS)
    })
    await this.#stopListening()
    await this.#until(() => {
      this.#closeSilent(quick ? 0 : SILENT_MS)
      return this.#sockets.size === 0 || clock.now() - startedAt >= GIVE_UP_MS
    })
    for (const socket of this.#sockets.keys()) socket.destroy()
  }

  #watch(request: IncomingMessage): void {
    const { socket } = request
    const touch = () => {
      if (this.#sockets.has(socket)) this.#sockets.set(socket, this.#context.clock.now())
    }
    touch()
    request.once('close', touch)
  }

  /**
   * GOAWAY (RFC 9113, 6.8): what is under way goes on; what is new opens a new connection. It cannot
   * be announced first, as the RFC advises: Node ignores requests behind the first GOAWAY.
   */
  #sendAway(sessions: ServerHttp2Session[]): void {
    const fresh = sessions.filter((session) => this.#sessions.delete(session))
    if (fresh.length === 0) return
    void this.#hold(() => {
      for (const session of fresh) session.close()
    })
  }

  /**
   * The kernel resets whoever stands in the queue of connections when it is closed; right after the
   * poll phase of the event loop it is empty. (http.Server.close() would also destroy idle
   * connections, on which a request may be arriving; net.Server.close() only stops listening.)
   */
  #stopListening(): Promise<void> {
    return this.#hold(() => NetServer.prototype.close.call(this.#app.server as Server))
  }

  /** Closes a door, right after a poll phase, while answers are held back. */
  #hold(close: () => void): Promise<void> {
    const context = this.#context
    const held = new Promise<void>((resolve) => {
      context.clock.after(HOLD_MS, () =>
        setImmediate(() => {
          close()
          resolve()
        }),
      )
    })
    const gate = Promise.all([context.gate, held]).then(() => {
      if (context.gate === gate) context.gate = undefined
    })
    context.gate = gate
    return held
  }

  #closeSilent(silentMs: number): void {
    const silentSince = this.#context.clock.now() - silentMs
    for (const [socket, activeAt] of this.#sockets) {
      const { _httpMessage: busy, alpnProtocol } = socket as TLSSocket & { _httpMessage?: unknown }
      if (!busy && alpnProtocol !== 'h2' && activeAt <= silentSince) socket.end()
    }
    // What is left of these has not asked for anything.
    const silent = [...this.#sessions].filter(([, since]) => since <= silentSince)
    this.#sendAway(silent.map(([session]) => session))
  }

  #until(isDone: () => boolean): Promise<void> {
    return poll(this.#context.clock, isDone)
  }
}

async function poll(clock: Clock, isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve))
}
