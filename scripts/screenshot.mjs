// Makes docs/demo.png, the picture that the README shows: two headless pages in a call over a server
// of our own, with generated pictures. Needs a build, and a Chromium (CHROMIUM_PATH or
// /usr/bin/chromium): `node scripts/ensure.mjs build && node scripts/screenshot.mjs`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const SIZE = { width: 1200, height: 960 }
const BYTES_MAX = 300_000
const TIMEOUT_MS = 30_000

process.chdir(join(import.meta.dirname, '..'))
const file = process.argv[2] ?? 'docs/demo.png'
const server = spawn(process.execPath, ['dist/cli.js', 'serve', '--port', '0'], {
  stdio: ['ignore', 'pipe', 'ignore'],
})
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--no-first-run'],
})
try {
  const [line] = await once(createInterface({ input: server.stdout }), 'line')
  const address = `${line.split(' ').at(-1)}/demo/?generated#morning-call`
  const page = await enter(address, 'Ada')
  await enter(address, 'Grace')
  await page.locator('[data-state=connected]').waitFor({ timeout: TIMEOUT_MS })
  // A picture starts small and blurred: wait until it has come to its full size.
  await page.locator('.facts', { hasText: '640×360' }).waitFor({ timeout: TIMEOUT_MS })
  await page.mouse.move(0, 0)
  await page.waitForTimeout(2_000)
  await page.screenshot({ path: file })
  const { size } = statSync(file)
  console.log(`${file}: ${Math.round(size / 1000)} kB`)
  if (size > BYTES_MAX) throw new Error(`more than ${BYTES_MAX} bytes`)
} finally {
  await browser.close()
  server.kill()
}

async function enter(address, name) {
  const context = await browser.newContext({ viewport: SIZE, colorScheme: 'light' })
  const page = await context.newPage()
  await page.goto(address)
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Join' }).click()
  await page.getByRole('button', { name: 'Leave' }).waitFor({ timeout: TIMEOUT_MS })
  return page
}
