// Who is polite toward whom (protocol section 5; perfect negotiation, W3C WebRTC 10.7): exactly one
// side of each pair, and the newcomer toward everybody who is there. What decides is the order of
// joining, never the clock.
import * as fc from 'fast-check'
import t from 'tap'
import { isPolite, type RoomMember } from '../../src/core/room.ts'
import { NOON } from '../helpers/clock.ts'
import { holds } from '../helpers/properties.ts'

const member = (peer: string, order: number): RoomMember => ({
  peer,
  info: undefined,
  joinedAt: NOON,
  order,
})

t.test('the newcomer is polite toward all', async (t) => {
  const [first, second, newcomer] = [member('a', 1), member('b', 2), member('c', 3)]
  t.same([isPolite(newcomer, first), isPolite(newcomer, second)], [true, true])
  t.same([isPolite(first, newcomer), isPolite(second, newcomer)], [false, false])
})

t.test('the time of joining does not decide', async (t) => {
  const early = { ...member('a', 7), joinedAt: NOON - 1000 }
  t.equal(
    isPolite(early, member('b', 6)),
    true,
    'two joined within a millisecond, or a clock went back',
  )
})

t.test('exactly one side of each pair is polite', async (t) => {
  const orders = fc.uniqueArray(fc.nat(1000), { minLength: 2, maxLength: 12 })
  const property = fc.property(orders, (all) => {
    const members = all.map((order) => member(`p${order}`, order))
    return members.every((a) => members.every((b) => a === b || isPolite(a, b) !== isPolite(b, a)))
  })
  await holds(t, property, { runs: 300, what: 'the two are told opposite values' })
})
