// Reads the parts of a Markdown file that tests compare with the code: fenced blocks, tables,
// headings, links. Knows as much of Markdown as the pages of this repository use.

export interface Block {
  language: string
  text: string
  /** Where its text begins, counted from 1. */
  line: number
}

/** The fenced blocks, in order. */
export function readBlocks(markdown: string): Block[] {
  const blocks: Block[] = []
  let open: Block | undefined
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^```(\w*)$/.exec(line)
    if (!fence) {
      if (open) open.text += `${line}\n`
    } else if (open) {
      blocks.push(open)
      open = undefined
    } else open = { language: fence[1] as string, text: '', line: index + 2 }
  }
  if (open) throw new Error(`the block of line ${open.line} is not closed`)
  return blocks
}

/** Without fenced blocks: what is in them is no heading, no table and no link. */
export const withoutBlocks = (markdown: string): string => markdown.replace(/^```.*?^```$/gms, '')

/** The rows of all tables whose first column has that heading, cell by cell. */
export function readTable(markdown: string, heading: string): string[][] {
  const lines = withoutBlocks(markdown).split('\n').map(readCells)
  const rows: string[][] = []
  for (const [index, cells] of lines.entries()) {
    if (cells?.[0] !== heading || !lines[index + 1]?.every((cell) => /^:?-+:?$/.test(cell)))
      continue
    for (let row = index + 2; lines[row]; row++) rows.push(lines[row] as string[])
  }
  if (rows.length === 0) throw new Error(`no table of "${heading}"`)
  return rows
}

function readCells(line: string): string[] | undefined {
  if (!line.startsWith('|')) return undefined
  const inner = line.trim().replace(/^\||\|$/g, '')
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'))
}

/** The texts between backticks. */
export const readCodes = (markdown: string): string[] =>
  [...markdown.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string)

/** What links and pictures point to. */
export const readLinks = (markdown: string): string[] =>
  [...withoutBlocks(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] as string)

/** The anchors that GitHub gives the headings. */
export function readAnchors(markdown: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading = ''] of withoutBlocks(markdown).matchAll(/^#+ (.+)$/gm)) {
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-')
    let unique = anchor
    for (let count = 1; anchors.has(unique); count++) unique = `${anchor}-${count}`
    anchors.add(unique)
  }
  return anchors
}
