// Attacks that others have suffered (trust section 3): prototypes, smuggling, paths that slip past a
// check, slow and hostile sockets, forged addresses, random bytes. After each the server serves as
// before; a fault in its log fails the test (helpers/server).
import { Agent, request as requestHttp } from 'node:http'
import { connect } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { buildServer } from '../../src/server.ts'
import {
  isProblem,
  type Json,
  type Peer,
  type RawAnswer,
  readRaw,
  SECRET,
  serve,
  type TestServer,
  until,
  watchLateness,
} from '../helpers/server.ts'

const HEAD_TIMEOUT_MS = 10_000
const CHECKED_EVERY_MS = 2_000

// ---- slow sockets: they run beside the other tests ----------------------------------------------

const DRIPS = 150

/** Sockets that send a byte a second; each resolves with what it was told and when it was closed. */
async function drip() {
  const { app } = await buildServer({ ...readConfig([], {}), logLevel: 'silent' })
  const { port } = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  const heads = [
    'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ',
    'POST /sessions HTTP/1.1\r\nHost: ',
    'GET /',
    '',
  ]
  const sockets = Array.from({ length: DRIPS }, async (_, n) => {
    const startedAt = performance.now()
    const socket = connect(Number(port), '127.0.0.1')
    const head = heads[n % heads.length] as string
    socket.write(head)
    // One in four says nothing at all.
    const timer = setInterval(() => head !== '' && socket.writable && socket.write('a'), 1000)
    const parts: Buffer[] = []
    socket.on('data', (part) => parts.push(part))
    socket.on('error', () => {})
    await new Promise((resolve) => socket.once('close', resolve))
    clearInterval(timer)
    return { text: Buffer.concat(parts).toString(), ms: performance.now() - startedAt }
  })
  const latencies: number[] = []
  const healthy = async () => {
    const sentAt = performance.now()
    const { status } = await fetch(`http://127.0.0.1:${port}/healthz`)
    latencies.push(status === 200 ? performance.now() - sentAt : Number.NaN)
  }
  const timer = setInterval(healthy, 200)
  const closed = await Promise.all(sockets)
  clearInterval(timer)
  await app.close()
  return { closed, latencies }
}

const latenessMs = watchLateness(t)
const dripping = drip()

// ---- prototypes ----------------------------------------------------------------------------------

t.test('names of prototypes are members like others', async (t) => {
  const s = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  const poison = [
    '{"__proto__":{"to":"bob","type":"x","room":"guest-room"}}',
    '{"constructor":{"prototype":{"to":"bob"}},"type":"x"}',
    '{"__proto__":null,"type":"x"}',
    '{"type":"x","__proto__":["bob"],"hasOwnProperty":1,"toString":null}',
  ]
  for (const body of poison) {
    isProblem(t, await s.postRaw('/messages', alice, body), 400, 'invalid-request', body)
    const { body: outcome } = await s.postRaw('/exchange', alice, `{"signals":[${body}]}`)
    t.equal(outcome.results[0].status, 400)
    await s.postRaw('/session/heartbeat', alice, body)
    await s.postRaw('/sessions', undefined, body)
  }
  const inherited = '{"__proto__":{"token":"x","create":true},"create":false}'
  isProblem(t, await s.postRaw('/rooms/new/join', alice, inherited), 404, 'room-not-found')
  const odd = '{"to":"bob","type":"x","__proto__":{"from":"carol"},"payload":{"__proto__":{"a":1}}}'
  t.equal((await s.postRaw('/messages', alice, odd)).status, 201)
  const { text } = await s.get('/messages?wait=0', bob)
  t.match(text, '"from":"alice","payload":{"__proto__":{"a":1}}', 'a payload keeps its members')
  for (const query of ['__proto__=1', '__proto__[to]=1', 'constructor=1', 'toString=1&a[]=1']) {
    t.equal((await s.get(`/messages?wait=0&${query}`, bob)).status, 200, query)
  }
  const heads = ['__proto__: x', 'constructor: x', 'toString: x', 'hasOwnProperty: x']
  const { answers } = await s.raw(
    `GET /session HTTP/1.1\r\nHost: x\r\n${heads.join('\r\n')}\r\nAuthorization: Bearer ${bob.token}\r\n\r\n`,
  )
  t.equal(answers[0]?.status, 200, 'as headers too')
  t.same(Object.keys(Object.prototype), [])
  t.equal(({} as Record<string, unknown>)['to'], undefined)
})

// ---- smuggling ---------------------------------------------------------------------------------

t.test('one request in is one answer out', async (t) => {
  const s = await serve(t)
  const { token } = await s.guest('victim')
  // What a smuggled request would do: it ends the session.
  const body = JSON.stringify({ token })
  const hidden = `POST /session/end HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const post = 'POST /session/heartbeat HTTP/1.1\r\nHost: x\r\n'
  const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
  const n = hidden.length
  const refused: [name: string, bytes: string][] = [
    [
      'CL and TE',
      `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    [
      'TE and CL',
      `${post}Transfer-Encoding: chunked\r\nContent-Length: ${5 + n}\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    [
      'CL and TE in HTTP/1.0',
      `POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ['two lengths', `${post}Content-Length: 0\r\nContent-Length: ${n}\r\n\r\n${hidden}`],
    [
      'the same length twice',
      `${post}Content-Length: ${n}\r\nContent-Length: ${n}\r\n\r\n${hidden}`,
    ],
    ['a list of lengths', `${post}Content-Length: ${n}, ${n}\r\n\r\n${hidden}`],
    ['a length with a sign', `${post}Content-Length: +0\r\n\r\n${hidden}`],
    ['a negative length', `${post}Content-Length: -1\r\n\r\n${hidden}`],
    ['a length in hex', `${post}Content-Length: 0x0\r\n\r\n${hidden}`],
    ['a length with a point', `${post}Content-Length: 0.0\r\n\r\n${hidden}`],
    ['a length with a space within', `${post}Content-Length: 0 ${n}\r\n\r\n${hidden}`],
    ['a huge length', `${post}Content-Length: 99999999999999999999999\r\n\r\n${hidden}`],
    ['a space before the colon', `${post}Content-Length : 0\r\n\r\n${hidden}`],
    [
      'TE with a space before the colon',
      `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ['an unknown TE', `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`],
    [
      'TE that does not end chunked',
      `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    [
      'TE twice',
      `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    [
      'TE with a control character',
      `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ['TE in quotes', `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n${hidden}`],
    ['a folded header', `${post}X-A: b\r\n Content-Length: 0\r\n\r\n${hidden}`],
    ['a folded TE', `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n${hidden}`],
    ['bare line feeds', `${post}Content-Length: 0\n\n${hidden}`],
    ['a bare line feed in the head', `${post}X-A: b\nContent-Length: 0\r\n\r\n${hidden}`],
    ['a bare carriage return', `${post}X-A: b\rContent-Length: 0\r\n\r\n${hidden}`],
    ['NUL in a value', `${post}X-A: b\0\r\nContent-Length: 0\r\n\r\n${hidden}`],
    ['a header without a name', `${post}: x\r\nContent-Length: 0\r\n\r\n${hidden}`],
    ['a header without a colon', `${post}X-A\r\nContent-Length: 0\r\n\r\n${hidden}`],
    ['a chunk size in 0x', `${chunked}0x0\r\n\r\n${hidden}`],
    ['a chunk size with a sign', `${chunked}+0\r\n\r\n${hidden}`],
    ['a negative chunk size', `${chunked}-1\r\n\r\n${hidden}`],
    ['a chunk size beyond 64 bits', `${chunked}1${'0'.repeat(16)}\r\n${hidden}`],
    ['a chunk size with a space before', `${chunked} 0\r\n\r\n${hidden}`],
    ['a chunk that ends with a line feed', `${chunked}0\n\n${hidden}`],
    ['a chunk longer than it says', `${chunked}1\r\n{}\r\n0\r\n\r\n${hidden}`],
    ['a line feed in a chunk extension', `${chunked}2;a\nb\r\n{}\r\n0\r\n\r\n${hidden}`],
    [
      'a very long chunk extension',
      `${chunked}2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n${hidden}`,
    ],
    ['TE in a trailer', `${chunked}0\r\nTransfer-Encoding : x\r\n\r\n${hidden}`],
    [
      'a second request line',
      `GET / HTTP/1.1\r\nGET /session HTTP/1.1\r\nHost: x\r\n\r\n${hidden}`,
    ],
    ['HTTP/0.9', `GET /healthz\r\n${hidden}`],
    ['the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${hidden}`],
    ['no version', `GET /healthz \r\nHost: x\r\n\r\n${hidden}`],
    ['a path with spaces', `GET /health z HTTP/1.1\r\nHost: x\r\n\r\n${hidden}`],
    ['tabs in the request line', `GET\t/healthz\tHTTP/1.1\r\nHost: x\r\n\r\n${hidden}`],
    ['NUL in the path', `GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n${hidden}`],
    ['CONNECT', `CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n${hidden}`],
  ]
  for (const [name, bytes] of refused) {
    const { answers, isClosed, text } = await s.raw(bytes, 60)
    t.ok(answers.length <= 1, `${name}: one answer at most`, { text })
    t.notMatch(text, /HTTP\/1\.1 2/, `${name}: nothing was done`)
    t.ok(isClosed, `${name}: the connection is closed`)
    t.equal((await s.get('/session', token)).status, 200, `${name}: nothing was smuggled`)
  }
  const taken: [name: string, bytes: string, answers: number][] = [
    [
      'a body that looks like a request',
      `${post}Content-Type: text/plain\r\nContent-Length: ${n}\r\n\r\n${hidden}`,
      1,
    ],
    [
      'a GET with such a body',
      `GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: ${n}\r\n\r\n${hidden}`,
      1,
    ],
    ['such a body in chunks', `${chunked}${n.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`, 1],
    ['a chunk extension', `${chunked}2;a=b\r\n{}\r\n0\r\n\r\n`, 1],
    ['a trailer', `${chunked}2\r\n{}\r\n0\r\nX-A: b\r\n\r\n`, 1],
    ['TE in capitals', `${post}Transfer-Encoding: CHUNKED\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, 1],
    ['leading empty lines', `\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`, 1],
    [
      'two requests',
      `GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n${'GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n'}`,
      2,
    ],
  ]
  for (const [name, bytes, count] of taken) {
    const { answers, text } = await s.raw(bytes, 60)
    t.equal(answers.length, count, `${name}: ${count}`, { text })
    t.equal((await s.get('/session', token)).status, 200, `${name}: nothing was smuggled`)
  }
  await s.raw(hidden)
  isProblem(t, await s.get('/session', token), 401, 'token-invalid', 'sent openly it works')
})

// ---- paths ---------------------------------------------------------------------------------------

/** Spellings of a path that a server, a router and a check may read differently. */
function mutations(path: string): string[] {
  const letter = path.search(/[a-z]/)
  const encode = (char: string) => `%${char.charCodeAt(0).toString(16)}`
  const change = (at: number, to: (char: string) => string) =>
    path.slice(0, at) + to(path[at] as string) + path.slice(at + 1)
  const slashes = ['//', '/./', '/x/../', '/%2e/', '/x/%2e%2e/', '/;/', '/;a=b/', '\\', '/%5c']
  const ends = [
    '/',
    '//',
    '/.',
    '/..',
    '/../',
    '%2f',
    '%2F',
    ';',
    ';a=b',
    '%00',
    '%20',
    '.',
    '.json',
    '%3f',
    '%23',
    '*',
    '%ff',
    '/%2e%2e',
    '~',
    '$',
    '&ticket=',
    '?',
    '?ticket=',
  ]
  return [
    path,
    change(letter, encode),
    change(letter, (char) => encode(char).toUpperCase()),
    change(letter, (char) => char.toUpperCase()),
    change(letter, (char) => `%25${encode(char).slice(1)}`),
    change(letter, (char) => `%u00${encode(char).slice(1)}`),
    change(letter, () => '%c1%a1'),
    path.toUpperCase(),
    [...path].map((char) => (char === '/' ? char : encode(char))).join(''),
    [...path].map(encode).join(''),
    ...slashes.map((slash) => `${slash}${path.slice(1)}`),
    ...slashes.map((slash) => path.replace(/(?<=.)\//, slash)).filter((each) => each !== path),
    ...ends.map((end) => path + end),
    `http://x${path}`,
    `http://x@y${path}`,
    `https://127.0.0.1${path}`,
    `/healthz/..${path}`,
    `/healthz/%2e%2e${path}`,
    `/healthz;${path}`,
    `/healthz%2f..${path}`,
    `/demo/..${path}`,
    `/demo/%2e%2e${path}`,
    `/docs/static/..${path}`,
    `/docs/static/..%2f..${path}`,
    `/docs/static/%2e%2e%2f%2e%2e${path}`,
    `/healthz\u00a0${path}`.replace('\u00a0', '%c2%a0'),
  ]
}

t.test('no spelling of a path reaches a handler without a token', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const ask = (method: string, path: string): Promise<{ status: number; body: string }> =>
    new Promise((resolve, reject) => {
      const request = requestHttp({ port: s.port, host: '127.0.0.1', method, path, agent })
      request.on('error', reject)
      request.on('response', (response) => {
        let body = ''
        response.on('data', (chunk) => {
          body += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode as number, body }))
      })
      request.end()
    })
  for (const path of ['/docs/static/..%2f..%2fpackage.json', '/demo/..%2fpackage.json']) {
    const { status, body } = await ask('GET', path)
    t.equal(status, 404, 'no path leads to another file')
    t.notMatch(body, 'package.json', 'or is repeated')
  }
  let tried = 0
  const through: string[] = []
  const paths: [method: string, path: string][] = [
    ['GET', '/session'],
    ['GET', '/messages'],
    ['POST', '/messages'],
    ['GET', '/events'],
    ['GET', '/rooms/secret'],
    ['POST', '/rooms/secret/join'],
    ['GET', '/peers/secret'],
    ['GET', '/metrics'],
    ['POST', '/session/end'],
  ]
  for (const [method, path] of paths) {
    for (const spelled of mutations(path)) {
      const { status, body } = await ask(method, spelled)
      tried += 1
      const code = body.startsWith('{') ? JSON.parse(body).code : undefined
      const isRefused = [400, 401, 403, 404, 405].includes(status) && code !== undefined
      // The public pages and their redirects.
      const isPublic = /^\/(healthz[?]|demo|docs)/.test(spelled) && [200, 302, 308].includes(status)
      if (!isRefused && !isPublic) through.push(`${method} ${spelled}: ${status}`)
      if (/posthorn_|"peer"|"messages"/.test(body)) through.push(`${method} ${spelled}: ${body}`)
    }
  }
  t.same(through, [])
  t.ok(tried > 400, `${tried} spellings`)
})

// ---- addresses -------------------------------------------------------------------------------------

const guestFrom = (s: TestServer, headers: Record<string, string>) =>
  s.post('/sessions', undefined, {}, headers)

/** Opens guest sessions until one is refused. @returns how many were not */
async function exhaust(s: TestServer, headers: Record<string, string>): Promise<number> {
  for (let count = 0; count < 100; count++) {
    if ((await guestFrom(s, headers)).status !== 201) return count
  }
  return 100
}

t.test('forwarded addresses of strangers do not count', async (t) => {
  const s = await serve(t, { rateLimit: 100 })
  let opened = 0
  for (let n = 0; n < 70; n++) {
    const address = `203.0.113.${n}`
    const { status } = await guestFrom(s, {
      'X-Forwarded-For': address,
      Forwarded: `for=${address}`,
      'X-Real-IP': address,
      'True-Client-IP': address,
      'CF-Connecting-IP': address,
      'Client-IP': address,
    })
    if (status === 201) opened += 1
  }
  t.equal(opened, 60)
  const { body } = await s.get('/nowhere', undefined, {
    'X-Forwarded-Host': 'evil.example',
    'X-Forwarded-Proto': 'https',
  })
  t.equal(body.type, `${s.origin}/problems#not-found`)
})

t.test('forwarded addresses of a trusted proxy do', async (t) => {
  const pairs: [name: string, one: string, other: string, isSame: boolean][] = [
    ['two IPv4', '203.0.113.1', '203.0.113.2', false],
    ['IPv4 in IPv6', '203.0.113.1', '::ffff:203.0.113.1', true],
    ['two IPv4 in IPv6', '::ffff:203.0.113.1', '::ffff:203.0.113.2', false],
    ['two /64 of one /56', '2001:db8:0:100::1', '2001:db8:0:1ff:ffff::2', true],
    ['two /56', '2001:db8:0:100::1', '2001:db8:0:200::1', false],
    ['one address in two spellings', '2001:db8::1', '2001:0db8:0:0:0:0:0:0001', true],
    ['what a client put before', '203.0.113.1', '198.51.100.9, 203.0.113.1', true],
    ['other clients behind it', '203.0.113.1', '203.0.113.1, 203.0.113.2', false],
  ]
  for (const [name, one, other, isSame] of pairs) {
    const s = await serve(t, { rateLimit: 100, trustProxy: ['127.0.0.1'], guests: true })
    t.equal(await exhaust(s, { 'X-Forwarded-For': one }), 60)
    const { status } = await guestFrom(s, { 'X-Forwarded-For': other })
    t.equal(status, isSame ? 429 : 201, `${name}: ${isSame ? 'one' : 'two'}`)
  }
  const s = await serve(t, { trustProxy: ['127.0.0.1'] })
  const { body } = await s.get('/nowhere', undefined, {
    'X-Forwarded-Host': 'calls.example',
    'X-Forwarded-Proto': 'https',
  })
  t.equal(body.type, 'https://calls.example/problems#not-found')
  for (const host of ['evil.example/?', '"><script>', 'a b', 'x@y', 'x\\y', 'x#y']) {
    const { body } = await s.get('/nowhere', undefined, { 'X-Forwarded-Host': host })
    t.equal(body.type.includes(host), false, host)
  }
})

// ---- hostile sockets -------------------------------------------------------------------------------

t.test('nonsense behind a poll that waits', async (t) => {
  const s = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  const cursor = await s.readAll(bob)
  const poll = `GET /messages?wait=25&since=${cursor} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${bob.token}\r\n\r\n`
  const sockets = ['nonsense\r\n\r\n', `${poll}${poll}`, 'GET / HTTP/1.1\r\nA: \0', ''].map(
    (more) => {
      const socket = connect(s.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(poll + more)
      return { socket, answer: readRaw(socket, 100) }
    },
  )
  await until(async () => (await s.metric('posthorn_reads_open{transport="poll"}')) >= 2, 'polls')
  sockets[3]?.socket.end()
  await s.post('/messages', alice, { to: 'bob', type: 'x' })
  for (const { answer } of sockets) {
    const { answers } = await answer
    t.ok(answers.every(({ headers }) => headers.get('posthorn') === '1'))
  }
  await s.holds('poll', 0)
})

t.test('a stream is no way in', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  const socket = connect(s.port, '127.0.0.1')
  socket.write(
    `GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${alice.token}\r\n\r\nGET /session HTTP/1.1\r\nHost: x\r\n\r\n`,
  )
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  await until(() => text.includes('heartbeat'), 'the stream')
  for (let n = 0; n < 50; n++) socket.write('x'.repeat(1000))
  await s.get('/healthz')
  socket.resetAndDestroy()
  await s.holds('stream', 0)
  t.equal(text.match(/HTTP\/1\.1/g)?.length, 1)
})

const hasPosthorn = ({ answers }: RawAnswer) =>
  answers.every(({ status, headers }) => status >= 200 && headers.get('posthorn') === '1')

t.test('random bytes', async (t) => {
  const s = await serve(t)
  const { token } = await s.guest('alice')
  const valid = [
    `POST /session/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${token.length + 12}\r\n\r\n{"token":"${token}"}`,
    `GET /messages?wait=0&since=5&limit=3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    'POST /sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
  ].map((text) => Buffer.from(text))
  const send = (bytes: Uint8Array) => {
    const socket = connect(s.port, '127.0.0.1')
    // Some clients close their side behind a request, and most do not.
    if (bytes.length % 4 === 0) socket.end(bytes)
    else socket.write(bytes)
    return readRaw(socket, 20, 40)
  }
  const bytes = fc.uint8Array({ maxLength: 300 })
  const mutated = fc
    .tuple(fc.constantFrom(...valid), fc.nat(400), fc.nat(8), fc.uint8Array({ maxLength: 8 }))
    .map(([request, at, drop, insert]) =>
      Buffer.concat([request.subarray(0, at), insert, request.subarray(at + drop)]),
    )
  await fc.assert(
    fc.asyncProperty(fc.oneof(bytes, mutated), async (input) => {
      if (!hasPosthorn(await send(input))) throw new Error('an answer that is not ours')
    }),
    { numRuns: 250 },
  )
  t.equal((await s.get('/session', token)).status, 200, 'it serves as before')
  t.same(s.errors(), [], 'and had no fault')

  const pipelined = Buffer.concat(valid)
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(pipelined.length), { maxLength: 6 }), async (cuts) => {
      const socket = connect(s.port, '127.0.0.1').setNoDelay()
      const answer = readRaw(socket, 5000)
      const edges = [0, ...cuts.sort((a, b) => a - b), pipelined.length]
      for (const [n, edge] of edges.slice(1).entries()) {
        socket.write(pipelined.subarray(edges[n], edge))
        await new Promise((resolve) => setImmediate(resolve))
      }
      const { answers } = await answer
      const statuses = answers.map(({ status }) => status).join()
      if (statuses !== '200,200,201') throw new Error(`answers ${statuses}`)
    }),
    { numRuns: 30 },
  )
  t.pass('however a request is cut into packets, it is the same')
})

t.test('random JSON', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = s.token({ sub: 'alice', posthorn: { rooms: ['*'], create: true, direct: ['*'] } })
  const names = [
    'to',
    'type',
    'payload',
    'room',
    'call',
    'ttl',
    'signals',
    'since',
    'wait',
    'limit',
    'info',
    'create',
    'capacity',
    'peer',
    'idempotencyKey',
    'token',
    '__proto__',
    'from',
  ]
  const values = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(
      'bob',
      'x',
      'offer',
      'call-1234',
      0,
      -1,
      1e308,
      2 ** 53,
      '',
      [],
      {},
      null,
      true,
    ),
  )
  const members = fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), values, {
    maxKeys: 8,
  })
  const paths = [
    '/messages',
    '/exchange',
    '/sessions',
    '/rooms/r/join',
    '/rooms/r/leave',
    '/session/open',
    '/session/refresh',
  ]
  const failed: Json[] = []
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), fc.oneof(members, values), async (path, body) => {
      const text = JSON.stringify(body)
      // With a wait it would wait: time stands still here.
      if (text.includes('"wait"')) return
      const answer = await s.postRaw(path, alice, text)
      if (answer.status >= 500 && answer.status !== 507) failed.push([path, text, answer.status])
    }),
    { numRuns: 400 },
  )
  t.same(failed, [], 'no body is a fault of the server')
})

// ---- what the slow sockets came to -------------------------------------------------------------------

t.test('sockets that drip are cut off', async (t) => {
  const { closed, latencies } = await dripping
  const slowest = Math.max(...closed.map(({ ms }) => ms))
  const bound = HEAD_TIMEOUT_MS + CHECKED_EVERY_MS + 500 + 2 * latenessMs()
  t.ok(slowest < bound, `after ${Math.round(slowest)} of ${Math.round(bound)} ms`)
  const told = closed.filter(({ text }) => /^HTTP\/1\.1 408 .*\r\nposthorn: 1\r\n/is.test(text))
  t.equal(told.length, DRIPS, 'with a problem document')
  t.ok(latencies.length > 20 && !latencies.includes(Number.NaN), 'others are served meanwhile')
})
