// Compares an output with the one that a page shows: the shape and every word, not ids, times and
// other large numbers. A `…` in the page stands for anything.

const LARGE = 1000
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/
const ANYTHING = '…'

/** What differs between a shown text and the real one: nothing, or a line for each difference. */
export function compareTexts(shown: string, actual: string): string[] {
  const lines = actual.split('\n').map((line) => line.trim())
  let from = 0
  for (const line of shown.split('\n').map((text) => text.trim())) {
    if (line === '') continue
    const pattern = toPattern(line)
    const found = lines.findIndex((text, index) => index >= from && pattern.test(text))
    if (found === -1) return [`no line like: ${line}`]
    from = found + 1
  }
  return []
}

/** The same for texts that are JSON documents, one behind the other. */
export function compareDocuments(shown: string, actual: string): string[] {
  const [wanted, found] = [readDocuments(shown), readDocuments(actual)]
  if (wanted.length !== found.length) {
    return [`${wanted.length} documents are shown, ${found.length} came`]
  }
  return wanted.flatMap((document, index) => compareValues(document, found[index], `#${index}`))
}

export function compareValues(shown: unknown, actual: unknown, at: string): string[] {
  if (Array.isArray(shown) && Array.isArray(actual)) {
    if (shown.length !== actual.length) return [`${at} has ${actual.length} items`]
    return shown.flatMap((item, index) => compareValues(item, actual[index], `${at}/${index}`))
  }
  if (isObject(shown) && isObject(actual)) return compareMembers(shown, actual, at)
  return isAlike(shown, actual) ? [] : [`${at} is ${JSON.stringify(actual)}`]
}

function compareMembers(
  shown: Record<string, unknown>,
  actual: Record<string, unknown>,
  at: string,
): string[] {
  const differences = Object.keys(shown).flatMap((name) => {
    if (name === ANYTHING) return []
    return Object.hasOwn(actual, name)
      ? compareValues(shown[name], actual[name], `${at}/${name}`)
      : [`${at}/${name} is missing`]
  })
  const more = Object.keys(actual).filter((name) => !Object.hasOwn(shown, name))
  return ANYTHING in shown
    ? differences
    : [...differences, ...more.map((name) => `${at}/${name} is not shown`)]
}

function isAlike(shown: unknown, actual: unknown): boolean {
  if (typeof shown !== typeof actual) return false
  if (typeof shown === 'number') return shown >= LARGE ? Number(actual) >= LARGE : shown === actual
  if (typeof shown !== 'string') return shown === actual
  return TIME.test(shown) ? TIME.test(String(actual)) : toPattern(shown).test(String(actual))
}

function toPattern(shown: string): RegExp {
  const literal = shown.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${literal.replaceAll(ANYTHING, '.*')}$`, 's')
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The JSON objects in a text; what stands between them does not count. */
export function readDocuments(text: string): unknown[] {
  const documents: unknown[] = []
  let depth = 0
  let start = 0
  for (const match of text.matchAll(/"(?:[^"\\\n]|\\.)*"|[{}]/g)) {
    if (match[0] === '{' && depth++ === 0) start = match.index
    if (match[0] === '}' && --depth === 0) {
      documents.push(JSON.parse(text.slice(start, match.index + 1)))
    }
  }
  return documents
}
