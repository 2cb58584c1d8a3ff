// The contract of every store (src/store/store.ts), promise by promise. Call it with a way to make
// an empty store; it needs nothing else of it but the methods of the contract, and time is always
// an argument. Grouped as the contract is: peers, mailboxes, rooms, requests, tokens, the store
// itself; then steps that meet, and the model (contract/model.ts).
import type { Test } from 'tap'
import { testAtomicity } from './contract/atomicity.ts'
import type { Build } from './contract/bench.ts'
import { testMailboxes } from './contract/mailboxes.ts'
import { testModel } from './contract/model.ts'
import { testPeers } from './contract/peers.ts'
import { testRequests } from './contract/requests.ts'
import { testRooms } from './contract/rooms.ts'
import { testSweeps } from './contract/sweeps.ts'
import { testTokens } from './contract/tokens.ts'

export type { Build, StoreOptions } from './contract/bench.ts'

export async function testStore(t: Test, name: string, build: Build): Promise<void> {
  await t.test(name, async (t) => {
    await t.test('peers', async (t) => testPeers(t, build))
    await t.test('mailboxes', async (t) => testMailboxes(t, build))
    await t.test('rooms', async (t) => testRooms(t, build))
    await t.test('requests', async (t) => testRequests(t, build))
    await t.test('tokens, tickets and rates', async (t) => testTokens(t, build))
    await t.test('time', async (t) => testSweeps(t, build))
    await t.test('steps that meet', async (t) => testAtomicity(t, build))
    await t.test('the model of a mailbox', async (t) => testModel(t, build))
  })
}
