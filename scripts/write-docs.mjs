// Writes docs/problems.md from the list of problem codes and from the page that the server shows at
// /problems, so that nothing is written twice. Reads the build:
// `node scripts/ensure.mjs build && node scripts/write-docs.mjs`.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const ROOT = join(import.meta.dirname, '..')
const FILE = 'docs/problems.md'

async function write() {
  const { PROBLEMS } = await import('../dist/protocol/names.js')
  const { PROBLEM_HELP } = await import('../dist/http/problem-page.js')
  writeFileSync(join(ROOT, FILE), problemsPage(PROBLEMS, PROBLEM_HELP))
  console.log(`${FILE}: ${Object.keys(PROBLEMS).length} problems`)
}

/** The page as Markdown: a table by status, then a section for each code. */
export function problemsPage(problems, help) {
  const codes = Object.keys(problems)
  const statuses = [...new Set(codes.map((code) => problems[code].status))].sort((a, b) => a - b)
  const rows = statuses.map((status) => {
    const links = codes
      .filter((code) => problems[code].status === status)
      .map((code) => `[\`${code}\`](#${code})`)
    return `| ${status} | ${links.join(', ')} |`
  })
  const sections = codes.map((code) => {
    const { status, title } = problems[code]
    return `## ${code}\n\nStatus ${status}. **${title}.**\n\n${help[code]}\n`
  })
  return `${INTRODUCTION}
| status | codes |
|---|---|
${rows.join('\n')}

${sections.join('\n')}`
}

const INTRODUCTION = `<!-- Written by scripts/write-docs.mjs from src/http/problem-page.ts: change it there. -->

# Problems

Every error of a Posthorn server is a problem document (RFC 9457). Programs switch on its \`code\`. Its
\`type\` is the address of the explanation: a running server shows this list at \`/problems\`. What else
stands in a problem document: [the protocol](protocol.md#errors).
`

if (pathToFileURL(process.argv[1] ?? '').href === import.meta.url) await write()
