// Errors (protocol section 8): the order of the checks, what is refused before a handler runs, and
// that every refusal, the parser's too, is a problem document that repeats nothing of the request.
import { connect } from 'node:net'
import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { PROBLEMS } from '../../src/protocol/names.ts'
import { buildServer } from '../../src/server.ts'
import { NOON } from '../helpers/clock.ts'
import {
  type Answer,
  isProblem,
  type RawAnswer,
  readRaw,
  SECRET,
  serve,
  type TestServer,
} from '../helpers/server.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }

t.test('the order of the checks', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const alice = s.token({ sub: 'alice', posthorn: { direct: ['bob'] } })
  const large = 'x'.repeat(300 * 1024)
  const post = (path: string, who: string | undefined, body: string, method = 'POST') =>
    s.request(path, { method, who, headers: JSON_TYPE, body })
  // Each request does wrong what the one before does, but for one thing.
  isProblem(t, await post('/nowhere', 'bad', large, 'PUT'), 404, 'not-found', 'path')
  isProblem(t, await post('/nowhere', 'bad', large), 404, 'not-found', 'path')
  isProblem(t, await post('/messages', 'bad', large, 'PUT'), 405, 'method-not-allowed', 'verb')
  isProblem(t, await post('/messages', 'bad', large), 413, 'too-large', 'size')
  isProblem(t, await post('/messages', 'bad', '{"to":'), 400, 'invalid-json', 'JSON')
  const wrong = { type: 'peer-left', from: 'x', payload: 5 }
  const to = (peer: string) => JSON.stringify({ ...wrong, to: peer })
  isProblem(t, await post('/messages', undefined, to('x')), 401, 'token-missing', 'token')
  isProblem(t, await post('/messages', 'bad', to('x')), 401, 'token-invalid', 'token')
  isProblem(t, await post('/messages', alice, to('carol')), 404, 'peer-not-found', 'rights')
  isProblem(t, await post('/messages', alice, to('bob')), 400, 'reserved-type', 'content')
  const content = JSON.stringify({ ...wrong, to: 'bob', type: 'x' })
  isProblem(t, await post('/messages', alice, content), 400, 'invalid-request', 'content')
  t.equal((await post('/messages', alice, '{"to":"bob","type":"x"}')).status, 201)
})

t.test('a path comes before everything of the body', async (t) => {
  const s = await serve(t)
  const bodies: [name: string, body: string | Uint8Array, headers: Record<string, string>][] = [
    ['broken JSON', '{', JSON_TYPE],
    ['another type', '<a/>', { 'Content-Type': 'application/xml' }],
    ['no type at all', 'x', { 'Content-Type': ';;;' }],
    ['an encoding', 'x', { ...JSON_TYPE, 'Content-Encoding': 'gzip' }],
    ['a large body', 'x'.repeat(300_000), JSON_TYPE],
    ['no UTF-8', new Uint8Array([0xff, 0xfe]), JSON_TYPE],
    ['an empty body', '', JSON_TYPE],
  ]
  for (const [name, body, headers] of bodies) {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
      const at = (path: string) => s.request(path, { method, headers, body: body as BodyInit })
      isProblem(t, await at('/nowhere'), 404, 'not-found', `${method} with ${name}`)
      if (method === 'POST') continue
      isProblem(t, await at('/session/open'), 405, 'method-not-allowed', `${method} with ${name}`)
    }
  }
})

t.test('405 names what the path takes', async (t) => {
  const s = await serve(t)
  const allowed: [path: string, allow: string, methods: string[]][] = [
    ['/sessions', 'OPTIONS, POST', ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'PROPFIND']],
    ['/session', 'GET, HEAD, OPTIONS', ['POST', 'PUT', 'DELETE']],
    ['/session/open', 'OPTIONS, POST', ['GET', 'PUT']],
    ['/session/refresh', 'OPTIONS, POST', ['GET']],
    ['/session/heartbeat', 'OPTIONS, POST', ['GET']],
    ['/session/end', 'OPTIONS, POST', ['GET', 'DELETE']],
    ['/messages', 'GET, HEAD, OPTIONS, POST', ['PUT', 'DELETE', 'PATCH', 'QUERY']],
    ['/exchange', 'OPTIONS, POST', ['GET']],
    ['/events', 'GET, OPTIONS', ['HEAD', 'POST', 'PUT']],
    ['/rooms/r', 'GET, HEAD, OPTIONS', ['POST', 'PUT', 'DELETE']],
    ['/rooms/r/join', 'OPTIONS, POST', ['GET', 'HEAD', 'PUT']],
    ['/rooms/r/leave', 'OPTIONS, POST', ['GET']],
    ['/peers/p', 'GET, HEAD, OPTIONS', ['POST']],
    ['/healthz', 'GET, HEAD, OPTIONS', ['POST']],
    ['/readyz', 'GET, HEAD, OPTIONS', ['POST']],
    ['/metrics', 'GET, HEAD, OPTIONS', ['POST']],
    ['/openapi.yaml', 'GET, HEAD, OPTIONS', ['POST']],
    ['/openapi.json', 'GET, HEAD, OPTIONS', ['POST']],
    ['/openapi-3.1.json', 'GET, HEAD, OPTIONS', ['POST']],
  ]
  for (const [path, allow, methods] of allowed) {
    for (const method of methods) {
      const answer = await s.request(`${path}?a=b`, { method })
      if (method !== 'HEAD') isProblem(t, answer, 405, 'method-not-allowed', `${method} ${path}`)
      t.same([answer.status, answer.headers.get('allow')], [405, allow], `${method} ${path}`)
    }
  }
})

t.test('bodies that are no JSON', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  const bad: (string | Uint8Array)[] = [
    '{',
    '{"a":1,}',
    "{'a':1}",
    '{a:1}',
    '{"a":01}',
    '{"a":NaN}',
    '{"a":"\n"}',
    '{"a":"\\x"}',
    '{} {}',
    '{}\0',
    'undefined',
    'token=abc',
    ' ',
    '\uFEFF',
    '\uFEFF\uFEFF{}',
    new Uint8Array([0x22, 0xff, 0x22]),
    new Uint8Array([0x22, 0xc0, 0xaf, 0x22]),
    new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]),
    new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]),
    new Uint8Array([0x1f, 0x8b, 0x08, 0x00]),
  ]
  for (const body of bad) {
    const answer = await s.postRaw('/session/heartbeat', alice, body)
    isProblem(t, answer, 400, 'invalid-json', JSON.stringify(body).slice(0, 24))
  }
  for (const body of ['{}', ' {\n} ', '\uFEFF{}', 'null', '[]', '{"a":"\\ud800"}']) {
    const { status } = await s.postRaw('/session/heartbeat', alice, body)
    t.equal(status, 200, JSON.stringify(body))
  }
  for (const body of ['5', '"text"', 'true', '[1]', '[{}]']) {
    const answer = await s.postRaw('/session/heartbeat', alice, body)
    isProblem(t, answer, 400, 'invalid-request', body)
  }
})

t.test('types of bodies', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  const post = (type: string, body = '{}') =>
    s.postRaw('/session/heartbeat', alice, body, { 'Content-Type': type })
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'APPLICATION/JSON;charset=UTF-8',
    'text/plain',
    'text/plain;charset=UTF-8',
    'text/plain; format=flowed',
  ]) {
    t.equal((await post(type)).status, 200, type)
  }
  for (const type of [
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    'application/problem+json',
    'application/jsonp',
    'application/json2',
    'application/jso',
    'text/json',
    'text/plainer',
    'text/html',
    'text/html, application/json',
    'application/json, text/html',
    'application json',
    'json',
    '*/*',
    ';',
    'application/',
  ]) {
    isProblem(t, await post(type), 415, 'unsupported-media-type', type)
  }
  for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip', 'x']) {
    const headers = { ...JSON_TYPE, 'Content-Encoding': encoding }
    const answer = await s.postRaw('/session/heartbeat', alice, '{}', headers)
    isProblem(t, answer, 415, 'unsupported-media-type', encoding)
  }
})

t.test('a body may lack its type, and a type its body', async (t) => {
  const s = await serve(t)
  const { token } = await s.guest('alice')
  const send = (head: string, body = '') =>
    s.raw(`POST /session/heartbeat HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${head}\r\n${body}`)
  const inBody = JSON.stringify({ token })
  const bearer = `Authorization: Bearer ${token}\r\n`
  const length = `Content-Length: ${inBody.length}\r\n`
  const chunked = `${inBody.length.toString(16)}\r\n${inBody}\r\n0\r\n\r\n`
  const taken: [name: string, Promise<RawAnswer>][] = [
    ['no type', send(length, inBody)],
    ['an empty type', send(`${length}Content-Type:\r\n`, inBody)],
    ['chunks without a type', send('Transfer-Encoding: chunked\r\n', chunked)],
    ['no body, a type', send(`${bearer}Content-Type: application/json\r\nContent-Length: 0\r\n`)],
    ['no body, another type', send(`${bearer}Content-Type: image/png\r\nContent-Length: 0\r\n`)],
    ['no body, no length', send(`${bearer}Content-Type: application/json\r\n`)],
    ['no body at all', send(bearer)],
    [
      'empty chunks',
      send(`${bearer}Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n`, '0\r\n\r\n'),
    ],
    ['Expect: 100-continue', send(`${length}Expect: 100-continue\r\n`, inBody)],
  ]
  for (const [name, answer] of taken) {
    const { answers, text } = await answer
    t.equal(answers.at(-1)?.status, 200, name, { text })
  }
})

t.test('a body that is too large is refused before it was read', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  for (const megabytes of [1, 8]) {
    const body = new Uint8Array(megabytes << 20).fill(0x20)
    isProblem(t, await s.postRaw('/messages', alice, body), 413, 'too-large', `${megabytes} MiB`)
  }
  const said = await s.raw(
    'POST /messages HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 999999999\r\n\r\n{',
  )
  t.equal(said.answers[0]?.status, 413, 'by what it says')
  t.ok(said.isClosed, 'and the connection is closed')
  const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`
  const grown = await s.raw(
    `POST /messages HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(9)}`,
  )
  t.equal(grown.answers[0]?.status, 413, 'by what it is')
})

t.test('what only the parser sees', async (t) => {
  const s = await serve(t)
  const refused: [name: string, bytes: string, status: number, code: string][] = [
    ['no HTTP', 'hello\r\n\r\n', 400, 'invalid-request'],
    ['an unknown method', 'FOO / HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'invalid-request'],
    ['another version', 'GET / HTTP/3.7\r\nHost: x\r\n\r\n', 400, 'invalid-request'],
    ['a space in a header name', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 400, 'invalid-request'],
    ['NUL in a header', 'GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n', 400, 'invalid-request'],
    [
      'a length that is none',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n',
      400,
      'invalid-request',
    ],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'invalid-request'],
    [
      'a large head',
      `GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(17_000)}\r\n\r\n`,
      431,
      'too-large',
    ],
    [
      'many headers',
      `GET / HTTP/1.1\r\nHost: x\r\n${'Abcd: efgh\r\n'.repeat(3000)}\r\n`,
      431,
      'too-large',
    ],
    ['a long path', `GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'too-large'],
  ]
  for (const [name, bytes, status, code] of refused) {
    const { answers, isClosed, text } = await s.raw(bytes)
    t.equal(answers.length, 1, `${name} has one answer`, { text })
    isProblem(t, toAnswer(answers[0]), status, code, name)
    t.equal(answers[0]?.headers.get('connection'), 'close', `${name}: says that it closes`)
    t.ok(isClosed, `${name}: and does`)
  }
})

const toAnswer = (answer: RawAnswer['answers'][number] | undefined): Answer => ({
  status: answer?.status ?? 0,
  headers: answer?.headers ?? new Headers(),
  text: answer?.body ?? '',
  body: JSON.parse(answer?.body || '{}'),
})

t.test('what HTTP demands of a request', async (t) => {
  const s = await serve(t)
  const refused: [name: string, head: string, status: number][] = [
    ['no Host', 'GET /healthz HTTP/1.1\r\n', 400],
    ['two Hosts', 'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n', 400],
    ['the same Host twice', 'GET /healthz HTTP/1.1\r\nHost: a\r\nhost: a\r\n', 400],
    ['two Hosts in HTTP/1.0', 'GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n', 400],
    ['an unknown Expect', 'GET /healthz HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n', 417],
    ['a path that cannot be decoded', 'GET /rooms/%zz HTTP/1.1\r\nHost: a\r\n', 400],
    ['half a code', 'GET /rooms/%f HTTP/1.1\r\nHost: a\r\n', 400],
    ['a path that is no UTF-8', 'GET /rooms/%ff HTTP/1.1\r\nHost: a\r\n', 400],
  ]
  for (const [name, head, status] of refused) {
    const { answers } = await s.raw(`${head}\r\n`)
    isProblem(t, toAnswer(answers[0]), status, 'invalid-request', name)
  }
  for (const head of [
    'GET /healthz HTTP/1.0\r\n',
    'GET /healthz HTTP/1.1\r\nHost:\r\n',
    'GET http://anything/healthz HTTP/1.1\r\nHost: x\r\n',
    'GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n',
    'GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n',
  ]) {
    const { answers } = await s.raw(`${head}\r\n`)
    t.same([answers[0]?.status, answers[0]?.headers.get('posthorn')], [200, '1'], head)
  }
})

t.test('a request that takes too long to arrive', async (t) => {
  const { app } = await buildServer({ ...readConfig([], {}), logLevel: 'silent' })
  t.teardown(() => app.close())
  const { server } = app
  t.equal(server.headersTimeout, 10_000, 'its head has 10 s')
  t.equal(server.requestTimeout, 30_000, 'and all of it 30 s')
  t.equal(server.timeout, 60_000, 'whoever takes no answer is cut off after 60 s')
  Object.assign(server, { headersTimeout: 300, requestTimeout: 300 })
  const url = new URL(await app.listen({ host: '127.0.0.1', port: 0 }))
  const slow = [
    '',
    'GET /healthz HTTP/1.1\r\nHost:',
    'POST /sessions HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n{',
  ].map((bytes) => {
    const socket = connect(Number(url.port), '127.0.0.1')
    socket.write(bytes)
    return readRaw(socket, 4000)
  })
  for (const { answers, isClosed } of await Promise.all(slow)) {
    isProblem(t, toAnswer(answers[0]), 408, 'invalid-request', 'slow')
    t.ok(isClosed)
  }
})

t.test('content negotiation', async (t) => {
  const s = await serve(t)
  const type = async (accept: string) => {
    const answer = await s.get('/nowhere', undefined, { Accept: accept })
    return answer.headers.get('content-type')?.split(';')[0]
  }
  for (const accept of [
    'application/json',
    'text/html, application/json;q=0.9',
    'Application/JSON',
  ]) {
    t.equal(await type(accept), 'application/json', accept)
  }
  for (const accept of [
    '*/*',
    'text/html',
    'application/problem+json',
    'application/json, application/problem+json',
    'application/*',
    '',
  ]) {
    t.equal(await type(accept), 'application/problem+json', accept)
  }
})

t.test('nothing of a request is repeated', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true })
  const alice = s.token({ sub: 'alice', posthorn: { direct: ['*'], rooms: ['*'], create: true } })
  const canary = 'CaNaRy42'
  const json = (body: unknown) => ({
    method: 'POST',
    who: alice,
    headers: JSON_TYPE,
    body: JSON.stringify(body),
  })
  const requests: [path: string, init: Parameters<TestServer['request']>[1]][] = [
    [`/${canary}`, {}],
    [`/messages?since=${canary}`, { who: alice }],
    [`/messages?${canary}=1&${canary}=2`, { who: alice }],
    [`/messages?canaryfortytwo=1&canaryfortytwo=2`, { who: alice }],
    [`/session?ticket=${canary}`, {}],
    [`/session`, { who: canary }],
    [`/rooms/-${canary}`, { who: alice }],
    [`/rooms/${canary}`, { who: alice }],
    [`/peers/@${canary}`, { who: alice }],
    [`/rooms/%zz${canary}`, { who: alice }],
    ['/messages', json({ to: `@${canary}`, type: 'x' })],
    ['/messages', json({ to: 'bob', type: canary })],
    ['/messages', json({ to: 'bob', type: 'x', payload: canary })],
    ['/messages', json({ to: 'bob', type: 'x', from: canary, call: '!', [canary]: 1 })],
    ['/messages', json({ to: 'bob', type: 'offer', payload: { type: canary, sdp: canary } })],
    ['/messages', json({ room: canary, type: 'x' })],
    ['/messages', json({ to: 'bob', type: 'x', idempotencyKey: `${canary} ` })],
    ['/exchange', json({ signals: canary })],
    ['/exchange', json({ since: canary })],
    ['/sessions', json({ peer: `@${canary}` })],
    ['/sessions', json({ peer: canary })],
    ['/sessions', json({ info: canary })],
    ['/rooms/r/join', json({ capacity: canary, info: canary })],
    ['/messages', { method: 'POST', headers: JSON_TYPE, body: `{"${canary}` }],
    ['/messages', { method: 'POST', headers: { 'Content-Type': `${canary}/x` }, body: '{}' }],
    [
      '/messages',
      { method: 'POST', headers: { ...JSON_TYPE, 'Content-Encoding': canary }, body: '{}' },
    ],
    ['/nowhere', { headers: { 'X-Forwarded-Host': canary, Origin: `http://${canary}` } }],
  ]
  for (const [path, init] of requests) {
    const { status, text, headers, body } = await s.request(path, init)
    const name = `${path.slice(0, 24)} ${String(init?.body ?? '').slice(0, 40)}`
    t.ok(status >= 400 && status < 500, `${name}: ${status}`)
    const all = `${text}${JSON.stringify([...headers])}`
    t.notMatch(all, /canary/i, name)
    t.notMatch(text, /node_modules|\.[jt]s:\d|\\n +at /, 'no stack')
    t.ok(Object.hasOwn(PROBLEMS, body.code))
  }
  const raws = [
    `GET /nowhere HTTP/1.1\r\nHost: ${canary}.example\r\n\r\n`,
    `GET /nowhere HTTP/1.1\r\nHost: "><script>${canary}\r\n\r\n`,
    `GET http://${canary}/nowhere HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${canary}\r\nRequest-Id: ${canary}\r\n\r\n`,
    `${canary} / HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\n${canary}\r\n\r\n`,
    `GET /nowhere HTTP/1.1\r\nHost: x\r\nExpect: ${canary}\r\n\r\n`,
  ]
  for (const bytes of raws) {
    const { text } = await s.raw(bytes)
    t.match(text, /^HTTP\/1\.1 4\d\d .*\r\nposthorn: 1\r\n/is)
    t.notMatch(text, /canary/i, bytes.slice(0, 60))
  }
})

t.test('401 names the scheme (RFC 6750)', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const header = async (who?: string) =>
    (await s.get('/session', who)).headers.get('www-authenticate')
  t.equal(await header(), 'Bearer', 'without credentials no error')
  t.equal(await header('bad'), 'Bearer error="invalid_token"')
  const expired = s.token({ sub: 'alice', exp: NOON / 1000 - 60 })
  t.equal(await header(expired), 'Bearer error="invalid_token"')
})

t.test('type leads to the documentation of the code', async (t) => {
  const s = await serve(t, { basePath: '/base' })
  const { body } = await s.get('/nowhere')
  t.equal(body.type, `${s.origin}/base/problems#not-found`)
  const page = await fetch(body.type)
  t.equal(page.status, 200)
  t.match(page.headers.get('content-type'), /^text\/html/)
  const html = await page.text()
  for (const code of Object.keys(PROBLEMS)) t.ok(html.includes(`id="${code}"`), code)
})

t.test('request ids are unique', async (t) => {
  const s = await serve(t)
  const ids = new Set<string>()
  for (let n = 0; n < 20; n++) {
    const { body } = await s.get('/nowhere', undefined, {
      'Request-Id': 'same',
      'X-Request-Id': 'same',
    })
    ids.add(body.requestId)
  }
  t.equal(ids.size, 20)
  t.notOk(ids.has('same'))
})
