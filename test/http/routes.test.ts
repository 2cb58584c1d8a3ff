// Every route as the OpenAPI document describes it: each answer here has a status that is described
// there and a body of the schema given for it, with no member that the schema does not name. Then
// what holds for all routes: HEAD, OPTIONS, the base path, headers.
import { FormatRegistry, type TSchema } from '@sinclair/typebox'
import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { compileCheck, components } from '../../src/protocol/schema.ts'
import { buildServer } from '../../src/server.ts'
import { type Answer, type Json, type Peer, SECRET, serve } from '../helpers/server.ts'

FormatRegistry.Set(
  'date-time',
  (text) =>
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && !Number.isNaN(Date.parse(text)),
)

const SDP = 'v=0\r\n'

/** Members of the value that its schema does not name, as JSON pointers. */
function unnamed(schema: TSchema, value: Json, pointer = ''): string[] {
  if (schema['$ref'] !== undefined) {
    return unnamed(components.get(schema['$ref']) as TSchema, value, pointer)
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => unnamed(schema['items'], item, `${pointer}/${index}`))
  }
  if (typeof value !== 'object' || value === null || schema.$id === 'JsonObject') return []
  const properties = (schema['properties'] ?? {}) as Record<string, TSchema>
  return Object.entries(value).flatMap(([name, member]) =>
    Object.hasOwn(properties, name)
      ? unnamed(properties[name] as TSchema, member, `${pointer}/${name}`)
      : [`${pointer}/${name}`],
  )
}

t.test('answers are what the document says', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true })
  const { body: document } = await s.get('/openapi.json')
  const seen = new Set<string>()

  /** @param path as in the document */
  const check = async (method: string, path: string, answer: Promise<Answer>, name = '') => {
    const { status, body, text, headers } = await answer
    const label = `${method} ${path} ${status} ${name}`
    seen.add(`${method} ${path} ${status}`)
    const described = document.paths[path]?.[method.toLowerCase()]?.responses[status]
    t.ok(described, `${label}: the status is described`)
    t.equal(headers.get('posthorn'), '1', `${label}: Posthorn: 1`)
    const reference: string | undefined = described?.content?.['application/json']?.schema?.$ref
    if (reference === undefined) {
      t.equal(text, '', `${label}: no body`)
      return
    }
    const schema = components.get(reference.split('/').at(-1) as string) as TSchema
    t.same(compileCheck(schema)(body), [], `${label}: ${schema.$id}`)
    t.same(unnamed(schema, body), [], `${label}: names every member`)
  }
  const post = (path: string, who?: string, body: object = {}) => s.post(path, who, body)

  const exp = { exp: s.clock.wall() / 1000 + 3600 }
  const grants = { rooms: ['*'], create: true, direct: ['*'] }
  const alice = s.token({ sub: 'alice', ...exp, posthorn: grants })
  const bob = s.token({ sub: 'bob', ...exp, posthorn: { rooms: ['*'] } })
  const old = s.token({ sub: 'carol', exp: s.clock.wall() / 1000 - 3600 })
  const secured: [method: string, path: string, real: string][] = [
    ['POST', '/session/open', '/session/open'],
    ['POST', '/session/refresh', '/session/refresh'],
    ['POST', '/session/heartbeat', '/session/heartbeat'],
    ['POST', '/session/end', '/session/end'],
    ['GET', '/session', '/session'],
    ['POST', '/messages', '/messages'],
    ['GET', '/messages', '/messages'],
    ['POST', '/exchange', '/exchange'],
    ['GET', '/events', '/events'],
    ['POST', '/rooms/{room}/join', '/rooms/r/join'],
    ['POST', '/rooms/{room}/leave', '/rooms/r/leave'],
    ['GET', '/rooms/{room}', '/rooms/r'],
    ['GET', '/peers/{peer}', '/peers/p'],
  ]
  for (const [method, path, real] of secured) {
    await check(method, path, s.request(real, { method }), 'without a token')
    await check(method, path, s.request(real, { method, who: 'bad' }), 'with a bad token')
    await check(method, path, s.request(real, { method, who: old }), 'with an old token')
    if (method === 'GET') {
      await check(method, path, s.get(`${real}?ticket=x`), 'with an unknown ticket')
      await check(method, path, s.get(`${real}?a=1&a=2`, alice), 'with a repeated parameter')
      continue
    }
    for (const [name, body] of [
      ['broken JSON', '{'],
      ['a list', '[{}]'],
      ['a large body', ' '.repeat(300_000)],
    ] as const) {
      await check(method, path, s.postRaw(real, alice, body), name)
    }
    const type = { 'Content-Type': 'image/png' }
    await check(method, path, s.postRaw(real, alice, '{}', type), 'another type')
  }

  await check(
    'POST',
    '/sessions',
    post('/sessions', undefined, { peer: 'guest-a', info: { a: 1 } }),
  )
  await check('POST', '/sessions', post('/sessions', undefined, { peer: 'guest-a' }), 'taken')
  await check('POST', '/sessions', post('/sessions', undefined, { peer: 'a' }), 'not allowed')
  await check('POST', '/sessions', post('/sessions', undefined, { peer: '@' }), 'wrong')
  const guest = await s.guest('guest-b')
  await check('POST', '/session/open', post('/session/open', alice))
  await check('POST', '/session/refresh', post('/session/refresh', guest.token))
  await check('POST', '/session/refresh', post('/session/refresh', alice), 'no guest')
  await check('POST', '/session/heartbeat', post('/session/heartbeat', alice))

  const join = (who: string, body: object = {}) => post('/rooms/r/join', who, body)
  await check('POST', '/rooms/{room}/join', join(bob), 'not there')
  await check('POST', '/rooms/{room}/join', join(bob, { create: true }), 'no right')
  await check(
    'POST',
    '/rooms/{room}/join',
    join(alice, { create: true, capacity: 2, info: { a: [] } }),
  )
  await check('POST', '/rooms/{room}/join', join(bob), 'second')
  const full = s.token({ sub: 'dave', posthorn: grants })
  await check('POST', '/rooms/{room}/join', join(full), 'full')
  await check('GET', '/rooms/{room}', s.get('/rooms/r', alice))
  await check('GET', '/rooms/{room}', s.get('/rooms/r', full), 'a stranger')
  await check('GET', '/session', s.get('/session', alice))
  await check('GET', '/peers/{peer}', s.get('/peers/bob', alice))
  await check('GET', '/peers/{peer}', s.get('/peers/never', alice), 'never seen')
  await check('GET', '/peers/{peer}', s.get('/peers/never', bob), 'not reachable')

  const signal = { to: 'bob', type: 'offer', payload: { type: 'offer', sdp: SDP } }
  const key = { idempotencyKey: 'k' }
  await check(
    'POST',
    '/messages',
    post('/messages', alice, { ...signal, ...key, call: 'call-1234', room: 'r' }),
  )
  await check('POST', '/messages', post('/messages', alice, { ...signal, ...key }), 'key reused')
  await check('POST', '/messages', post('/messages', alice, { room: 'r', type: 'x' }), 'to a room')
  await check('POST', '/messages', post('/messages', bob, { room: 'q', type: 'x' }), 'no room')
  await check('POST', '/messages', post('/messages', bob, { to: 'x', type: 'x' }), 'no peer')
  await check(
    'POST',
    '/messages',
    post('/messages', alice, { to: 'bob', type: 'peer-left' }),
    'reserved',
  )
  for (let n = 0; n < 64; n++) await post('/messages', alice, { to: 'bob', type: 'x' })
  await check('POST', '/messages', post('/messages', alice, { to: 'bob', type: 'x' }), 'full')
  await check(
    'POST',
    '/messages',
    post('/messages', alice, { room: 'r', type: 'x' }),
    'a full room',
  )
  await check('GET', '/messages', s.get('/messages?wait=0&n=x', bob))
  await check('GET', '/messages', s.get('/messages?wait=0&since=5', bob), 'with a reset')
  const signals = [{ to: 'bob', type: 'x' }, { to: 'carol', type: 'x' }, { type: 5 }]
  await check('POST', '/exchange', post('/exchange', alice, { signals, since: 0, ...key }))
  await check('POST', '/exchange', post('/exchange', alice, { signals: [], ...key }), 'key reused')
  await check('POST', '/exchange', post('/exchange', bob, {}), 'of nothing')
  await check('POST', '/exchange', post('/exchange', bob, { since: 5 }), 'with a reset')

  await check('POST', '/rooms/{room}/leave', post('/rooms/r/leave', bob))
  await check('POST', '/rooms/{room}/leave', post('/rooms/r/leave', bob), 'no member')
  await check('POST', '/session/end', post('/session/end', bob))
  await check('GET', '/healthz', s.get('/healthz'))
  await check('GET', '/readyz', s.get('/readyz'))

  const stream = await s.stream('', alice)
  t.equal(stream.status, 200)
  seen.add('GET /events 200')
  for (const [path, operations] of Object.entries(document.paths as Json)) {
    for (const [method, { responses }] of Object.entries(operations as Json) as Json) {
      const success = Object.keys(responses).find((status) => status.startsWith('2'))
      const name = `${method.toUpperCase()} ${path} ${success}`
      t.ok(seen.has(name), `${name} was tried`)
    }
  }
})

t.test('messages of a stream are what the document says', async (t) => {
  const s = await serve(t)
  const [alice, bob] = (await s.roomOf('alice', 'bob')) as [Peer, Peer]
  await s.post('/messages', alice, { to: 'bob', type: 'x', payload: { a: 1 } })
  await s.post('/rooms/guest-room/leave', alice)
  const stream = await s.stream('', bob)
  await stream.next('heartbeat')
  const message = components.get('Message') as TSchema
  t.equal(stream.of('message').length, 2)
  for (const { data } of stream.of('message')) {
    t.same(compileCheck(message)(data), [])
    t.same(unnamed(message, data), [])
  }
})

t.test('every route says who may use it', async (t) => {
  const { app } = await buildServer({ ...readConfig([], {}), logLevel: 'silent' })
  t.teardown(() => app.close())
  const { paths } = JSON.parse((await app.inject('/openapi.json')).payload)
  for (const [path, operations] of Object.entries(paths) as Json) {
    for (const [method, { security }] of Object.entries(operations) as Json) {
      const isOpen = ['/sessions', '/healthz', '/readyz'].includes(path)
      t.equal(security.length === 0, isOpen, `${method} ${path}`)
      const url = path.replace('{room}', 'r').replace('{peer}', 'p')
      if (isOpen) continue
      const { statusCode } = await app.inject({ method: method.toUpperCase(), url })
      t.equal(statusCode, 401, `${method} ${path} without a token`)
    }
  }
})

const readable = (who: Peer): [path: string, who?: Peer][] => [
  ['/session', who],
  ['/messages?wait=0', who],
  ['/rooms/guest-room', who],
  ['/healthz'],
  ['/readyz'],
  ['/openapi.yaml'],
  ['/openapi.json'],
  ['/openapi-3.1.json'],
  ['/problems'],
  ['/docs/'],
  ['/demo/'],
]

t.test('HEAD follows GET', async (t) => {
  const s = await serve(t)
  const [alice] = (await s.roomOf('alice', 'bob')) as [Peer]
  for (const [path, who] of readable(alice)) {
    const get = await s.get(path, who)
    const head = await s.request(path, { method: 'HEAD', who })
    t.equal(get.status, 200, `GET ${path}`)
    t.equal(head.status, 200, `HEAD ${path}`)
    t.equal(head.text, '')
    t.equal(head.headers.get('content-type'), get.headers.get('content-type'))
    t.equal(head.headers.get('posthorn'), '1')
  }
  const refused = await s.request('/session', { method: 'HEAD' })
  t.equal(refused.status, 401)
  const events = await s.request('/events', { method: 'HEAD', who: alice })
  t.same([events.status, events.headers.get('allow')], [405, 'GET, OPTIONS'], 'except on streams')
})

t.test('OPTIONS is answered everywhere', async (t) => {
  const s = await serve(t)
  const { body } = await s.get('/openapi.json')
  const paths = Object.keys(body.paths).map((path) => path.replace(/\{\w+\}/, 'x'))
  for (const path of [...paths, '/metrics', '/problems', '/docs/', '/demo/']) {
    const { status, text, headers } = await s.request(path, { method: 'OPTIONS' })
    t.equal(status, 204, path)
    t.equal(text, '')
    t.equal(headers.get('posthorn'), '1')
  }
})

t.test('under a base path', async (t) => {
  const s = await serve(t, { basePath: '/a/b' })
  const [alice] = (await s.roomOf('alice', 'bob')) as [Peer]
  for (const [path, who] of readable(alice)) {
    t.equal((await s.get(path, who)).status, 200, path)
  }
  const stream = await s.stream('', alice)
  await stream.next('hello')
  const { body } = await s.get('/openapi.json')
  t.same(
    body.servers.map(({ url }: Json) => url),
    ['/a/b'],
  )
  for (const path of ['/healthz', '/session', '/a/healthz', '/a/b', '/a/bhealthz', '/b/healthz']) {
    const response = await fetch(`${s.origin}${path}`)
    t.same([response.status, response.headers.get('posthorn')], [404, '1'], path)
    t.equal(((await response.json()) as Json).code, 'not-found')
  }
  const demo = await s.request('/demo')
  t.same([demo.status, demo.headers.get('location')], [308, '/a/b/demo/'])
  const docs = await s.get('/docs/')
  t.notMatch(docs.text, /(src|href)="\/docs/, 'the pages load nothing from elsewhere')
})

t.test('headers of all answers', async (t) => {
  const s = await serve(t)
  const [alice] = (await s.roomOf('alice', 'bob')) as [Peer]
  for (const [path, who] of readable(alice)) {
    const { headers } = await s.get(path, who)
    t.equal(headers.get('server'), null, `${path} names no software`)
    t.equal(headers.get('x-powered-by'), null)
    t.equal(headers.get('set-cookie'), null, 'and sets no cookie')
    t.ok(headers.get('content-length'), 'and is complete')
    if (/html/.test(headers.get('content-type') ?? '')) {
      t.match(headers.get('content-security-policy'), /default-src/, `${path} has a policy`)
      t.match(headers.get('content-security-policy'), /frame-ancestors 'none'/)
    }
  }
  for (const path of ['/session', '/messages?wait=0', '/rooms/guest-room', '/peers/bob']) {
    const { headers } = await s.get(path, alice)
    t.equal(headers.get('cache-control'), 'no-store', `${path} is of the moment`)
    t.equal(headers.get('x-content-type-options'), 'nosniff')
    t.equal(headers.get('referrer-policy'), 'no-referrer')
  }
  const keepAlive = await s.raw('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  t.match(
    keepAlive.answers[0]?.headers.get('keep-alive'),
    /timeout=7\d/,
    'over the 60 s of balancers',
  )
})
