// Tokens that are forged or broken are refused, each with its code, and the good ones beside them are
// taken (protocol section 2; RFC 8725; trust A1 to A3). Every part of a token is made by hand here, so
// that it can be wrong in exactly one way. Nothing in a token makes the server fetch anything.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import t from 'tap'
import { NOON } from '../helpers/clock.ts'
import {
  answerer,
  forge,
  isProblem,
  type JwksAlgorithm,
  keySet,
  SECRET,
  serve,
  withKey,
  withSecret,
} from '../helpers/server.ts'

const NOW = NOON / 1000
const DAY = 86_400
const CLAIMS = { sub: 'alice', exp: NOW + 600 }
const HEADER = { alg: 'HS256', typ: 'JWT' }
const ISSUER = 'https://id.example/'
const AUDIENCE = 'posthorn'

type Forged = [name: string, token: string, code?: string]

const good = (claims: object | string = CLAIMS, header: object | string = HEADER) =>
  forge(header, claims, withSecret(SECRET))
const withClaims = (claims: object) => good({ ...CLAIMS, ...claims })
const posthorn = (claim: unknown) => withClaims({ posthorn: claim })
const unsigned = () => Buffer.alloc(0)

/** Each of the tokens is refused, as Bearer and in a body. */
async function areRefused(
  t: Parameters<typeof serve>[0],
  s: Awaited<ReturnType<typeof serve>>,
  tokens: Forged[],
) {
  for (const [name, token, code = 'token-invalid'] of tokens) {
    isProblem(t, await s.postText('/session/heartbeat', token), 401, code, name)
    // What is no single word is no Bearer token, and no other scheme is looked at.
    const asBearer = /^[!-~]+$/.test(token) ? code : 'token-missing'
    if (/^[ -~]+$/.test(token) && token.trim() === token) {
      isProblem(t, await s.get('/session', token), 401, asBearer, `${name}, as Bearer`)
    }
  }
}

t.test('with the secret', async (t) => {
  const s = await serve(t, { secret: SECRET })
  const token = good()
  const [head = '', body = '', signature = ''] = token.split('.')
  const encode = (text: string | Buffer) => Buffer.from(text).toString('base64url')
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })

  t.test('algorithms', async (t) => {
    const none: Forged[] = ['none', 'None', 'NONE', 'nOnE', '', ' none'].flatMap((alg) => [
      [`alg "${alg}" without a signature`, forge({ alg }, CLAIMS, unsigned)],
      [`alg "${alg}" with the right HMAC`, forge({ alg }, CLAIMS, withSecret(SECRET))],
    ])
    await areRefused(t, s, [
      ...none,
      ['no alg', good(CLAIMS, { typ: 'JWT' })],
      ['alg null', good(CLAIMS, { alg: null })],
      ['alg is a list', good(CLAIMS, { alg: ['HS256'] })],
      ['alg in lower case', good(CLAIMS, { alg: 'hs256' })],
      ['alg said twice', good(CLAIMS, '{"alg":"HS256","alg":"none"}')],
      ['HS384', forge({ alg: 'HS384' }, CLAIMS, withSecret(SECRET, 'sha384'))],
      ['HS512', forge({ alg: 'HS512' }, CLAIMS, withSecret(SECRET, 'sha512'))],
      [
        'RS256 by a key of its own',
        forge({ alg: 'RS256' }, CLAIMS, withKey(rsa.privateKey, 'sha256')),
      ],
      [
        'ES256 by a key of its own',
        forge({ alg: 'ES256' }, CLAIMS, withKey(ec.privateKey, 'sha256')),
      ],
    ])
  })

  t.test('signatures', async (t) => {
    const other = withClaims({ sub: 'bob' })
    await areRefused(t, s, [
      ['another secret', forge(HEADER, CLAIMS, withSecret(`${SECRET}x`))],
      ['an empty secret', forge(HEADER, CLAIMS, withSecret(''))],
      ['the secret decoded', forge(HEADER, CLAIMS, withSecret(Buffer.from(SECRET, 'base64url')))],
      ['the secret with a line end', forge(HEADER, CLAIMS, withSecret(`${SECRET}\n`))],
      ['no signature', `${head}.${body}.`],
      ['a signature that lacks its last byte', `${head}.${body}.${signature.slice(0, -2)}`],
      ['half a signature', `${head}.${body}.${signature.slice(0, 21)}`],
      ['one character', `${head}.${body}.A`],
      ['a signature and more', `${head}.${body}.${signature}AAAA`],
      ['the signature of another', `${head}.${body}.${other.split('.')[2]}`],
      ['zeros', `${head}.${body}.${encode(Buffer.alloc(32))}`],
      [
        'changed claims',
        `${head}.${encode(JSON.stringify({ ...CLAIMS, sub: 'bob' }))}.${signature}`,
      ],
      ['a changed header', `${encode('{"alg":"HS256"}')}.${body}.${signature}`],
    ])
  })

  t.test('form', async (t) => {
    const tokens: Forged[] = [
      ['a word', 'token'],
      ['two dots', '..'],
      ['two parts', `${head}.${body}`],
      ['one part', head],
      ['four parts', `${token}.AAAA`],
      ['a dot behind', `${token}.`],
      ['a dot before', `.${token}`],
      ['no header', `.${body}.${signature}`],
      ['no claims', `${head}..${signature}`],
      ['five parts (JWE)', `${encode('{"alg":"dir","enc":"A256GCM"}')}..AAAA.AAAA.AAAA`],
      ['JWE by the secret', `${encode('{"alg":"HS256","enc":"A256GCM"}')}..AAAA.AAAA.AAAA`],
      ['JSON serialization', JSON.stringify({ protected: head, payload: body, signature })],
      ['a space before', ` ${token}`],
      ['a space behind', `${token} `],
      ['a line end behind', `${token}\n`],
      ['a space within', token.replace('.', ' .')],
      ['a tab within', `${token.slice(0, 9)}\t${token.slice(9)}`],
      ['NUL behind', `${token}\0`],
      ['padding', `${token}=`],
      ['padding of each part', `${head}==.${body}==.${signature}=`],
      ['Bearer twice', `Bearer ${token}`],
      ['a comma', `${token},${token}`],
      ['quotes', `"${token}"`],
      ['base64 with + and /', plainAlphabet()],
      ['bits behind the end of the signature', spelledOtherwise(token)],
      ['a header that is no base64', `$$$.${body}.${signature}`],
      ['a header that is no JSON', good(CLAIMS, 'HS256')],
      ['a header that is a list', good(CLAIMS, '["HS256"]')],
      ['a header that is null', good(CLAIMS, 'null')],
      ['a header that is no UTF-8', rawParts(Buffer.from([0xff, 0xfe]), JSON.stringify(CLAIMS))],
      ['claims that are no JSON', good('sub=alice')],
      ['claims that are a list', good(JSON.stringify([CLAIMS]))],
      ['claims that are a text', good('"alice"')],
      ['claims that are null', good('null')],
      ['claims that are a number', good('5')],
      [
        'claims that are no UTF-8',
        rawParts(JSON.stringify(HEADER), Buffer.from('{"sub":"\xff"}', 'latin1')),
      ],
      ['claims that are deep', good(`{"a":${'['.repeat(1000)}${']'.repeat(1000)}}`)],
      ['too long', withClaims({ x: 'x'.repeat(4096) })],
    ]
    await areRefused(t, s, tokens)

    function rawParts(header: string | Buffer, claims: string | Buffer): string {
      const input = `${encode(header)}.${encode(claims)}`
      return `${input}.${encode(withSecret(SECRET)(input))}`
    }

    /** A good token whose signature needs `-` or `_`, in the alphabet of base64. */
    function plainAlphabet(): string {
      for (let n = 0; ; n++) {
        const tried = withClaims({ n })
        const [header, claims, signed = ''] = tried.split('.')
        if (!/[-_]/.test(signed)) continue
        return `${header}.${claims}.${signed.replaceAll('-', '+').replaceAll('_', '/')}`
      }
    }
  })

  t.test('headers', async (t) => {
    const canary = await answerer(t, () => ({ text: '{"keys":[]}' }))
    const own = ec.publicKey.export({ format: 'jwk' })
    const withHeader = (header: object) => good(CLAIMS, { ...HEADER, ...header })
    const byOwn = (header: object) =>
      forge({ alg: 'ES256', kid: 'own', ...header }, CLAIMS, withKey(ec.privateKey, 'sha256'))
    await areRefused(t, s, [
      ['crit', withHeader({ crit: ['exp'], exp: NOW + 600 })],
      ['an empty crit', withHeader({ crit: [] })],
      ['crit null', withHeader({ crit: null })],
      ['b64 false with crit', withHeader({ crit: ['b64'], b64: false })],
      ['b64 false', withHeader({ b64: false })],
      ['typ of another kind', withHeader({ typ: 'dpop+jwt' })],
      ['typ JWS', withHeader({ typ: 'JWS' })],
      ['typ JWE', withHeader({ typ: 'JWE' })],
      ['typ with a parameter', withHeader({ typ: 'JWT;x=y' })],
      ['typ with more', withHeader({ typ: 'at+jwt+x' })],
      ['typ secevent+jwt', withHeader({ typ: 'secevent+jwt' })],
      ['typ empty', withHeader({ typ: '' })],
      ['typ null', withHeader({ typ: null })],
      ['typ is a list', withHeader({ typ: ['JWT'] })],
      ['typ is a number', withHeader({ typ: 1 })],
      ['jwk', byOwn({ jwk: own })],
      ['jku', byOwn({ jku: canary.url })],
      ['x5u', byOwn({ x5u: canary.url })],
      ['x5c', byOwn({ x5c: [own['x']] })],
      [
        'kid that is a path',
        forge({ ...HEADER, kid: '../../../dev/null' }, CLAIMS, withSecret('')),
      ],
      ['kid that is a URL', byOwn({ kid: canary.url })],
      ['iss that is a URL', forge(HEADER, { ...CLAIMS, iss: canary.url }, withSecret('other'))],
    ])
    t.equal(canary.hits(), 0, 'nothing was fetched')
  })

  t.test('claims', async (t) => {
    const { sub: _, ...noSub } = CLAIMS
    const { exp: __, ...noExp } = CLAIMS
    await areRefused(t, s, [
      ['no claim at all', good({})],
      ['no sub', good(noSub)],
      ['no sub, but a peer', good({ ...noSub, posthorn: { peer: 'alice' } })],
      ['sub null', withClaims({ sub: null })],
      ['sub is a number', withClaims({ sub: 5 })],
      ['sub is no address', withClaims({ sub: 'alice@example.com' })],
      ['sub is empty', withClaims({ sub: '' })],
      ['sub is the server', withClaims({ sub: '@server' })],
      ['sub is too long', withClaims({ sub: 'a'.repeat(65) })],
      ['sub has a line end', withClaims({ sub: 'alice\n' })],
      ['sub in other letters', withClaims({ sub: '\u0430lice' })],
      ['sub of three parts', withClaims({ sub: 'a:b:c' })],
      ['sub of a guest', withClaims({ sub: 'guest-a' })],
      ["sub of a guest's device", withClaims({ sub: 'guest-a:phone' })],
      ['sub said twice, the last is none', good(`{"sub":"alice","sub":5,"exp":${NOW + 600}}`)],
      ['no exp', good(noExp)],
      ['exp null', withClaims({ exp: null })],
      ['exp is a text', withClaims({ exp: `${NOW + 600}` })],
      ['exp is a list', withClaims({ exp: [NOW + 600] })],
      ['exp has no end', good(`{"sub":"alice","exp":1e999}`)],
      ['exp in milliseconds', withClaims({ exp: (NOW + 600) * 1000 })],
      ['exp in 31 days and more', withClaims({ exp: NOW + 31 * DAY + 10 })],
      ['exp is over', withClaims({ exp: NOW - 10 }), 'token-expired'],
      ['exp is 0', withClaims({ exp: 0 }), 'token-expired'],
      ['exp is negative', withClaims({ exp: -NOW }), 'token-expired'],
      [
        'exp said twice, the last is over',
        good(`{"sub":"alice","exp":${NOW + 600},"exp":5}`),
        'token-expired',
      ],
      ['nbf ahead', withClaims({ nbf: NOW + 10 })],
      ['nbf null', withClaims({ nbf: null })],
      ['nbf is a text', withClaims({ nbf: '0' })],
      ['iat ahead', withClaims({ iat: NOW + 10 })],
      ['iat null', withClaims({ iat: null })],
      ['iat is a text', withClaims({ iat: `${NOW}` })],
      ['jti null', withClaims({ jti: null })],
      ['jti is a number', withClaims({ jti: 5 })],
    ])
  })

  t.test('the posthorn claim', async (t) => {
    const many = Array.from({ length: 65 }, (_, n) => `r${n}`)
    await areRefused(t, s, [
      ['null', posthorn(null)],
      ['a list', posthorn([])],
      ['a text', posthorn('alice')],
      ['true', posthorn(true)],
      ['peer null', posthorn({ peer: null })],
      ['peer is a number', posthorn({ peer: 5 })],
      ['peer is no address', posthorn({ peer: 'a b' })],
      ['peer is empty', posthorn({ peer: '' })],
      ['peer of a guest', posthorn({ peer: 'guest-a' })],
      ['rooms null', posthorn({ rooms: null })],
      ['rooms is a text', posthorn({ rooms: '*' })],
      ['rooms is an object', posthorn({ rooms: { 0: '*', length: 1 } })],
      ['rooms of numbers', posthorn({ rooms: [5] })],
      ['rooms with null', posthorn({ rooms: ['a', null] })],
      ['an empty room', posthorn({ rooms: [''] })],
      ['* in the middle', posthorn({ rooms: ['a*b'] })],
      ['* at the front', posthorn({ rooms: ['*a'] })],
      ['two *', posthorn({ rooms: ['a**'] })],
      ['65 rooms', posthorn({ rooms: many })],
      ['create null', posthorn({ create: null })],
      ['create is a text', posthorn({ create: 'true' })],
      ['create is a number', posthorn({ create: 1 })],
      ['direct null', posthorn({ direct: null })],
      ['direct is a text', posthorn({ direct: '*' })],
      ['* in the middle of direct', posthorn({ direct: ['a*b'] })],
      ['65 of direct', posthorn({ direct: many })],
    ])
  })

  t.test('what is good is taken', async (t) => {
    const tokens: [name: string, token: string][] = [
      ['the plain one', token],
      ['without typ', good(CLAIMS, { alg: 'HS256' })],
      ['typ jwt', good(CLAIMS, { alg: 'HS256', typ: 'jwt' })],
      ['typ at+JWT', good(CLAIMS, { alg: 'HS256', typ: 'at+JWT' })],
      ['a kid', good(CLAIMS, { ...HEADER, kid: 'key-1' })],
      ['exp in 31 days', withClaims({ exp: NOW + 31 * DAY })],
      ['exp just over (5 s of leeway)', withClaims({ exp: NOW - 4 })],
      ['exp with a fraction', withClaims({ exp: NOW + 1.5 })],
      ['nbf and iat within 5 s', withClaims({ nbf: NOW + 5, iat: NOW + 5 })],
      ['iat long ago', withClaims({ iat: 0, nbf: 0 })],
      ['iss and aud where none are set', withClaims({ iss: 'anybody', aud: ['any', 'thing'] })],
      ['iss null where none is set', withClaims({ iss: null, aud: null })],
      ['claims that are not known', withClaims({ scope: 'x', roles: [null], azp: {} })],
      ['a device', withClaims({ sub: 'alice:phone' })],
      ['sub is no address, but peer is', withClaims({ sub: 'a@b', posthorn: { peer: 'alice' } })],
      ['an empty claim', posthorn({})],
      [
        'a full claim',
        posthorn({ peer: 'x', rooms: ['a', 'b*', '*'], create: true, direct: ['c:*'] }),
      ],
      ['64 rooms', posthorn({ rooms: Array(64).fill('r*') })],
      ['members of the claim that are not known', posthorn({ guest: true, x: null })],
      ['spaces in its JSON', good(` { "sub" : "alice" , "exp" : ${NOW + 600} } `)],
    ]
    for (const [name, each] of tokens) {
      t.equal((await s.get('/session', each)).status, 200, name)
      t.equal((await s.postText('/session/heartbeat', each)).status, 200, `${name}, in the body`)
    }
  })
})

/** The same signature with other bits behind its end: decoders drop them. */
function spelledOtherwise(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(token.at(-1) as string)
  return token.slice(0, -1) + alphabet[last ^ 1]
}

t.test('tokens of guests', async (t) => {
  const s = await serve(t, { secret: SECRET, guests: true })
  const other = await serve(t, { secret: `${SECRET}-2`, guests: true })
  const { token } = await s.guest('guest-a')
  const [head = '', body = '', signature = ''] = token.split('.')
  const header = JSON.parse(Buffer.from(head, 'base64url').toString())
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString())
  t.match(header, { alg: 'HS256', kid: 'posthorn-guest' })
  const resigned = (secret: string, change: object = {}) =>
    forge(header, { ...claims, ...change }, withSecret(secret))
  const grants = { ...claims.posthorn, rooms: ['*'], direct: ['*'] }
  await areRefused(t, s, [
    ['signed with the secret of applications', resigned(SECRET)],
    ['with more rights', resigned(SECRET, { posthorn: grants })],
    ['signed with nothing', resigned('')],
    ['signed with its own holder', resigned(claims.posthorn.holder)],
    [
      'with its kid stripped',
      `${Buffer.from('{"alg":"HS256"}').toString('base64url')}.${body}.${signature}`,
    ],
    [
      'an application that says it is a guest',
      forge({ ...HEADER, kid: 'posthorn-guest' }, CLAIMS, withSecret(SECRET)),
    ],
    ['without its kid and with the secret', forge(HEADER, claims, withSecret(SECRET))],
    ['kid in a list', forge({ ...header, kid: ['posthorn-guest'] }, claims, withSecret(SECRET))],
    [
      'kid in another case',
      forge({ ...header, kid: 'Posthorn-Guest' }, claims, withSecret(SECRET)),
    ],
    [
      'changed claims',
      `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: 'guest-b' })).toString('base64url')}.${signature}`,
    ],
    ['of another server', (await other.guest('guest-a')).token],
    ['alg none', forge({ ...header, alg: 'none' }, claims, unsigned)],
    ['RS256 with the kid', forge({ ...header, alg: 'RS256' }, claims, unsigned)],
  ])
  t.equal((await s.get('/session', token)).status, 200, 'the real one is taken')
  const pretender = s.token({ ...CLAIMS, posthorn: { holder: 'x', startedAt: NOON, rooms: ['*'] } })
  t.equal((await s.get('/session', pretender)).status, 200)
  const refreshed = await s.post('/session/refresh', pretender)
  isProblem(t, refreshed, 403, 'not-allowed', "a guest's members make no guest")
})

t.test('without a secret the random one is nobody’s', async (t) => {
  const s = await serve(t)
  const { token } = await s.guest('alice')
  await areRefused(t, s, [
    ['an empty secret', forge(HEADER, CLAIMS, withSecret(''))],
    ['undefined', forge(HEADER, CLAIMS, withSecret('undefined'))],
    ['the secret of another', good()],
    ['alg none', forge({ alg: 'none' }, CLAIMS, unsigned)],
  ])
  t.equal((await s.get('/session', token)).status, 200)
})

t.test('with a key set', async (t) => {
  const set = await keySet(t)
  const config = { jwksUrl: set.url, issuer: ISSUER, audience: AUDIENCE }
  const claims = { ...CLAIMS, iss: ISSUER, aud: AUDIENCE }
  const only = await serve(t, { ...config, guests: false })
  const both = await serve(t, { ...config, secret: SECRET })
  const algorithms: JwksAlgorithm[] = ['EdDSA', 'ES256', 'RS256']

  for (const [name, s] of [
    ['only', only],
    ['beside a secret', both],
  ] as const) {
    t.test(`${name}: what is good is taken`, async (t) => {
      for (const alg of algorithms) {
        t.equal((await s.get('/session', set.sign(alg, claims))).status, 200, alg)
        const noKid = set.sign(alg, claims, { kid: undefined })
        t.equal(
          (await s.get('/session', noKid)).status,
          200,
          `${alg} without kid, where one key fits`,
        )
      }
      const list = set.sign('ES256', { ...claims, aud: ['other', AUDIENCE] })
      t.equal((await s.get('/session', list)).status, 200, 'aud may be a list')
      const { body } = await s.post('/rooms/r/join', set.sign('ES256', claims), { create: true })
      t.equal(body.code, 'room-not-found', 'without the claim it may join no room')
    })

    t.test(`${name}: the public keys are no secrets`, async (t) => {
      const tokens: Forged[] = []
      for (const alg of algorithms) {
        const key = set.keys[alg].publicKey
        const pem = key.export({ format: 'pem', type: 'spki' }).toString()
        const forms: [string, string | Buffer][] = [
          ['PEM', pem],
          ['PEM trimmed', pem.trim()],
          ['PEM and a line end', `${pem}\n`],
          ['PEM with CRLF', pem.replaceAll('\n', '\r\n')],
          ['PEM without its frame', pem.replace(/-----.*-----\n/g, '')],
          ['PEM on one line', pem.replaceAll('\n', '')],
          ['DER', key.export({ format: 'der', type: 'spki' })],
          ['JWK', JSON.stringify(key.export({ format: 'jwk' }))],
          ['key set', set.answer.text],
        ]
        for (const [form, secret] of forms) {
          for (const kid of [undefined, alg.toLowerCase()]) {
            const header = { ...HEADER, ...(kid && { kid }) }
            tokens.push([
              `HS256 over the ${form} of ${alg}`,
              forge(header, claims, withSecret(secret)),
            ])
          }
        }
      }
      await areRefused(t, s, tokens)
    })

    t.test(`${name}: keys and algorithms that do not belong together`, async (t) => {
      const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const ownRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const [header, body] = set.sign('ES256', claims).split('.')
      const input = `${header}.${body}`
      const der = withDer(set.keys.ES256.privateKey, input)
      const signed = (alg: string, kid: string | undefined, by: JwksAlgorithm) =>
        forge({ alg, kid }, claims, set.signer(by))
      await areRefused(t, s, [
        ['ES256 by RS256', signed('RS256', 'rs256', 'ES256')],
        ['RS256 by ES256', signed('ES256', 'es256', 'RS256')],
        ['EdDSA by ES256', signed('EdDSA', 'eddsa', 'ES256')],
        ['the kid of another key', signed('ES256', 'rs256', 'ES256')],
        ['an unknown kid', signed('ES256', 'unknown', 'ES256')],
        ['PS256', signed('PS256', 'rs256', 'RS256')],
        [
          'RS384',
          forge(
            { alg: 'RS384', kid: 'rs256' },
            claims,
            withKey(set.keys.RS256.privateKey, 'sha384'),
          ),
        ],
        [
          'RS512',
          forge(
            { alg: 'RS512', kid: 'rs256' },
            claims,
            withKey(set.keys.RS256.privateKey, 'sha512'),
          ),
        ],
        ['ES384', signed('ES384', 'es256', 'ES256')],
        ['ES256K', signed('ES256K', 'es256', 'ES256')],
        ['Ed448', signed('Ed448', 'eddsa', 'EdDSA')],
        ['alg none', forge({ alg: 'none', kid: 'es256' }, claims, unsigned)],
        [
          'another key under the kid',
          forge({ alg: 'ES256', kid: 'es256' }, claims, withKey(own.privateKey, 'sha256')),
        ],
        [
          'another RSA key',
          forge({ alg: 'RS256', kid: 'rs256' }, claims, withKey(ownRsa.privateKey, 'sha256')),
        ],
        ['r and s are zero', forge({ alg: 'ES256', kid: 'es256' }, claims, () => Buffer.alloc(64))],
        ['r and s in DER', `${input}.${der}`],
        ['an empty signature', forge({ alg: 'RS256', kid: 'rs256' }, claims, unsigned)],
        ['ones', forge({ alg: 'RS256', kid: 'rs256' }, claims, () => Buffer.alloc(256, 1))],
        ['a secret that is no one’s', forge(HEADER, claims, withSecret('x'.repeat(32)))],
      ])
    })

    t.test(`${name}: issuer and audience`, async (t) => {
      const parties = (change: object) => set.sign('EdDSA', { ...claims, ...change })
      const wrong: Forged[] = [
        ['no iss', parties({ iss: undefined })],
        ['another iss', parties({ iss: 'https://evil.example/' })],
        ['iss without its slash', parties({ iss: ISSUER.slice(0, -1) })],
        ['iss in another case', parties({ iss: ISSUER.toUpperCase() })],
        ['iss with more', parties({ iss: `${ISSUER}x` })],
        ['iss in a list', parties({ iss: [ISSUER] })],
        ['iss null', parties({ iss: null })],
        ['no aud', parties({ aud: undefined })],
        ['another aud', parties({ aud: 'other' })],
        ['aud in another case', parties({ aud: AUDIENCE.toUpperCase() })],
        ['an empty list', parties({ aud: [] })],
        ['a list without it', parties({ aud: ['other', `${AUDIENCE}x`] })],
        ['a list in a list', parties({ aud: [[AUDIENCE]] })],
        ['aud is an object', parties({ aud: { [AUDIENCE]: true } })],
        ['aud null', parties({ aud: null })],
        ['both wrong', parties({ iss: AUDIENCE, aud: ISSUER })],
      ]
      if (s === both) {
        wrong.push(['HS256 without them', good()])
        wrong.push(['HS256 with another aud', good({ ...claims, aud: 'other' })])
        t.equal((await s.get('/session', good(claims))).status, 200, 'HS256 with them is taken')
      } else wrong.push(['HS256 with them, but no secret', good(claims)])
      await areRefused(t, s, wrong)
    })
  }

  t.test('the names of guests are not for tokens of the key set', async (t) => {
    const guestly = set.sign('EdDSA', { ...claims, sub: 'guest-a' })
    isProblem(t, await only.get('/session', guestly), 401, 'token-invalid')
  })

  t.test('a token of ES256 that was ended has no twin', async (t) => {
    const token = set.sign('ES256', claims)
    const [header, body, signature = ''] = token.split('.')
    const bytes = Buffer.from(signature, 'base64url')
    const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
    const twin = order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    bytes.write(twin.toString(16).padStart(64, '0'), 32, 'hex')
    const other = `${header}.${body}.${bytes.toString('base64url')}`
    t.equal((await only.get('/session', other)).status, 200, 'both signatures are valid')
    t.equal((await only.post('/session/end', token)).status, 204)
    isProblem(t, await only.get('/session', token), 401, 'token-invalid')
    isProblem(t, await only.get('/session', other), 401, 'token-invalid', 'the twin')
  })
})

t.test('a key set that cannot be had', async (t) => {
  const claims = { ...CLAIMS, iss: ISSUER, aud: AUDIENCE }
  for (const [name, answer] of [
    ['500', { status: 500, text: '{}' }],
    ['404', { status: 404, text: 'not found' }],
    ['a redirect', { status: 302, text: '' }],
    ['no JSON', { text: '<html>' }],
    ['no key set', { text: '{"error":"down"}' }],
  ] as const) {
    const set = await keySet(t)
    Object.assign(set.answer, { status: 200 }, answer)
    const s = await serve(t, {
      jwksUrl: set.url,
      issuer: ISSUER,
      audience: AUDIENCE,
      secret: SECRET,
    })
    const refused = await s.get('/session', set.sign('EdDSA', claims))
    isProblem(t, refused, 503, 'store-unavailable', `${name}: the token may be good`)
    t.match(refused.headers.get('retry-after'), /^\d+$/)
    t.equal((await s.get('/session', good(claims))).status, 200, 'the secret still works')
    isProblem(
      t,
      await s.get('/session', forge({ alg: 'none' }, claims, unsigned)),
      401,
      'token-invalid',
    )
  }
  const gone = await keySet(t)
  await gone.close()
  const s = await serve(t, { jwksUrl: gone.url, issuer: ISSUER, audience: AUDIENCE })
  isProblem(
    t,
    await s.get('/session', gone.sign('EdDSA', claims)),
    503,
    'store-unavailable',
    'nobody there',
  )
})

t.test('the key set is asked for seldom', async (t) => {
  const set = await keySet(t)
  const s = await serve(t, { jwksUrl: set.url, issuer: ISSUER, audience: AUDIENCE })
  const claims = { ...CLAIMS, iss: ISSUER, aud: AUDIENCE }
  for (let n = 0; n < 20; n++) {
    await s.get('/session', set.sign('EdDSA', claims, { kid: `unknown-${n}` }))
    await s.get('/session', set.sign('EdDSA', { ...claims, n }))
  }
  t.ok(set.hits() <= 2, `${set.hits()} requests`)
})

/** A signature of ECDSA as OpenSSL writes it, which is not how JOSE does. */
const withDer = (key: KeyObject, input: string) =>
  sign('sha256', Buffer.from(input), { key, dsaEncoding: 'der' }).toString('base64url')
