// README.md, taken at its word: every command of its `sh` blocks runs as it stands, one block after
// the other, in one bash session; what the README shows behind a block is what came, but for ids and
// times. Ports are replaced where somebody else has them. The proxies' configurations are checked by
// the proxies themselves, on machines that have them.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { type Block, readBlocks } from './markdown.ts'
import { compareDocuments, compareTexts, compareValues, readDocuments } from './shape.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PORTS = ['8787', '8788']
const SHOWN = ['json', 'text']
const START = /^npm start(?: -- (.*))?\n$/
const PATIENCE_MS = 60_000

const original = readFileSync(join(ROOT, 'README.md'), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'posthorn-readme-'))
const env = {
  PATH: process.env['PATH'] ?? '',
  HOME: join(folder, 'home'),
  TMPDIR: join(folder, 'tmp'),
  XDG_DATA_HOME: join(folder, 'home'),
}
const servers: ChildProcess[] = []
t.setTimeout(2 * PATIENCE_MS)
t.teardown(async () => {
  for (const server of servers) {
    if (server.exitCode !== null) continue
    server.kill('SIGINT')
    await once(server, 'exit')
  }
  await rm(folder, { recursive: true, force: true })
})

prepareFolder()
const ports = new Map<string, string>()
for (const port of PORTS) ports.set(port, await findPort(port))
const readme = original.replace(/\b878[78]\b/g, (port) => ports.get(port) ?? port)
const blocks = readBlocks(readme)

/** What `npm start` works on: the build and its packages, apart from what others build meanwhile. */
function prepareFolder(): void {
  for (const name of ['home', 'tmp']) mkdirSync(join(folder, name))
  cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
}

/** The port itself where it is free, else another one. */
async function findPort(wanted: string): Promise<string> {
  const server = createServer()
  try {
    await once(server.listen(Number(wanted), '127.0.0.1'), 'listening')
    return String((server.address() as AddressInfo).port)
  } catch {
    return findPort('0')
  } finally {
    server.close()
  }
}

// ── The session ──────────────────────────────────────────────────────────────────────────────────

const shell = spawn('bash', ['--noprofile', '--norc'], { cwd: folder, env })
const output: string[] = []
let errors = ''
let wake = () => {}
createInterface({ input: shell.stdout }).on('line', (line) => {
  output.push(line)
  wake()
})
shell.stderr.on('data', (data) => {
  errors += data
})
shell.on('close', () => wake())
shell.stdin.write('set -e\n')
t.teardown(() => shell.stdin.end())

/** Runs commands in the session. @returns what they wrote to standard output */
async function run(commands: string): Promise<string> {
  const file = join(folder, 'commands.sh')
  const mark = `done ${Math.random()}`
  writeFileSync(file, commands)
  output.length = 0
  errors = ''
  // A last line without an end is still a line of its own.
  shell.stdin.write(`. ${file} < /dev/null\nprintf '\\n%s\\n' '${mark}'\n`)
  while (output.at(-1) !== mark) {
    if (shell.exitCode !== null) throw new Error(`a command failed:\n${commands}\n${errors}`)
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
  return output.slice(0, -1).join('\n')
}

/** Starts what `npm start` starts. @returns its first line */
async function start(flags = ''): Promise<string> {
  const moved = ports.get('8787') !== '8787' && !flags.includes('--port')
  const port = moved ? ` --port ${ports.get('8787')}` : ''
  const command = `exec node dist/cli.js serve ${flags}${port}`
  const server = spawn('bash', ['-c', command], { cwd: folder, env })
  servers.push(server)
  let log = ''
  server.stderr.on('data', (data) => {
    log += data
  })
  const lines = createInterface({ input: server.stdout })
  const [line] = await Promise.race([once(lines, 'line'), once(server, 'exit')])
  if (typeof line !== 'string') throw new Error(`${command} did not start:\n${log}`)
  return line
}

/** What is shown for a block: the next block, unless that is one to run. */
function shownFor(block: Block): Block | undefined {
  const next = blocks[blocks.indexOf(block) + 1]
  return next && SHOWN.includes(next.language) ? next : undefined
}

const compare = (shown: Block, actual: string) =>
  shown.language === 'json'
    ? compareDocuments(shown.text, actual)
    : compareTexts(shown.text, actual)

const isProblem = (document: unknown) => Object.hasOwn(document as object, 'requestId')

t.test('npm start is the command that is run here', async (t) => {
  const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  t.equal(scripts.start, 'node dist/cli.js serve')
})

/** False, or what is missing. */
function missingTools(): false | string {
  const probe = 'curl --help all | grep -q -- --json && openssl version'
  const { status } = spawnSync('bash', ['-c', probe], { env })
  return status === 0 ? false : 'needs bash, openssl, and curl 7.82 or newer'
}
const skip = missingTools()

t.test('every command works and answers as shown', { skip }, async (t) => {
  const commands = blocks.filter(({ language }) => language === 'sh')
  t.ok(commands.length > 10, 'there are commands')
  for (const block of commands) {
    const name = `line ${block.line}: ${block.text.split('\n')[0]}`
    const starts = START.exec(block.text)
    const actual = starts ? await start(starts[1]) : await run(block.text)
    const shown = shownFor(block)
    if (shown) t.same(compare(shown, actual), [], name, { actual })
    else t.notOk(readDocuments(actual).some(isProblem), `${name} is not refused`, { actual })
  }
})

t.test('the claims are those of the token', { skip }, async (t) => {
  const claims = blocks.find(({ text }) => text.includes('"sub"'))?.text ?? ''
  const [, payload = ''] = (await run('echo "$FRANK"')).split('.')
  const actual = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const shown = { ...JSON.parse(claims), iat: actual.iat }
  t.same(compareValues(shown, actual, ''), [])
})

t.test('the demo is there', { skip }, async (t) => {
  const [url = ''] = /http:\/\/127\.0\.0\.1:\d+\/demo/.exec(readme) ?? []
  const page = await fetch(url)
  t.equal(page.status, 200)
  t.match(await page.text(), /<title>Posthorn demo/)
})

t.test('every block is of a kind that is checked', async (t) => {
  const kinds = new Set(blocks.map(({ language }) => language))
  t.same([...kinds].sort(), ['caddyfile', 'haproxy', 'json', 'nginx', 'sh', 'text'])
})

// ── The proxies ──────────────────────────────────────────────────────────────────────────────────

const PROXIES: Record<
  string,
  { wrap: (text: string) => string; words: (file: string) => string[] }
> = {
  nginx: {
    wrap: (text) =>
      `pid ${folder}/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n${temporary()}\n${text}}\n`,
    words: (file) => ['-t', '-e', 'stderr', '-p', folder, '-c', file],
  },
  haproxy: { wrap: (text) => text, words: (file) => ['-c', '-f', file] },
  caddy: {
    wrap: (text) => text,
    words: (file) => ['validate', '--adapter', 'caddyfile', '--config', file],
  },
}

/** nginx would make its folders where only root may. */
const temporary = () =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/tmp/${kind};`)
    .join('\n')

function isInstalled(binary: string): boolean {
  const folders = [...env.PATH.split(delimiter), '/usr/sbin', '/usr/local/sbin']
  env.PATH = folders.join(delimiter)
  return spawnSync(binary, [binary === 'caddy' ? 'version' : '-v'], { env }).status === 0
}

for (const [binary, { wrap, words }] of Object.entries(PROXIES)) {
  const skip = isInstalled(binary) ? false : `no ${binary} on this machine`
  t.test(`${binary} takes its configuration`, { skip }, async (t) => {
    const block = blocks.find(({ language }) => language.startsWith(binary))
    const pem = join(folder, 'certificate.pem')
    const request = 'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=calls.example.com'
    spawnSync('openssl', [...request.split(' '), '-keyout', pem, '-out', `${pem}.crt`])
    writeFileSync(pem, readFileSync(pem, 'utf8') + readFileSync(`${pem}.crt`, 'utf8'))
    const text = (block?.text ?? '')
      .replace(/\/etc\/\S+\.(pem|key)/g, pem)
      // Only root may listen there.
      .replace('listen 443', 'listen 18443')
    const file = join(folder, `${binary}.conf`)
    writeFileSync(file, wrap(text))
    const { status, stdout, stderr } = spawnSync(binary, words(file), { env, encoding: 'utf8' })
    t.equal(status, 0, stdout + stderr)
  })
}
