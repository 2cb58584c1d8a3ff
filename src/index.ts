// The public list of the server package.
export type { Config } from './config.ts'
export { ConfigError, readConfig } from './config.ts'
export type { RunningServer } from './server.ts'
export { startServer } from './server.ts'
