// The books on letters of the memory store: how many mailboxes keep each, and how many bytes each
// sender has unread altogether. Mailboxes report here what leaves them.
import type { Letter, MailboxObserver } from '../core/mailbox.ts'
import type { Address } from '../protocol/address.ts'
import { LIMITS } from '../protocol/limits.ts'
import type { Space } from './memory-space.ts'
import type { StoreEvent } from './store.ts'

const ENTRY_BYTES = 100
const LETTER_BYTES = 200

export class MemoryLetters implements MailboxObserver {
  /** Letters kept, counted once for each mailbox. */
  count = 0
  #keepers = new Map<Letter, number>()
  #unreadBytes = new Map<Address, number>()
  readonly #space: Space
  readonly #onLoss: (why: StoreEvent) => void

  /** @param onLoss an unread letter has gone by itself */
  constructor(space: Space, onLoss: (why: StoreEvent) => void) {
    this.#space = space
    this.#onLoss = onLoss
  }

  /**
   * Why no mailbox may keep the letter, by the limits over all of them.
   * @param more bytes that keeping it takes besides
   */
  refusal(letter: Letter, more: number): 'mailbox-full' | 'store-full' | undefined {
    // What uses the server's places is kept in every mailbox there is: its number is bounded there.
    if (letter.reserved) return more === 0 || this.#space.makeFor(more) ? undefined : 'store-full'
    const unread = this.#unreadBytes.get(letter.from) ?? 0
    if (unread + letter.bytes > LIMITS.senderTotalBytesMax) return 'mailbox-full'
    const bytes = ENTRY_BYTES + LETTER_BYTES + letter.bytes + more
    return this.#space.makeFor(bytes) ? undefined : 'store-full'
  }

  onKept(letter: Letter): void {
    const keepers = this.#keepers.get(letter) ?? 0
    this.#keepers.set(letter, keepers + 1)
    this.count += 1
    this.#space.give(-ENTRY_BYTES - (keepers === 0 ? LETTER_BYTES + letter.bytes : 0))
    this.#addUnread(letter.from, letter.bytes)
  }

  onRead(letter: Letter): void {
    this.#addUnread(letter.from, -letter.bytes)
  }

  onGone(letter: Letter, why: StoreEvent | 'forgotten', wasUnread: boolean): void {
    // A letter in a thousand mailboxes is one text: its bytes count once.
    const keepers = (this.#keepers.get(letter) ?? 1) - 1
    if (keepers > 0) this.#keepers.set(letter, keepers)
    else this.#keepers.delete(letter)
    this.count -= 1
    this.#space.give(ENTRY_BYTES + (keepers === 0 ? LETTER_BYTES + letter.bytes : 0))
    if (wasUnread && why !== 'forgotten') this.#onLoss(why)
  }

  #addUnread(sender: Address, bytes: number): void {
    const sum = (this.#unreadBytes.get(sender) ?? 0) + bytes
    if (sum > 0) this.#unreadBytes.set(sender, sum)
    else this.#unreadBytes.delete(sender)
  }
}
