// From claims to an identity (protocol section 2; RFC 7519, RFC 8725), as tables: what is not
// exactly right is refused, with the code that tells a client whether a fresh token would help.
// Signatures are checked before and are not looked at here.
import t from 'tap'
import { type ClaimRules, identityFrom } from '../../src/auth/claims.ts'
import { ProblemError } from '../../src/core/errors.ts'
import { NOON } from '../helpers/clock.ts'

const SECOND = 1000
const DAY_S = 24 * 3600
const NOW_S = NOON / SECOND

const RULES: ClaimRules = {
  guestNamesReserved: true,
  graceMs: 0,
  without: { rooms: ['*'], create: true },
  guest: false,
  hash: 'hash-of-the-token',
}

type Claims = Record<string, unknown>

const good: Claims = { sub: 'alice', exp: NOW_S + 60 }

const identify = (claims: Claims, rules: Partial<ClaimRules> = {}) =>
  identityFrom({ ...good, ...claims }, { ...RULES, ...rules }, NOON)

/** The code of the problem; '' when the claims are taken. */
function codeOf(claims: Claims, rules: Partial<ClaimRules> = {}): string {
  try {
    identify(claims, rules)
    return ''
  } catch (error) {
    if (error instanceof ProblemError) return error.code
    throw error
  }
}

const show = (value: unknown) => JSON.stringify(value)?.slice(0, 70) ?? String(value)

t.test('the smallest token', async (t) => {
  t.same(identify({}), {
    peer: 'alice',
    tokenId: 'hash-of-the-token',
    expiresAt: NOON + 60 * SECOND,
    guest: false,
    rooms: ['*'],
    create: true,
    direct: [],
  })
})

t.test('sub and the peer', async (t) => {
  for (const sub of ['alice', 'alice:phone', '_a', 'A.b~c-9', 'x'.repeat(64)]) {
    t.equal(identify({ sub }).peer, sub)
  }
  for (const sub of [
    undefined,
    null,
    7,
    '',
    '@server',
    'a b',
    '-a',
    'a:',
    'a:b:c',
    'x'.repeat(65),
    'a\n',
    'ä',
  ]) {
    t.equal(codeOf({ sub }), 'token-invalid', `sub ${show(sub)}`)
  }
  t.equal(identify({ posthorn: { peer: 'bob:desk' } }).peer, 'bob:desk', 'posthorn.peer wins')
  t.equal(identify({ sub: 'auth0|17', posthorn: { peer: 'bob' } }).peer, 'bob', 'over any sub')
  t.equal(codeOf({ sub: 'auth0|17' }), 'token-invalid', 'a sub that is no address')
  for (const peer of ['', '@server', 'a b', 7, null]) {
    t.equal(codeOf({ posthorn: { peer } }), 'token-invalid', `posthorn.peer ${show(peer)}`)
  }
})

t.test('guests and their names', async (t) => {
  t.equal(codeOf({ sub: 'guest-1' }), 'token-invalid', 'no other token has such a name')
  t.equal(codeOf({ sub: 'guest-1:phone' }), 'token-invalid', 'nor a device of it')
  t.equal(codeOf({ posthorn: { peer: 'guest-1' } }), 'token-invalid')
  t.equal(codeOf({ sub: 'guest-1' }, { guest: true }), '')
  t.equal(codeOf({ sub: 'guest-1' }, { guestNamesReserved: false }), '')
  t.equal(codeOf({ sub: 'guests' }), '', 'another name')

  const posthorn = { peer: 'guest-1', holder: 'h', startedAt: NOON, info: { a: 1 } }
  t.match(identify({ posthorn }, { guest: true }), { holder: 'h', startedAt: NOON, info: { a: 1 } })
  const forged = identify({ posthorn: { ...posthorn, peer: 'bob' } })
  t.equal(forged.holder, undefined, 'only guests have a holder')
  t.equal(forged.startedAt, undefined)
})

t.test('exp', async (t) => {
  const table: [exp: unknown, code: string][] = [
    [undefined, 'token-invalid'],
    [null, 'token-invalid'],
    [String(NOW_S + 60), 'token-invalid'],
    [Number.NaN, 'token-invalid'],
    [Number.POSITIVE_INFINITY, 'token-invalid'],
    [NOW_S - 6, 'token-expired'],
    [NOW_S - 5, 'token-expired'],
    [NOW_S - 4.999, ''],
    [NOW_S, ''],
    [0, 'token-expired'],
    [-1, 'token-expired'],
    [NOW_S + 1, ''],
    [NOW_S + 0.5, ''],
    [NOW_S + 31 * DAY_S, ''],
    [NOW_S + 31 * DAY_S + 5, ''],
    [NOW_S + 31 * DAY_S + 6, 'token-invalid'],
  ]
  for (const [exp, code] of table) t.equal(codeOf({ exp }), code, `exp ${show(exp)}`)
  const graceMs = 60 * SECOND
  t.equal(codeOf({ exp: NOW_S - 59 }, { graceMs }), '', 'within the grace')
  t.equal(codeOf({ exp: NOW_S - 60 }, { graceMs }), 'token-expired', 'behind it')
})

t.test('iat and nbf', async (t) => {
  for (const name of ['iat', 'nbf']) {
    const table: [value: unknown, code: string][] = [
      [NOW_S - DAY_S, ''],
      [NOW_S, ''],
      [NOW_S + 5, ''],
      [NOW_S + 6, 'token-invalid'],
      ['1', 'token-invalid'],
      [null, 'token-invalid'],
      [Number.NaN, 'token-invalid'],
    ]
    for (const [value, code] of table) {
      t.equal(codeOf({ [name]: value }), code, `${name} ${show(value)}`)
    }
  }
})

t.test('iss and aud', async (t) => {
  t.equal(codeOf({ iss: 'x', aud: 'y' }), '', 'count for nothing where none is configured')
  t.equal(codeOf({ iss: 'me' }, { issuer: 'me' }), '')
  for (const iss of [undefined, 'you', 'me ', ['me'], null]) {
    t.equal(codeOf({ iss }, { issuer: 'me' }), 'token-invalid', `iss ${show(iss)}`)
  }
  for (const aud of ['me', ['me'], ['you', 'me']]) {
    t.equal(codeOf({ aud }, { audience: 'me' }), '', `aud ${show(aud)}`)
  }
  for (const aud of [undefined, 'you', [], ['you'], [['me']], null, { me: 1 }]) {
    t.equal(codeOf({ aud }, { audience: 'me' }), 'token-invalid', `aud ${show(aud)}`)
  }
})

t.test('jti', async (t) => {
  t.equal(identify({ jti: 'a' }).tokenId, 'jti  a')
  t.equal(identify({ jti: 'a', iss: 'me' }).tokenId, 'jti me a', 'of its issuer')
  t.not(identify({ jti: 'a', iss: 'me' }).tokenId, identify({ jti: 'a', iss: 'you' }).tokenId)
  for (const jti of [7, null, {}]) t.equal(codeOf({ jti }), 'token-invalid', `jti ${show(jti)}`)
})

t.test('the claim posthorn', async (t) => {
  t.test('gives what it names and nothing else', async (t) => {
    const none = { rooms: [], create: false, direct: [] }
    t.match(identify({ posthorn: {} }), none, 'left out is none')
    t.match(identify({ posthorn: { rooms: ['a', 'b*'] } }), { ...none, rooms: ['a', 'b*'] })
    t.match(identify({ posthorn: { create: true } }), { ...none, create: true })
    t.match(identify({ posthorn: { direct: ['*'] } }), { ...none, direct: ['*'] })
    t.match(identify({ posthorn: { admin: true } }), none, 'unknown members count for nothing')
  })

  t.test('is given by the rules where it is missing', async (t) => {
    const without = { rooms: [], create: false }
    t.match(identify({}, { without }), { rooms: [], create: false, direct: [] })
  })

  t.test('is refused where it is not right', async (t) => {
    const wrong: unknown[] = [
      null,
      'x',
      7,
      [],
      { rooms: 'a' },
      { rooms: null },
      { rooms: [7] },
      { rooms: [''] },
      { rooms: ['a*b'] },
      { create: 'true' },
      { create: 1 },
      { create: null },
      { direct: '*' },
      { direct: null },
      { direct: ['**'] },
      { rooms: Array(65).fill('a') },
      { direct: Array(65).fill('a') },
    ]
    for (const posthorn of wrong) t.equal(codeOf({ posthorn }), 'token-invalid', show(posthorn))
    const most = { rooms: Array(64).fill('a'), direct: Array(64).fill('b*') }
    t.equal(codeOf({ posthorn: most }), '', '64 entries each')
  })

  t.test('takes nothing from a prototype', async (t) => {
    const posthorn = JSON.parse('{"__proto__":{"create":true,"direct":["*"],"rooms":["*"]}}')
    t.match(identify({ posthorn }), { rooms: [], create: false, direct: [] })
  })
})
