// Properties as one assertion each: the message says how many runs there were; a failure shows
// fast-check's report, with the seed and the path that lead to the same counterexample again, and
// what was thrown there.
import * as fc from 'fast-check'
import type { Test } from 'tap'

type Property = fc.IProperty<unknown> | fc.IAsyncProperty<unknown>

/** Passes when no counterexample is found. */
export async function holds(
  t: Test,
  property: Property,
  { runs, what }: { runs: number; what: string },
): Promise<void> {
  const details = await fc.check(property as fc.IAsyncProperty<unknown>, { numRuns: runs })
  const report = (await fc.asyncDefaultReportMessage(details)) ?? ''
  const error = details.errorInstance instanceof Error ? `\n${details.errorInstance.message}` : ''
  t.equal(report + error, '', `${what} (${runs} runs)`)
}

/** Passes when a counterexample is found: the test can see what it looks for. */
export async function isRefuted(
  t: Test,
  property: Property,
  { runs, what }: { runs: number; what: string },
): Promise<void> {
  const { failed, numRuns } = await fc.check(property as fc.IAsyncProperty<unknown>, {
    numRuns: runs,
    endOnFailure: true,
  })
  t.ok(failed, `${what} (found within ${numRuns} runs)`)
}
