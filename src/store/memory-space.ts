// How many bytes the memory store holds, by estimate, and the bound on them. Everything that is kept
// is counted when it comes and when it goes; when something new does not fit, the owner is asked to
// drop what may go.
import { ProblemError } from '../core/errors.ts'

export class Space {
  used = 0
  readonly #max: number
  readonly #dropSome: () => boolean

  /** @param dropSome drops something that may go; false when there is nothing */
  constructor(max: number, dropSome: () => boolean) {
    this.#max = max
    this.#dropSome = dropSome
  }

  /** Makes space. @returns false when there is none to be made */
  makeFor(bytes: number): boolean {
    while (this.used + bytes > this.#max) if (!this.#dropSome()) return false
    return true
  }

  /** Counts what comes, after making space for it. @throws ProblemError store-full */
  take(bytes: number): void {
    if (!this.makeFor(bytes)) {
      throw new ProblemError('store-full', { detail: 'The store holds as much as it may.' })
    }
    this.used += bytes
  }

  give(bytes: number): void {
    this.used -= bytes
  }
}
