// What `posthorn serve` takes and refuses, as tables of settings, and that docs/configuration.md
// and SETTINGS tell the same. Each refusal is looked for by a word of its message.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Config, readConfig, SETTINGS } from '../src/config/config.ts'
import { ConfigError, describeSettings } from '../src/config/settings.ts'

const SECRET = randomBytes(32).toString('base64')
const OTHER_SECRET = randomBytes(32).toString('base64')

const folder = t.testdir({
  secret: `${SECRET}\n`,
  windows: `${SECRET}\r\n`,
  other: OTHER_SECRET,
  short: randomBytes(12).toString('hex'),
  weak: 'changeme'.repeat(4),
  binary: Buffer.from([0xff, 0xfe, 0x00, 0x80]),
  empty: '\n',
  metrics: 'metrics-token\n',
  turn: 'turn-box-17\n',
  cert: certificate(),
  key: certificateKey(),
  otherKey: pem('ec'),
  otherKind: pem('rsa'),
})
const file = (name: string) => join(folder, name)

/** Flags as `--a 1 --b=2`, where FOLDER stands for the one above. */
function read(line: string, env: NodeJS.ProcessEnv = {}): Config {
  const words = line === '' ? [] : line.split(' ')
  return readConfig(
    words.map((word) => word.replace('FOLDER', folder)),
    env,
  )
}

function problemsOf(line: string, env: NodeJS.ProcessEnv = {}): string[] {
  try {
    read(line, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

t.test('without settings the server is private and open to guests', async (t) => {
  t.same(read(''), {
    host: '127.0.0.1',
    port: 8787,
    basePath: '',
    guests: true,
    corsOrigins: '*',
    trustProxy: [],
    memoryMaxBytes: 512 * 1024 * 1024,
    turnUrls: [],
    rateLimit: 100,
    leaseMs: 45_000,
    streamMaxAgeMs: 55_000,
    messageTtlMs: 120_000,
    ringTimeMs: 45_000,
    logLevel: 'info',
  })
})

t.test('every default may be spelled out', async (t) => {
  const flags = Object.values(SETTINGS).flatMap((setting) =>
    'default' in setting ? [setting.flag, setting.default] : [],
  )
  t.same(readConfig(flags, {}), read(''))
})

const OPEN = `--host 0.0.0.0 --secret-file FOLDER/secret`
const JWKS = '--jwks-url https://id.example/keys --issuer https://id.example --audience calls'
const TURN = `--turn-secret-file FOLDER/turn`

const GOOD: [line: string, member: keyof Config, value: unknown][] = [
  ['--host 127.8.9.10', 'host', '127.8.9.10'],
  ['--host ::1', 'host', '::1'],
  ['--host [::1]', 'host', '::1'],
  ['--host localhost', 'host', 'localhost'],
  [OPEN, 'host', '0.0.0.0'],
  [`--host :: ${JWKS}`, 'host', '::'],
  [`--host calls.example.com ${JWKS}`, 'host', 'calls.example.com'],
  ['--port 0', 'port', 0],
  ['--port=65535', 'port', 65_535],
  ['--base-path /', 'basePath', ''],
  ['--base-path /calls', 'basePath', '/calls'],
  ['--base-path /a/b.c~d_e-f/', 'basePath', '/a/b.c~d_e-f'],
  [OPEN, 'secret', SECRET],
  [`--secret-file=FOLDER/windows`, 'secret', SECRET],
  [JWKS, 'jwksUrl', 'https://id.example/keys'],
  [JWKS, 'issuer', 'https://id.example'],
  [JWKS, 'audience', 'calls'],
  ['--jwks-url http://127.0.0.1:9/k --issuer a --audience b', 'jwksUrl', 'http://127.0.0.1:9/k'],
  ['--jwks-url http://[::1]:9/k --issuer a --audience b', 'jwksUrl', 'http://[::1]:9/k'],
  ['--issuer a', 'issuer', 'a'],
  ['', 'guests', true],
  ['--guests off', 'guests', false],
  [`--secret-file FOLDER/secret`, 'guests', false],
  [JWKS, 'guests', false],
  ['--trust-proxy loopback', 'guests', false],
  ['--trust-proxy loopback --guests on', 'guests', true],
  [`${OPEN} --guests on`, 'guests', true],
  [`${OPEN} ${JWKS} --guests on`, 'guests', true],
  ['--cors-origins *', 'corsOrigins', '*'],
  ['--cors-origins https://a.example', 'corsOrigins', ['https://a.example']],
  ['--cors-origins http://a:1,https://b', 'corsOrigins', ['http://a:1', 'https://b']],
  ['--cors-origins capacitor://localhost', 'corsOrigins', ['capacitor://localhost']],
  ['--trust-proxy 10.0.0.0/8,::1', 'trustProxy', ['10.0.0.0/8', '::1']],
  ['--trust-proxy fd00::/8', 'trustProxy', ['fd00::/8']],
  ['--trust-proxy uniquelocal,linklocal', 'trustProxy', ['uniquelocal', 'linklocal']],
  ['--memory-max 1048576', 'memoryMaxBytes', 1_048_576],
  ['--memory-max 64KiB', 'memoryMaxBytes', 65_536],
  ['--memory-max 2GiB', 'memoryMaxBytes', 2_147_483_648],
  ['--redis-wait 0', 'port', 8787],
  ['--turn-urls stun:stun.example.com:3478', 'turnUrls', ['stun:stun.example.com:3478']],
  [`--turn-urls turn:a,turns:b:443?transport=tcp ${TURN}`, 'turnSecret', 'turn-box-17'],
  [`--turn-urls turn:[2001:db8::1]:3478 ${TURN}`, 'turnUrls', ['turn:[2001:db8::1]:3478']],
  ['--rate-limit 0', 'rateLimit', 0],
  ['--rate-limit 5000', 'rateLimit', 5000],
  ['--lease 1s', 'leaseMs', 1000],
  ['--lease 1500ms', 'leaseMs', 1500],
  ['--lease 1.5m', 'leaseMs', 90_000],
  ['--stream-max-age 24h', 'streamMaxAgeMs', 86_400_000],
  ['--message-ttl 1s', 'messageTtlMs', 1000],
  ['--message-ttl 1h', 'messageTtlMs', 3_600_000],
  ['--ring-time 1s', 'ringTimeMs', 1000],
  ['--ring-time 3m', 'ringTimeMs', 180_000],
  ['--log-level silent', 'logLevel', 'silent'],
  [`--metrics-token-file FOLDER/metrics`, 'metricsToken', 'metrics-token'],
]

t.test('a right setting', async (t) => {
  for (const [line, member, value] of GOOD) {
    t.same(read(line)[member], value, `${line} makes ${member}`)
  }
})

const BAD: [line: string, ...problems: RegExp[]][] = [
  ['--host 0.0.0.0', /^--host: .*--secret-file or --jwks-url/],
  ['--host ::', /^--host: .*--secret-file/],
  ['--host calls.example.com', /^--host: .*--secret-file/],
  ['--host 127.0.0.1.example.com', /^--host: .*--secret-file/],
  ['--host 127.1', /^--host: must be/],
  ['--host 127.0.0.1:80', /^--host: must be/],
  ['--host http://localhost', /^--host: must be/],
  ['--port 65536', /^--port: .*65535/],
  ['--port -1', /^--port: must be/],
  ['--port 80.5', /^--port: must be/],
  ['--port 0x50', /^--port: must be/],
  ['--base-path calls', /^--base-path: must begin/],
  ['--base-path //', /^--base-path: /],
  ['--base-path /a//b', /^--base-path: /],
  ['--base-path /a/../b', /^--base-path: /],
  ['--base-path /a%20b', /^--base-path: /],
  ['--base-path /:id', /^--base-path: /],
  [`--secret-file FOLDER/short`, /^--secret-file: .*32 bytes/],
  [`--secret-file FOLDER/weak`, /^--secret-file: .*well-known/],
  [`--secret-file FOLDER/binary`, /^--secret-file: .*UTF-8/],
  [`--secret-file FOLDER/empty`, /^--secret-file: .*empty/],
  [`--secret-file FOLDER/none`, /^--secret-file: .*ENOENT/],
  ['--secret-file FOLDER', /^--secret-file: .*EISDIR/],
  ['--jwks-url https://id.example/keys', /needs --issuer$/, /needs --audience$/],
  ['--jwks-url https://id.example/keys --issuer a', /needs --audience$/],
  ['--jwks-url http://id.example/k --issuer a --audience b', /^--jwks-url: .*https:/],
  ['--jwks-url http://127.0.0.1.example/k --issuer a --audience b', /^--jwks-url: .*https:/],
  ['--jwks-url https://u:p@id.example/k --issuer a --audience b', /^--jwks-url: .*password/],
  ['--jwks-url keys.json --issuer a --audience b', /^--jwks-url: .*https:/],
  [`${JWKS} --guests on`, /^--guests on beside --jwks-url/],
  ['--guests yes', /^--guests: must be on or off/],
  ['--cors-origins https://a/', /"https:\/\/a\/": .*\(https:\/\/a\)/],
  ['--cors-origins https://A', /\(https:\/\/a\)/],
  ['--cors-origins https://a:443', /\(https:\/\/a\)/],
  ['--cors-origins a.example', /must be an origin/],
  ['--cors-origins https://a,*', /stand alone/],
  ['--cors-origins https://*.a.example', /stand alone/],
  ['--cors-origins https://a,,b', /"": must be/, /"b": must be/],
  ['--trust-proxy true', /^--trust-proxy: "true": must be/],
  ['--trust-proxy 10.0.0.0/33,10.0.0.256', /10.0.0.0\/33/, /10.0.0.256/],
  ['--trust-proxy 0.0.0.0/0', /^--trust-proxy: /],
  ['--memory-max 512', /^--memory-max: .*from 1KiB/],
  ['--memory-max 512MB', /^--memory-max: must be/],
  ['--memory-max 2048GiB', /^--memory-max: .*to 1024GiB/],
  ['--data-dir /var/lib/posthorn', /^--data-dir: not in this version yet/],
  ['--redis-url redis://localhost', /^--redis-url: not in this version yet/],
  ['--redis-wait 1', /^--redis-wait: not in this version yet/],
  ['--data-dir /x --redis-url redis://x', /^--data-dir: /, /^--redis-url: /, /exclude each other/],
  ['--turn-urls turn:a.example', /^--turn-urls: .*need --turn-secret-file/],
  ['--turn-urls turn://a.example', /^--turn-urls: "turn:\/\/a.example": must be/],
  ['--turn-urls stun:a?transport=udp', /^--turn-urls: .*must be/],
  ['--turn-urls stun:a:70000,http://b', /stun:a:70000/, /http:\/\/b/],
  ['--rate-limit -5', /^--rate-limit: must be an integer/],
  ['--rate-limit 2.5', /^--rate-limit: must be an integer/],
  ['--lease 0.5s', /^--lease: .*from 1s to 24h/],
  ['--lease 500ms', /^--lease: .*from 1s/],
  ['--lease 45', /^--lease: .*ms, s, m or h/],
  ['--lease 1d', /^--lease: .*ms, s, m or h/],
  ['--lease 25h', /^--lease: .*to 24h/],
  ['--stream-max-age 25h', /^--stream-max-age: .*to 24h/],
  ['--message-ttl 61m', /^--message-ttl: .*to 1h/],
  ['--ring-time 181s', /^--ring-time: .*to 3m/],
  ['--log-level loud', /^--log-level: must be .*silent/],
  [`--metrics-token-file FOLDER/empty`, /^--metrics-token-file: .*empty/],
  [`--metrics-token-file FOLDER/key`, /^--metrics-token-file: .*ASCII/],
  ['--colour red', /^unknown flag --colour$/],
  ['-p 80', /^unknown flag -p$/],
  ['--port', /^--port: needs a value$/],
  ['--port=', /^--port: needs a value$/],
  ['--port --host ::1', /^--port: needs a value$/],
  ['--port 1 --port 2', /^--port: given twice$/],
  ['now', /^unexpected argument "now"$/],
]

t.test('a wrong setting', async (t) => {
  for (const [line, ...expected] of BAD) {
    const problems = problemsOf(line)
    t.equal(problems.length, expected.length, `${line} has ${expected.length} problem(s)`)
    expected.forEach((pattern, i) => {
      t.match(problems[i], pattern, `${line} is named`)
    })
  }
})

t.test('all problems come at once', async (t) => {
  const problems = problemsOf('--port x --lease 0 extra --nope 1', {
    POSTHORN_LOG_LEVEL: 'loud',
    POSTHORN_PROT: '80',
    POSTHORN_HOST: '0.0.0.0',
  })
  t.same(
    problems.map((problem) => problem.replace(/:.*/, '')),
    [
      'unexpected argument "extra"',
      'unknown flag --nope',
      'unknown variable POSTHORN_PROT',
      '--port',
      '--lease',
      'POSTHORN_LOG_LEVEL',
      '--host',
    ],
  )
})

t.test('the environment', async (t) => {
  t.equal(read('', { POSTHORN_PORT: '80' }).port, 80, 'sets what no flag sets')
  t.equal(read('--port 81', { POSTHORN_PORT: '80' }).port, 81, 'gives way to a flag')
  t.equal(read('--port 81', { POSTHORN_PORT: 'x' }).port, 81, 'is not read where a flag is')
  t.equal(read('', { POSTHORN_PORT: '' }).port, 8787, 'counts as not set where it is empty')
  t.same(problemsOf('', { POSTHORN_NOPE: '' }), [], 'may hold empty unknown variables')
  t.same(problemsOf('', { PORT: 'x', POSTHORNX: 'y' }), [], 'may hold what others use')
  t.match(problemsOf('', { POSTHORN_PORT: 'x' }), [/^POSTHORN_PORT: /], 'is named when wrong')
  t.match(problemsOf('', { POSTHORN_PORT: 'tcp://10.0.0.7:8787' }), [/enableServiceLinks/])
})

t.test('every variable is read', async (t) => {
  for (const { flag, variables } of Object.values(SETTINGS)) {
    const plain = variables.at(-1) ?? ''
    const problems = problemsOf('', { [plain]: '\u0000\u0000' })
    const isFree = flag === '--issuer' || flag === '--audience'
    t.equal(
      problems.some((problem) => problem.includes(plain)),
      !isFree,
      plain,
    )
  }
})

t.test('a secret', async (t) => {
  t.equal(read('', { POSTHORN_SECRET: SECRET }).secret, SECRET, 'may stand in a variable')
  t.equal(read('', { POSTHORN_SECRET_FILE: file('secret') }).secret, SECRET, 'or in a file')
  const both = { POSTHORN_SECRET_FILE: file('secret'), POSTHORN_SECRET: SECRET }
  t.equal(read('', both).secret, SECRET, 'may be given twice when both are the same')
  const differ = { POSTHORN_SECRET_FILE: file('other'), POSTHORN_SECRET: SECRET }
  t.match(problemsOf('', differ), [/POSTHORN_SECRET_FILE and POSTHORN_SECRET .* differ/])
  const flag = `--secret-file FOLDER/secret`
  t.equal(read(flag, differ).secret, SECRET, 'is taken from the flag before both variables')
  t.equal(read(flag, { POSTHORN_SECRET_FILE: file('none') }).secret, SECRET)
})

const WEAK = [
  'a'.repeat(32),
  'ab'.repeat(20),
  'changeme'.repeat(4),
  'change-me-change-me-change-me-now',
  'ChangeThisBeforeYouGoLiveOrElse!!',
  'secret-secret-1-secret-secret-2-x',
  'secretsecretsecretsecretsecretsecret',
  'password12345678901234567890123456',
  'your-256-bit-secret-your-256-bit-secret',
  'your-512-bit-secret-goes-here-for-now',
  'my-super-secret-key-that-nobody-knows',
  'a-string-secret-at-least-256-bits-long',
  'A_STRING_SECRET_AT_LEAST_256_BITS_LONG',
  'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow',
  '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7',
  '!ChangeThisMercureHubJWTSecretKey!',
  'super-secret-jwt-token-with-at-least-32-characters-long',
  '0123456789abcdef0123456789abcdef',
  '12345678901234567890123456789012',
  'abcdefghijklmnopqrstuvwxyz012345',
]

t.test('a well-known secret is refused and not repeated', async (t) => {
  for (const secret of WEAK) {
    const problems = problemsOf('', { POSTHORN_SECRET: secret })
    t.match(problems, [/^POSTHORN_SECRET: is a well-known weak value/], secret)
    t.notMatch(problems.join(), secret)
  }
  for (const secret of ['north', 'secret', 'mysecret', 'changeme', 'aaaa', '123456']) {
    t.match(problemsOf('', { POSTHORN_TURN_SECRET: secret }), [/well-known/], `TURN: ${secret}`)
  }
})

t.test('a random secret is taken', async (t) => {
  for (let i = 0; i < 200; i++) {
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      const secret = randomBytes(32).toString(encoding)
      if (problemsOf('', { POSTHORN_SECRET: secret }).length > 0) t.fail(secret)
    }
  }
  t.same(problemsOf('', { POSTHORN_SECRET: 'plum stove, eleven grey bicycles & rain' }), [])
  t.same(problemsOf('', { POSTHORN_SECRET: '!#%&/()=?+*~<>|,;.:-_@$^{}[]"!#%&' }), [])
})

t.test('what may be a secret is not repeated', async (t) => {
  for (const line of [
    `--secret-file ${SECRET}`,
    `--secret ${SECRET}`,
    `--secret=${SECRET}`,
    `--jwks-url ${SECRET}`,
    `--redis-url redis://:${SECRET}@h`,
  ]) {
    const problems = problemsOf(line)
    t.not(problems.length, 0, line.replace(SECRET, '…'))
    t.notOk(problems.join().includes(SECRET), 'is silent about the value')
  }
})

t.test('TLS', async (t) => {
  const pair = (cert: string, key: string) => `--tls-cert FOLDER/${cert} --tls-key FOLDER/${key}`
  t.match(read(pair('cert', 'key')).tls, { cert: /BEGIN CERTIFICATE/, key: /PRIVATE KEY/ })
  t.match(problemsOf(`--tls-cert FOLDER/cert`), [/^--tls-cert needs --tls-key$/])
  t.match(problemsOf(`--tls-key FOLDER/key`), [/^--tls-key needs --tls-cert$/])
  t.match(problemsOf(pair('key', 'cert')), [/^--tls-cert: .*no PEM cert/, /^--tls-key: .*no PEM/])
  t.match(problemsOf(pair('cert', 'otherKey')), [/do not belong together/], 'another key')
  t.match(problemsOf(pair('cert', 'otherKind')), [/do not belong together/], 'another kind of key')
  t.match(problemsOf(pair('none', 'key')), [/^--tls-cert: .*ENOENT/], 'a file that is missing')
})

t.test('the help and the docs', async (t) => {
  const help = describeSettings(SETTINGS)
  const rows = docRows()
  for (const setting of Object.values<(typeof SETTINGS)[keyof typeof SETTINGS]>(SETTINGS)) {
    const standard = 'default' in setting ? setting.default : setting.unset
    t.ok(help.includes(`  ${setting.flag} `), `${setting.flag} is in the help`)
    t.ok(help.includes(`(default: ${standard})`), `${setting.flag} has its default in the help`)
    t.same(
      rows.get(setting.flag),
      [setting.variables.join(', '), standard, setting.meaning],
      `${setting.flag} reads the same in the docs`,
    )
  }
  t.equal(rows.size, Object.keys(SETTINGS).length, 'the docs have no other flag')
  const mentioned = docs().match(/POSTHORN_[A-Z_]+/g) ?? []
  const known: string[] = Object.values(SETTINGS).flatMap(({ variables }) => [...variables])
  t.same(
    mentioned.filter((name) => !known.includes(name)),
    [],
    'nor any other variable',
  )
})

function docs(): string {
  return readFileSync(join(import.meta.dirname, '../docs/configuration.md'), 'utf8')
}

/** The table of settings: flag → variables, default, meaning; without backticks. */
function docRows(): Map<string, string[]> {
  const lines = docs()
    .split('\n')
    .filter((line) => line.startsWith('| `--'))
  return new Map(
    lines.map((line) => {
      const [flag = '', ...cells] = line.replaceAll('`', '').split('|').slice(1, -1)
      return [flag.trim(), cells.map((cell) => cell.trim())]
    }),
  )
}

function pem(kind: 'ec' | 'rsa'): string {
  const { privateKey } =
    kind === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** A self-signed certificate for localhost, made for this test and used nowhere else. */
function certificate(): string {
  return `-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIULGXC+7uyX5eidBfh8zUzTAj/jNowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDE2MTMyNFoYDzIxMjYxMDI3
MTYxMzI0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATp1VmE9AjO5v1lUVRJdUl08YYMWAlg3iytMvGwyUH7t5O3S/PrtQPY
lpekGwSf19eV6DvZ6NuryHzhvm19TTzGo2kwZzAdBgNVHQ4EFgQUlkkE9UUEIUf9
DnEMYnAnARb05VkwHwYDVR0jBBgwFoAUlkkE9UUEIUf9DnEMYnAnARb05VkwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SQAwRgIhAIEkgLbEEGY+9lCUVMQsbKJ9gNbswb98LjxbonXKM6g3AiEAgyi1nVCd
3wkWKjqWRqb8p8mjJwzKvztHxeoO4MBXm/g=
-----END CERTIFICATE-----
`
}

function certificateKey(): string {
  return `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgoOW5kxSeUPTN4EOu
HaWbPzSF8PTwisDLbJpS3zn3K/6hRANCAATp1VmE9AjO5v1lUVRJdUl08YYMWAlg
3iytMvGwyUH7t5O3S/PrtQPYlpekGwSf19eV6DvZ6NuryHzhvm19TTzG
-----END PRIVATE KEY-----
`
}
