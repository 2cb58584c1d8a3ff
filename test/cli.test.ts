// The program as people start it: dist/cli.js as a process of its own, looked at by what it prints
// and by its exit code. The environment of the tests is not passed on.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import t, { type Test } from 'tap'

const CLI = join(import.meta.dirname, '../dist/cli.js')
const SECRET = randomBytes(32).toString('base64')
const ENV = { POSTHORN_SECRET: SECRET }
const HOUR_S = 3600

type Env = Record<string, string>

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

function run(words: string[], env: Env = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [CLI, ...words], { env }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr })
    })
  })
}

t.test('help', async (t) => {
  for (const words of [['--help'], ['help'], ['-h']]) {
    const { code, stdout, stderr } = await run(words)
    t.equal(code, 0, words.join())
    t.match(stdout, /posthorn serve.*posthorn token.*posthorn doctor.*posthorn openapi/s)
    t.match(stdout, /--port +POSTHORN_PORT\n.*8787/, 'shows the settings with their defaults')
    t.equal(stderr, '')
  }
  const token = await run(['token', '--help'])
  t.match(token.stdout, /^posthorn token .*--ttl\n.*1h/s, 'is there for each command')
  t.same(await run(['help', 'token']), token)
  t.equal((await run(['serve', '--port', 'x', '--help'])).code, 0, 'comes before what is wrong')
})

t.test('the version is the one of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8'))
  t.same(await run(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
})

t.test('an unknown command ends with 78', async (t) => {
  for (const words of [[], ['start'], ['--port', '0'], ['help', 'start'], ['toString']]) {
    const { code, stdout, stderr } = await run(words)
    t.equal(code, 78, words.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^posthorn: .*--help\n$/)
  }
})

t.test('doctor is not there yet', async (t) => {
  const stderr = 'posthorn doctor is not in this version yet\n'
  t.same(await run(['doctor', 'http://localhost:8787']), { code: 78, stdout: '', stderr })
})

async function mint(words: string[], env: Env = ENV) {
  const { code, stdout, stderr } = await run(['token', ...words], env)
  t.equal(code, 0, stderr)
  t.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'a token stands alone on its line')
  const jwt = stdout.trim()
  const { payload } = await jwtVerify<JWTPayload & { iat: number; exp: number }>(
    jwt,
    new TextEncoder().encode(SECRET),
  )
  return { header: decodeProtectedHeader(jwt), payload, ttlS: payload.exp - payload.iat }
}

t.test('token', async (t) => {
  const plain = await mint(['--peer', 'alice'])
  t.same(plain.header, { alg: 'HS256', typ: 'JWT' })
  t.same(Object.keys(plain.payload).sort(), ['exp', 'iat', 'posthorn', 'sub'])
  t.equal(plain.payload.sub, 'alice')
  t.same(plain.payload['posthorn'], { peer: 'alice', rooms: [], direct: [], create: false })
  t.equal(plain.ttlS, HOUR_S, 'lives for an hour')
  t.ok(Math.abs(plain.payload.iat - Date.now() / 1000) < 60, 'begins now')

  const grants = ['--rooms', 'a,b*', '--direct=bob, carol:*', '--create']
  const full = await mint(['--peer', 'alice:phone', ...grants, '--ttl', '744h'])
  t.same(full.payload['posthorn'], {
    peer: 'alice:phone',
    rooms: ['a', 'b*'],
    direct: ['bob', 'carol:*'],
    create: true,
  })
  t.equal(full.ttlS, 31 * 24 * HOUR_S, 'may live for 31 days')
})

t.test('token uses the settings of the server', async (t) => {
  const folder = t.testdir({ secret: `${SECRET}\n` })
  const env = { POSTHORN_SECRET_FILE: join(folder, 'secret'), POSTHORN_ISSUER: 'https://a.example' }
  const { payload } = await mint(['--peer', 'alice', '--audience', 'calls'], env)
  t.equal(payload.iss, 'https://a.example')
  t.equal(payload.aud, 'calls')
  const flag = await mint(['--peer', 'alice', '--secret-file', env.POSTHORN_SECRET_FILE], {
    POSTHORN_SECRET: randomBytes(32).toString('base64'),
    POSTHORN_PORT: 'not looked at',
  })
  t.equal(flag.payload.sub, 'alice', 'a flag wins')
})

const many = (count: number, chars: number) =>
  Array.from({ length: count }, (_, i) => `${i}`.padStart(chars, 'r')).join()

const BAD_TOKENS: [words: string[], env: Env, ...problems: RegExp[]][] = [
  [['--peer', 'alice'], {}, /needs the secret/],
  [[], {}, /--peer is needed/, /needs the secret/],
  [['--peer', 'alice'], { POSTHORN_SECRET: 'secret' }, /POSTHORN_SECRET: .*32 bytes/],
  [['--peer', 'alice'], { ...ENV, POSTHORN_ISUER: 'a' }, /unknown variable POSTHORN_ISUER/],
  [['--peer', '@server'], ENV, /--peer: must be name/],
  [['--peer', 'a:b:c'], ENV, /--peer: must be name/],
  [['--peer', 'guest-1'], ENV, /--peer: must not begin with guest-/],
  [['--peer', 'a', '--rooms', 'b*c,*d,e f'], ENV, /"b\*c"/, /"\*d"/, /"e f"/],
  [['--peer', 'a', '--rooms', 'b,,c'], ENV, /--rooms: "": must be a room/],
  [['--peer', 'a', '--direct', 'b:c:*'], ENV, /--direct: "b:c:\*": must be a peer/],
  [['--peer', 'a', '--rooms', many(65, 3)], ENV, /--rooms: at most 64 entries/],
  [['--peer', 'a', '--rooms', many(64, 99)], ENV, /servers take 4096/],
  [['--peer', 'a', '--ttl', '745h'], ENV, /--ttl: .*744h/],
  [['--peer', 'a', '--ttl', '0'], ENV, /--ttl: .*from 1s/],
  [['--peer', 'a', '--create=yes'], ENV, /--create: takes no value/],
  [['--peer', 'a', '--port', '1'], ENV, /unknown flag --port/],
  [['alice', '--ttl', '9'], {}, /argument "alice"/, /--ttl: /, /--peer is/, /needs the secret/],
]

t.test('a token that cannot be minted ends with 78 and all problems', async (t) => {
  const outcomes = await Promise.all(
    BAD_TOKENS.map(([words, env]) => run(['token', ...words], env)),
  )
  BAD_TOKENS.forEach(([words, , ...problems], i) => {
    const { code, stdout, stderr = '' } = outcomes[i] ?? {}
    t.equal(code, 78, words.join(' ').slice(0, 60))
    t.equal(stdout, '')
    t.equal(stderr.split('\n').length - 1, problems.length, stderr)
    for (const problem of problems) t.match(stderr, problem)
  })
})

t.test('a grant may be a lone star', async (t) => {
  const { payload } = await mint(['--peer', 'a', '--rooms', '*', '--direct', '*'])
  t.match(payload['posthorn'], { rooms: ['*'], direct: ['*'] })
})

t.test('serve with wrong settings ends with 78 and all problems', async (t) => {
  const { code, stdout, stderr } = await run(['serve', '--port', 'x', '--host=0.0.0.0'], {
    POSTHORN_LEASE: '0',
    POSTHORN_LAESE: '1s',
  })
  t.equal(code, 78)
  t.equal(stdout, '')
  for (const name of ['--port', '--host', 'POSTHORN_LEASE', 'POSTHORN_LAESE']) {
    t.match(stderr, new RegExp(`^posthorn: .*${name}`, 'm'))
  }
  t.equal((await run(['openapi', '--json'])).code, 78, 'as does openapi')
})

/** Starts `posthorn serve` and gives its first line. */
async function serve(t: Test, words: string[], env: Env = {}) {
  const child = spawn(process.execPath, [CLI, 'serve', ...words], { env, stdio: 'pipe' })
  t.teardown(() => child.kill('SIGKILL'))
  child.stderr.resume()
  const [line] = await once(createInterface(child.stdout), 'line')
  return { child, line: String(line) }
}

async function endBy(child: ChildProcess, signal: NodeJS.Signals) {
  const ended = once(child, 'exit')
  child.kill(signal)
  const [code, bySignal] = await ended
  return { code, bySignal }
}

t.test('serve says where it listens', async (t) => {
  const READY = /^posthorn listening on http:\/\/127\.0\.0\.1:(\d+)$/
  const { child, line } = await serve(t, ['--port', '0'])
  t.match(line, READY)
  const port = Number(READY.exec(line)?.[1])
  t.ok(port > 0, 'with the real port')
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`)
  t.equal(answer.status, 200, 'and takes requests from then on')
  t.same(await endBy(child, 'SIGTERM'), { code: 0, bySignal: null }, 'until SIGTERM')
})

t.test('serve takes its settings from the environment', async (t) => {
  const { child, line } = await serve(t, [], { POSTHORN_PORT: '0', POSTHORN_BASE_PATH: '/calls' })
  t.match(line, /^posthorn listening on http:\/\/127\.0\.0\.1:\d+$/, 'without the base path')
  const answer = await fetch(`${line.split(' ').at(-1)}/calls/healthz`)
  t.equal(answer.status, 200)
  t.same(await endBy(child, 'SIGINT'), { code: 0, bySignal: null }, 'and ends by SIGINT')
})

t.test('serve without its port ends with 69', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1')
  t.teardown(() => blocker.close())
  await once(blocker, 'listening')
  const { port } = blocker.address() as AddressInfo
  const taken = await run(['serve', '--port', `${port}`])
  t.match(taken, { code: 69, stdout: '' })
  t.match(taken.stderr, new RegExp(`^posthorn: cannot listen on 127\\.0\\.0\\.1:${port}: .*\n$`))
  const foreign = await run(['serve', '--host', '192.0.2.1', '--port', '0'], ENV)
  t.match(foreign, { code: 69, stdout: '', stderr: /EADDRNOTAVAIL/ }, 'an address of others')
})

t.test('openapi prints a document', async (t) => {
  const { code, stdout } = await run(['openapi'])
  t.equal(code, 0)
  t.match(stdout, /^openapi: ['"]?3\.\d/)
})
