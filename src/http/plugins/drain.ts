// Stops without hurting anybody (protocol section 9). Fastify's own close() resets sockets that are
// about to send and hangs on open streams, so the order is ours:
//   1. /readyz says 503, every answer says `Connection: close`, streams get `bye`, polls answer;
//   2. for a while new connections are still taken: balancers need time to look away;
//   3. no new connections; what is under way is finished;
//   4. a connection that stays silent is closed from our side, in order (FIN, not RST).
import type { IncomingMessage, Server } from 'node:http'
import type { Http2ServerRequest, ServerHttp2Session } from 'node:http2'
import { Server as NetServer, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../core/clock.ts'
import type { HttpContext } from '../context.ts'

const LISTEN_ON_MS = 3_000
/** Nobody is connected: this long is waited for somebody who is about to. */
const QUIET_MS = 300
/** A connection on which nothing happened for so long has nothing under way. */
const SILENT_MS = 4_000
/** How long answers are held back while the listener closes. */
const HOLD_MS = 30
const GIVE_UP_MS = 15_000
const LOOK_MS = 50

export class Drain {
  readonly #app: FastifyInstance
  readonly #context: HttpContext
  /** Open connections, and when something last happened on them. */
  #sockets = new Map<Socket, number>()
  #sessions = new Set<ServerHttp2Session>()
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
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
    })
    server.prependListener('request', (request: IncomingMessage) => {
      this.#watch(request)
      if (!context.draining || request.httpVersionMajor === 1)
        return // GOAWAY: what is under way goes on, what is new opens a new connection.
      ;(request as unknown as Http2ServerRequest).stream.session?.close()
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
    for (const session of this.#sessions) session.close()
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
   * The kernel resets whoever stands in the queue of connections when it is closed. So for a moment
   * nobody is answered: who waits for an answer does not connect again, and all who have connected are
   * taken in. Right after the poll phase of the event loop (setImmediate) the queue is empty.
   * (http.Server.close() would also destroy idle connections, on which a request may be arriving;
   * net.Server.close() only stops listening.)
   */
  async #stopListening(): Promise<void> {
    const { clock } = this.#context
    let open = () => {}
    this.#context.gate = new Promise((resolve) => {
      open = resolve
    })
    await new Promise<void>((resolve) => clock.after(HOLD_MS, resolve))
    await new Promise<void>((resolve) =>
      setImmediate(() => {
        NetServer.prototype.close.call(this.#app.server as Server)
        resolve()
      }),
    )
    this.#context.gate = undefined
    open()
  }

  #closeSilent(silentMs: number): void {
    const now = this.#context.clock.now()
    for (const [socket, activeAt] of this.#sockets) {
      const { _httpMessage: busy } = socket as Socket & { _httpMessage?: unknown }
      if (!busy && now - activeAt >= silentMs && this.#sessions.size === 0) socket.end()
    }
  }

  #until(isDone: () => boolean): Promise<void> {
    return poll(this.#context.clock, isDone)
  }
}

async function poll(clock: Clock, isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve))
}
