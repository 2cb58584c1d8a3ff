// What a grant allows, as a table (protocol section 2): `exact` or `prefix*`, matched against the
// address without its device unless the grant holds a `:`. Nothing that is not listed is allowed,
// and what looks like a pattern is text.
import * as fc from 'fast-check'
import t from 'tap'
import { type Identity, isGrant, mayJoin, mayReachDirectly } from '../../src/core/grants.ts'
import { holds } from '../helpers/properties.ts'

const nobody: Identity = {
  peer: 'alice',
  guest: false,
  rooms: [],
  create: false,
  direct: [],
  expiresAt: Number.POSITIVE_INFINITY,
  tokenId: 'id',
}

const joins = (rooms: string[], room: string) => mayJoin({ ...nobody, rooms }, room)
const reaches = (direct: string[], to: string) => mayReachDirectly({ ...nobody, direct }, to)

t.test('a text is a grant or not', async (t) => {
  for (const text of ['*', 'bob', 'team-*', 'bob:phone', 'bob:*', 'x'.repeat(500)]) {
    t.equal(isGrant(text), true, text.slice(0, 20))
  }
  for (const text of ['', '**', '*a', 'a*b', 'a**', '*:phone', 7, null, undefined, ['a'], {}]) {
    t.equal(isGrant(text), false, JSON.stringify(text) ?? 'undefined')
  }
})

t.test('rooms', async (t) => {
  const table: [grants: string[], room: string, allowed: boolean][] = [
    [[], 'standup', false],
    [['standup'], 'standup', true],
    [['standup'], 'standup2', false],
    [['standup'], 'stand', false],
    [['standup'], 'Standup', false],
    [['team-*'], 'team-a', true],
    [['team-*'], 'team-', true],
    [['team-*'], 'team', false],
    [['team-*'], 'my-team-a', false],
    [['*'], 'anything', true],
    [['a', 'b'], 'b', true],
    [['a', 'b*'], 'c', false],
    // What looks like a pattern is text.
    [['a.b'], 'axb', false],
    [['team-.*'], 'team-a', false],
  ]
  for (const [grants, room, allowed] of table) {
    t.equal(joins(grants, room), allowed, `${grants} ${allowed ? 'allow' : 'refuse'} ${room}`)
  }
})

t.test('direct', async (t) => {
  const table: [grants: string[], to: string, allowed: boolean][] = [
    [[], 'bob', false],
    [['bob'], 'bob', true],
    [['bob'], 'bob:phone', true],
    [['bob'], 'bobby', false],
    [['bob'], 'bobby:phone', false],
    [['bob:phone'], 'bob:phone', true],
    [['bob:phone'], 'bob', false],
    [['bob:phone'], 'bob:tablet', false],
    [['bob:phone'], 'bob:phone2', false],
    [['bob:*'], 'bob:phone', true],
    [['bob:*'], 'bob', false],
    [['bob:*'], 'bobby:phone', false],
    [['bob:p*'], 'bob:phone', true],
    [['bob:p*'], 'bob:tablet', false],
    [['support-*'], 'support-7:desk', true],
    [['support-*'], 'sup', false],
    [['*'], 'bob', true],
    [['*'], 'bob:phone', true],
    [['carol', 'bob'], 'bob', true],
  ]
  for (const [grants, to, allowed] of table) {
    t.equal(reaches(grants, to), allowed, `${grants} ${allowed ? 'allow' : 'refuse'} ${to}`)
  }
})

t.test('a prefix allows what begins with it, nothing else', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '-', '.'), maxLength: 6 })
  const property = fc.property(
    text,
    text,
    (prefix, room) => joins([`${prefix}*`], room) === room.startsWith(prefix),
  )
  await holds(t, property, { runs: 1000, what: 'as startsWith' })
})
