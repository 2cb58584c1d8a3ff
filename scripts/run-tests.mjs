// Runs the test suite with tap and closes with the line `N passed, N failed`.
// (Not named test.mjs: tap would take it for a test and run itself for ever.)
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'

const OUTPUT = '.tap/results.tap'

mkdirSync('.tap', { recursive: true })
rmSync(OUTPUT, { force: true })
const bin = `${createRequire(import.meta.url)
  .resolve('tap')
  .replace(/dist[\\/].*$/, '')}dist/esm/run.mjs`
const tap = spawn(process.execPath, [bin, `--output-file=${OUTPUT}`, ...process.argv.slice(2)], {
  stdio: 'inherit',
})
tap.on('close', (code) => {
  const { passed, failed, skipped } = totals()
  process.exitCode = code || (failed ? 1 : 0)
  const skips = skipped ? `, ${skipped} skipped` : ''
  console.log(`${passed} passed, ${failed} failed${skips}`)
})

/** The counts of assertions from tap's last summary line; no summary at all is one failure. */
function totals() {
  let text = ''
  try {
    text = readFileSync(OUTPUT, 'utf8')
  } catch {}
  const summary = [...text.matchAll(/^# (\{[^\n]*\})$/gm)].at(-1)?.[1]
  if (!summary) return { passed: 0, failed: 1, skipped: 0 }
  const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0)
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') }
}
