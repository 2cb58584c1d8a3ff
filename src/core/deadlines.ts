// Things that fall due, in buckets of one second: adding costs O(1), taking costs what is due. An
// entry is a hint ("look at this at about that time"): whoever takes it checks the truth and adds
// it again if its time was moved, so that a lease renewed a thousand times is still one entry.

const BUCKET_MS = 1000

export class Deadlines<T> {
  #buckets = new Map<number, Set<T>>()
  #next = Number.POSITIVE_INFINITY

  /** @param at ms; the entry is due from the end of that second on. */
  add(item: T, at: number): void {
    const bucket = Math.floor(at / BUCKET_MS) + 1
    let items = this.#buckets.get(bucket)
    if (!items) {
      items = new Set()
      this.#buckets.set(bucket, items)
      if (bucket < this.#next) this.#next = bucket
    }
    items.add(item)
  }

  /** Removes and returns what is due at `now`. */
  take(now: number): T[] {
    const current = Math.floor(now / BUCKET_MS)
    if (current < this.#next) return []
    const due: T[] = []
    this.#next = Number.POSITIVE_INFINITY
    for (const [bucket, items] of this.#buckets) {
      if (bucket <= current) {
        // One by one: arguments of a call are limited by the stack, a crowd is not.
        for (const item of items) due.push(item)
        this.#buckets.delete(bucket)
      } else if (bucket < this.#next) this.#next = bucket
    }
    return due
  }
}
