// The public list of the server package.
export type { Config } from './config/config.ts'
export { readConfig } from './config/config.ts'
export { ConfigError } from './config/settings.ts'
export type { RunningServer } from './server.ts'
export { startServer } from './server.ts'
