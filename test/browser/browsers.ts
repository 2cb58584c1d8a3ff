// Real browsers for tests. Debian's Chromium is driven by playwright-core; Firefox by its own
// Marionette protocol (see marionette.ts), because playwright wants a patched Firefox.
// Where a browser is missing it is installed if that is possible without asking (root, apt-get);
// otherwise the tests are skipped, each by name and with the reason that stands here.
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

export interface Found {
  path: string
  /** false, or why the tests that need this browser are skipped. */
  skip: false | string
}

const KNOWN = {
  chromium: {
    variable: 'CHROMIUM_PATH',
    paths: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
    debian: 'chromium',
  },
  firefox: {
    variable: 'FIREFOX_PATH',
    paths: ['/usr/bin/firefox-esr', '/usr/bin/firefox'],
    debian: 'firefox-esr',
  },
}

/** Nothing is fetched, no dialog is asked, camera and microphone are a green disc and a beep. */
const CHROMIUM_ARGS = [
  '--no-sandbox',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--no-first-run',
]

export function findBrowser(name: keyof typeof KNOWN): Found {
  const { variable, debian } = KNOWN[name]
  const isChosen = Boolean(process.env[variable])
  const isInstalled = present(name) || (!isChosen && mayInstall() && install(debian))
  const path = isInstalled ? present(name) : undefined
  if (path) return { path, skip: false }
  return { path: '', skip: `no ${name} here: install ${debian}, or set ${variable}` }
}

export function launchChromium({ path }: Found, args: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: path, args: [...CHROMIUM_ARGS, ...args] })
}

function present(name: keyof typeof KNOWN): string | undefined {
  const { variable, paths } = KNOWN[name]
  const wanted = process.env[variable]
  return (wanted ? [wanted] : paths).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function mayInstall(): boolean {
  return process.getuid?.() === 0 && isExecutable('/usr/bin/apt-get')
}

/** The package lists of a fresh machine may be empty or old: then once more, with new ones. */
function install(debian: string): boolean {
  console.error(`installing ${debian} for the browser tests (once) …`)
  return aptGet('install', '-y', debian) || (aptGet('update') && aptGet('install', '-y', debian))
}

function aptGet(...args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  // Standard output of the child goes to our standard error (2): ours is the test report.
  return spawnSync('apt-get', args, { env, stdio: ['ignore', 2, 2] }).status === 0
}
