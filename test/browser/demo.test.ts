// The page `/demo` in real browsers, against the real server as a process: whole calls, with
// pictures decoded and a data channel that echoes, over either transport. Also what a browser must
// never need: a WebSocket, or a preflight, even from a page of another origin.
/// <reference lib="dom" />
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findBrowser, launchChromium } from './browsers.ts'
import { Firefox } from './marionette.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PATIENCE_MS = 60_000

interface State {
  peer: string
  status: string
  transport: { chosen: string; inUse: string }
  members: {
    peer: string
    connectionState: string
    framesDecoded: number
    echo: { received: number; roundTripMs?: number }
  }[]
  log: {
    direction: string
    type: string
    id?: number
    ageMs?: number
    transport: string
    content: string
  }[]
}

interface Guest {
  page: Page
  errors: string[]
  webSockets: string[]
  preflights: string[]
}

// Browsers may have to be installed first, and three of them share a busy machine.
t.setTimeout(600_000)
const chromium = findBrowser('chromium')
const firefox = findBrowser('firefox')
const skip = chromium.skip
const server = skip ? undefined : await startServer()
const browser = skip ? undefined : await launchChromium(chromium)
t.teardown(async () => {
  await browser?.close()
  await server?.stop()
})

for (const transport of ['stream', 'poll']) {
  t.test(`two pages complete a call, receiving by ${transport}`, { skip }, async (t) => {
    const address = `${server?.url}demo/?transport=${transport}#by-${transport}`
    const ada = await visit(t, address)
    const bob = await visit(t, address)
    await enter(ada, 'Ada')
    await enter(bob, 'Bob')

    for (const { page } of [ada, bob]) {
      await connectedTo(page, 1)
      await seesMoving(t, page)
      await echoes(t, page)
      const { transport: used, log } = await stateOf(page)
      t.equal(used.inUse, transport)
      const received = log.filter(({ direction }) => direction === 'in')
      t.ok(
        received.every(({ id, ageMs }) => id && ageMs !== undefined),
        'every signal has an id and an age',
      )
      const ways = new Set(received.map((entry) => entry.transport))
      t.strictSame([...ways], [transport === 'stream' ? 'SSE' : 'poll'], 'by no other transport')
    }
    for (const { errors, webSockets, preflights } of [ada, bob]) {
      t.strictSame(errors, [], 'no error in the page, its security policy included')
      t.strictSame(webSockets, [], 'no WebSocket')
      t.strictSame(preflights, [], 'no preflight')
    }
  })
}

t.test('a page without camera and microphone shows a generated picture', { skip }, async (t) => {
  const bare = await launchChromium(chromium, ['--use-fake-device-for-media-stream=device-count=0'])
  t.teardown(() => bare.close())
  const address = `${server?.url}demo/#no-camera`
  const ada = await visit(t, address, bare)
  const bob = await visit(t, address)
  await enter(ada, 'Ada')
  await enter(bob, 'Bob')
  await connectedTo(bob.page, 1)
  await seesMoving(t, bob.page)
  t.ok(await ada.page.isChecked('#generated'), 'the page has ticked the box by itself')
})

t.test('a page that is reloaded comes back into the call', { skip }, async (t) => {
  const address = `${server?.url}demo/#reload`
  const ada = await visit(t, address)
  const bob = await visit(t, address)
  await enter(ada, 'Ada')
  await enter(bob, 'Bob')
  await connectedTo(ada.page, 1)
  const { peer } = await stateOf(bob.page)
  await ada.page.getByLabel('Receive by').selectOption('poll')

  await bob.page.reload()
  await connectedTo(bob.page, 1)
  await until('the other page to follow', async () => {
    const { members } = await stateOf(ada.page)
    return members.length === 1 && members[0]?.peer !== peer
  })
  await connectedTo(ada.page, 1)
  await seesMoving(t, ada.page)
  await seesMoving(t, bob.page)
  const { log } = await stateOf(ada.page)
  t.ok(
    log.some(({ type, content }) => type === 'peer-left' && content.endsWith('ended')),
    'the page that went ended its session in going',
  )
  const used = log.map(({ transport }) => transport)
  t.ok(used.includes('SSE') && used.includes('poll'), 'the transport was changed in the call')
})

t.test('where streams are held back, the page reads by long-poll', { skip }, async (t) => {
  const address = `${server?.url}demo/#held-back`
  const ada = await visit(t, address)
  await ada.page.route('**/events?*', () => {}) // never answered, as by a box that buffers
  const bob = await visit(t, address)
  await enter(ada, 'Ada')
  await enter(bob, 'Bob')
  await connectedTo(ada.page, 1)
  const { transport, status } = await stateOf(ada.page)
  t.strictSame(transport, { chosen: 'poll', inUse: 'poll' })
  t.match(status, /holds streams back/)
})

t.test('the token is renewed before it is due', { skip }, async (t) => {
  const ada = await visit(t, `${server?.url}demo/#renewed`)
  await ada.page.route('**/sessions', async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...(await response.json()), refreshAfterMs: 1_000 } })
  })
  const refreshed = ada.page.waitForResponse('**/session/refresh', { timeout: PATIENCE_MS })
  await enter(ada, 'Ada')
  t.equal((await refreshed).status(), 200)
  const bob = await visit(t, `${server?.url}demo/#renewed`)
  await enter(bob, 'Bob')
  await connectedTo(ada.page, 1)
})

t.test('three pages all see each other', { skip }, async (t) => {
  const address = `${server?.url}demo/#three`
  const guests: Guest[] = []
  for (const name of ['Ada', 'Bob', 'Cleo']) {
    const guest = await visit(t, address)
    await enter(guest, name)
    guests.push(guest)
  }
  for (const { page } of guests) await connectedTo(page, 2)
  for (const { page } of guests) await seesMoving(t, page)
})

t.test('a call outlives the server, and signaling comes back by itself', { skip }, async (t) => {
  let own = await startServer()
  t.teardown(() => own.stop())
  const address = `${own.url}demo/#outlives`
  const ada = await visit(t, address)
  const bob = await visit(t, address)
  await enter(ada, 'Ada')
  await enter(bob, 'Bob')
  await connectedTo(ada.page, 1)
  await connectedTo(bob.page, 1)

  await own.crash()
  await until('the loss to be told', async () => /again/.test((await stateOf(ada.page)).status))
  await seesMoving(t, ada.page)

  own = await startServer(new URL(own.url).port)
  for (const { page } of [ada, bob]) {
    await until('the reset', async () => (await stateOf(page)).log.some((e) => e.type === 'reset'))
  }
  const cleo = await visit(t, address)
  await enter(cleo, 'Cleo')
  for (const { page } of [ada, bob, cleo]) await connectedTo(page, 2)
  await seesMoving(t, cleo.page)
})

t.test('a page of another origin needs no preflight', { skip }, async (t) => {
  const other = createServer((_, response) => response.end('<!doctype html><title>Other</title>'))
  await once(other.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  const { page, preflights } = await visit(t, `http://127.0.0.1:${port}/`)

  const answers = await page.evaluate(async (base) => {
    const created = await fetch(`${base}sessions`, { method: 'POST', body: '{}' })
    const { ticket, token } = await created.json()
    const body = JSON.stringify({ token, create: true })
    const joined = await fetch(`${base}rooms/other-origin/join`, { method: 'POST', body })
    const read = await fetch(`${base}messages?since=0&wait=0&ticket=${ticket}`)
    const opened = await new Promise((resolve) => {
      const source = new EventSource(`${base}events?since=0&ticket=${ticket}`)
      source.addEventListener('hello', () => resolve(true))
      source.onerror = () => resolve(false)
    })
    const { messages } = await read.json()
    return { statuses: [created.status, joined.status, read.status], opened, messages }
  }, server?.url)
  t.strictSame(answers, { statuses: [201, 200, 200], opened: true, messages: [] })
  t.strictSame(preflights, [])

  await page.evaluate(
    (base) => fetch(`${base}session`, { headers: { Authorization: 'Bearer none' } }),
    server?.url,
  )
  t.equal(preflights.length, 1, 'one that is needed is seen by this test')
})

t.test('Firefox and Chromium call each other', { skip: skip || firefox.skip }, async (t) => {
  const fox = await Firefox.launch(firefox.path)
  t.teardown(() => fox.close())
  const address = `${server?.url}demo/#firefox`
  const ada = await visit(t, address)
  await enter(ada, 'Ada')
  await fox.goto(address)
  await fox.run(`document.querySelector('#name').value = 'Fox'
    document.querySelector('#enter').click()`)

  await connectedTo(ada.page, 1)
  const state = () => fox.run<State>('return window.posthornDemo')
  await until(
    'pictures in Firefox',
    async () => ((await state()).members[0]?.framesDecoded ?? 0) > 5,
  )
  await until('an echo', async () => ((await state()).members[0]?.echo.received ?? 0) > 0)
  t.equal((await state()).members[0]?.connectionState, 'connected')
  await seesMoving(t, ada.page)
  await echoes(t, ada.page)
})

/** Each guest is a browser of its own, as far as storage and caches go. */
async function visit(t: Test, address: string, where = browser as Browser): Promise<Guest> {
  const context = await where.newContext()
  t.teardown(() => context.close())
  const page = await context.newPage()
  const guest: Guest = { page, errors: [], webSockets: [], preflights: [] }
  page.on('pageerror', (error) => guest.errors.push(String(error)))
  page.on('console', (line) => {
    // An answer with an error's status is a line of the console too, but no error of the page.
    const isAnswer = line.text().startsWith('Failed to load resource')
    if (line.type() === 'error' && !isAnswer) guest.errors.push(line.text())
  })
  page.on('websocket', (socket) => guest.webSockets.push(socket.url()))
  const network = await context.newCDPSession(page)
  await network.send('Network.enable')
  network.on('Network.requestWillBeSent', ({ request }) => {
    if (request.method === 'OPTIONS') guest.preflights.push(request.url)
  })
  await page.goto(address)
  return guest
}

async function enter({ page }: Guest, name: string): Promise<void> {
  await page.getByLabel('Your name').fill(name)
  await page.getByRole('button', { name: 'Join' }).click()
  await page.getByRole('button', { name: 'Leave' }).waitFor({ timeout: PATIENCE_MS })
}

function stateOf(page: Page): Promise<State> {
  return page.evaluate(() => (window as unknown as { posthornDemo: State }).posthornDemo)
}

async function connectedTo(page: Page, others: number): Promise<void> {
  await until(`a connection to ${others}`, async () => {
    const { members } = await stateOf(page)
    const connected = members.filter(({ connectionState }) => connectionState === 'connected')
    return members.length === others && connected.length === others
  })
}

/** Frames are decoded, and the pictures of all others go on. */
async function seesMoving(t: Test, page: Page): Promise<void> {
  const times = () =>
    page.evaluate(() =>
      [...document.querySelectorAll<HTMLVideoElement>('.tile:not(.self) video')].map(
        ({ currentTime }) => currentTime,
      ),
    )
  await until('decoded frames', async () =>
    (await stateOf(page)).members.every(({ framesDecoded }) => framesDecoded > 0),
  )
  const before = await times()
  await until('moving pictures', async () =>
    (await times()).every((time, index) => time > (before[index] ?? 0)),
  )
  t.ok(before.length > 0, 'sees moving pictures')
}

async function echoes(t: Test, page: Page): Promise<void> {
  const received = async () => (await stateOf(page)).members[0]?.echo.received ?? 0
  await until('the first echo', async () => (await received()) > 0)
  const before = await received()
  await page.getByRole('button', { name: 'Ping' }).click()
  await until('one more echo', async () => (await received()) > before)
  t.match(await page.locator('.tile:not(.self) .facts').textContent(), /echo [\d.]+ ms/)
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await sleep(100)
  }
}

async function startServer(port = '0') {
  const args = [join(ROOT, 'dist', 'cli.js'), 'serve', '--port', port, '--log-level', 'error']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`the server stopped with exit code ${code}`)
  })
  const [line] = await Promise.race([once(lines, 'line'), exited])
  exited.catch(() => {})
  const url = `${/http:\S+/.exec(line)?.[0]}/`.replace(/\/+$/, '/')
  return { url, stop: () => stop(child, 'SIGTERM'), crash: () => stop(child, 'SIGKILL') }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}
