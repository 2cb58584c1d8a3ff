// Builds one running server from a Config: the store, the hub, the rules around them, the app. The
// only file that chooses a store.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { Tokens } from './auth/tokens.ts'
import { type Config, readConfig } from './config/config.ts'
import { type Clock, systemClock } from './core/clock.ts'
import { StreamSweep } from './delivery/event-stream.ts'
import { Hub } from './delivery/hub.ts'
import { buildApp } from './http/app.ts'
import type { HttpContext } from './http/context.ts'
import { toYaml } from './http/openapi.ts'
import { Drain } from './http/plugins/drain.ts'
import { collectMetrics } from './http/plugins/metrics.ts'
import { Housekeeping } from './signaling/presence.ts'
import { MemoryStore } from './store/memory.ts'

export interface RunningServer {
  /** Without the base path: `http://127.0.0.1:8787`. */
  url: string
  /** Serves everybody who is there, then stops; see http/plugins/drain. */
  stop(how: { quick: boolean }): Promise<void>
}

/** For tests: time turned by hand, dice that always fall the same, logs kept. */
export interface Environment {
  clock?: Clock
  random?: () => number
  logStream?: { write(line: string): void }
}

/** Listens. @throws the error of `listen` (EADDRINUSE, EACCES ...) */
export async function startServer(
  config: Config,
  environment: Environment = {},
): Promise<RunningServer> {
  const { app, context } = await buildServer(config, environment)
  const drain = new Drain(app, context)
  const housekeeping = new Housekeeping(context, (err) =>
    app.log.error({ err }, 'housekeeping failed'),
  )
  try {
    await app.listen({
      host: config.host,
      port: config.port,
      backlog: 4096,
      listenTextResolver: () => 'listening',
    })
  } catch (error) {
    housekeeping.stop()
    await app.close()
    throw error
  }
  return {
    url: toUrl(config, app.server.address() as AddressInfo),
    stop: async (how) => {
      await drain.run(how)
      housekeeping.stop()
      await app.close()
      await context.store.close()
    },
  }
}

/** The app and everything behind it, not listening yet. */
export async function buildServer(config: Config, environment: Environment = {}) {
  const clock = environment.clock ?? systemClock
  const hub = new Hub()
  const store = new MemoryStore({ bytesMax: config.memoryMaxBytes, now: clock.now() })
  store.onRing = (peer) => hub.ring(peer)
  const configured = config.secret !== undefined || config.jwksUrl !== undefined
  const { messageTtlMs, rateLimit, leaseMs, guests } = config
  const { basePath, corsOrigins, trustProxy, streamMaxAgeMs, metricsToken, logLevel, tls } = config
  const context: HttpContext = {
    store,
    hub,
    clock,
    tokens: new Tokens(
      {
        // Without a secret the server listens on loopback only, with one that nobody knows.
        secret: config.secret ?? (configured ? undefined : randomBytes(32).toString('base64url')),
        jwksUrl: config.jwksUrl,
        issuer: config.issuer,
        audience: config.audience,
        configured,
      },
      clock,
    ),
    metrics: collectMetrics(store, hub),
    settings: { messageTtlMs, rateLimit, leaseMs, guests, configured },
    version: readVersion(),
    http: { basePath, corsOrigins, trustProxy, streamMaxAgeMs, metricsToken, logLevel, tls },
    sweep: new StreamSweep(clock),
    draining: false,
    random: environment.random ?? Math.random,
  }
  const app = await buildApp(context, environment.logStream)
  return { app, context }
}

/** The OpenAPI document of a server with default settings: what `posthorn openapi` prints. */
export async function openApiYaml(): Promise<string> {
  const app = await buildForDocument()
  const text = toYaml(app)
  await app.close()
  return text
}

/** An app that is only asked for its document. */
export async function buildForDocument(): Promise<FastifyInstance> {
  const { app } = await buildServer({ ...readConfig([], {}), logLevel: 'silent' })
  return app
}

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function toUrl({ host, tls }: Config, { port, address }: AddressInfo): string {
  // `localhost` is what was asked for; 0.0.0.0 stays what it is.
  const name = host === 'localhost' ? host : address
  return `${tls ? 'https' : 'http'}://${name.includes(':') ? `[${name}]` : name}:${port}`
}
