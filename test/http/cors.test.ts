// CORS (protocol section 9, Fetch standard): any origin by default, because nothing is granted by
// where a request comes from; a list where one is configured. Refusals and streams have the headers
// too, else a page could not read them; what is for operators has none.
import t from 'tap'
import { type Answer, serve } from '../helpers/server.ts'

const ORIGIN = 'https://app.example'

const allowed = ({ headers }: Pick<Answer, 'headers'>) => headers.get('access-control-allow-origin')

const preflight = (headers: Record<string, string> = {}) => ({
  method: 'OPTIONS',
  headers: { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST', ...headers },
})

t.test('any origin', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  const from = (origin: string) => ({ headers: { Origin: origin }, who: alice })
  for (const origin of [ORIGIN, 'null', 'http://localhost:3000', 'capacitor://localhost']) {
    const answer = await s.request('/session', from(origin))
    t.equal(allowed(answer), '*', origin)
    t.equal(answer.headers.get('access-control-allow-credentials'), null, 'without credentials')
  }
  t.equal(allowed(await s.get('/session', alice)), '*', 'also where none is named')
  const exposed = (await s.request('/session', from(ORIGIN))).headers
    .get('access-control-expose-headers')
    ?.toLowerCase()
    .split(/, */)
  for (const name of [
    'posthorn',
    'idempotent-replayed',
    'preference-applied',
    'retry-after',
    'ratelimit',
    'ratelimit-policy',
    'allow',
    'www-authenticate',
  ]) {
    t.ok(exposed?.includes(name), `${name} is exposed`)
  }
})

t.test('refusals can be read', async (t) => {
  const s = await serve(t)
  const alice = await s.guest('alice')
  const headers = { Origin: ORIGIN, 'Content-Type': 'application/json' }
  const post = (body: string, extra = {}) => ({
    method: 'POST',
    who: alice,
    headers: { ...headers, ...extra },
    body,
  })
  const refusals: [status: number, path: string, init: RequestInit][] = [
    [404, '/nowhere', { headers }],
    [405, '/events', post('{}')],
    [401, '/session', { headers }],
    [403, '/session?ticket=unknown', { headers }],
    [400, '/messages', post('{')],
    [400, '/messages', post('{}')],
    [404, '/messages', post('{"to":"bob","type":"x"}')],
    [413, '/messages', post('x'.repeat(300_000))],
    [415, '/messages', post('{}', { 'Content-Type': 'application/xml' })],
    [415, '/messages', post('{}', { 'Content-Encoding': 'gzip' })],
    [409, '/sessions', { ...post('{"peer":"alice"}'), who: undefined } as RequestInit],
    [401, '/events', { headers }],
    [400, '/events?since=x', { headers, who: alice } as RequestInit],
  ]
  for (const [status, path, init] of refusals) {
    const answer = await s.request(path, init)
    t.same([answer.status, allowed(answer)], [status, '*'], `${status} ${path}`)
    t.match(answer.headers.get('access-control-expose-headers'), /Posthorn/)
  }
})

t.test('a stream can be read', async (t) => {
  const s = await serve(t)
  const { ticket } = await s.guest('alice')
  const stream = await s.stream(`?ticket=${ticket}`, undefined, { Origin: ORIGIN })
  t.equal(allowed(stream), '*')
  t.match(stream.headers.get('access-control-expose-headers'), /Posthorn/)
})

t.test('a preflight', async (t) => {
  const s = await serve(t)
  for (const path of ['/messages', '/sessions', '/events', '/rooms/r/join', '/session/end']) {
    const answer = await s.request(path, preflight())
    t.equal(answer.status, 204, path)
    t.equal(answer.text, '')
    t.equal(answer.headers.get('posthorn'), '1')
    t.equal(allowed(answer), '*')
    t.equal(answer.headers.get('access-control-max-age'), '7200')
    t.match(answer.headers.get('access-control-allow-methods'), /GET.*POST/)
  }
  const asked = 'authorization, content-type, idempotency-key, last-event-id, prefer'
  const answer = await s.request(
    '/messages',
    preflight({ 'Access-Control-Request-Headers': asked }),
  )
  const names = answer.headers.get('access-control-allow-headers')?.toLowerCase().split(/, */)
  for (const name of asked.split(', ')) t.ok(names?.includes(name), name)
  const plain = await s.request('/messages', { method: 'OPTIONS' })
  t.equal(plain.status, 204, 'OPTIONS is answered without being one')
})

t.test('a list of origins', async (t) => {
  const origins = [ORIGIN, 'http://localhost:3000']
  const s = await serve(t, { corsOrigins: origins })
  const { token, ticket } = await s.guest('alice')
  for (const origin of origins) {
    const answer = await s.request('/session', { who: token, headers: { Origin: origin } })
    t.equal(allowed(answer), origin)
    t.match(answer.headers.get('vary'), /\borigin\b/i)
    const asked = await s.request('/messages', preflight({ Origin: origin }))
    t.equal(allowed(asked), origin)
    const stream = await s.stream(`?ticket=${ticket}`, undefined, { Origin: origin })
    t.equal(allowed(stream), origin, 'on a stream')
    t.match(stream.headers.get('vary'), /\borigin\b/i)
    const refused = await s.request('/nowhere', { headers: { Origin: origin } })
    t.equal(allowed(refused), origin, 'on a refusal')
  }
  for (const origin of [
    'null',
    'https://app.example.evil.example',
    'https://evil-app.example',
    'https://sub.app.example',
    'https://app.example:8443',
    'https://app.example:443',
    'http://app.example',
    'https://APP.example',
    'https://app.example/',
    'https://app.example.',
    'https://app.exampl',
    'https://app_example',
    'https://appxexample',
    'app.example',
    '//app.example',
    'https://app.example, https://evil.example',
    'https://app.example https://evil.example',
    'https://user@app.example',
    'http://localhost',
    'http://localhost:30000',
    'http://127.0.0.1:3000',
    'file://',
    '*',
    '%00',
    'undefined',
  ]) {
    const answer = await s.request('/session', { who: token, headers: { Origin: origin } })
    t.equal(allowed(answer), null, origin)
    t.equal(answer.status, 200, 'the browser decides, not the server')
    t.match(answer.headers.get('vary'), /\borigin\b/i, 'caches are told')
    t.equal(allowed(await s.request('/messages', preflight({ Origin: origin }))), null)
  }
})

t.test('what is for operators has no CORS headers', async (t) => {
  const s = await serve(t)
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const answer = await s.request(path, { method, headers: { Origin: ORIGIN } })
      t.equal(allowed(answer), null, `${method} ${path}`)
    }
    t.equal(allowed(await s.request(path, preflight())), null)
  }
  for (const path of ['/openapi.yaml', '/openapi.json', '/openapi-3.1.json']) {
    const answer = await s.request(path, { headers: { Origin: ORIGIN } })
    t.equal(allowed(answer), '*', path)
  }
})
