// Finds the text of a member in a JSON document that JSON.parse has accepted already. Payloads are
// opaque: parsing and writing them again would round large integers, drop duplicate members and
// rewrite escapes; cutting out the text changes nothing and is cheaper.

/** The text of each member of a JSON object; of a repeated name the last, as in JSON.parse. */
export function memberTexts(json: string): Map<string, string> {
  const members = new Map<string, string>()
  let at = skipSpace(json, skipSpace(json, 0) + 1)
  while (json[at] !== '}') {
    const nameEnd = skipString(json, at)
    const name = JSON.parse(json.slice(at, nameEnd)) as string
    const start = skipSpace(json, skipSpace(json, nameEnd) + 1)
    const end = skipValue(json, start)
    members.set(name, json.slice(start, end))
    at = skipComma(json, end)
  }
  return members
}

/** The texts of the items of a JSON array. */
export function itemTexts(json: string): string[] {
  const items: string[] = []
  let at = skipSpace(json, skipSpace(json, 0) + 1)
  while (json[at] !== ']') {
    const end = skipValue(json, at)
    items.push(json.slice(at, end))
    at = skipComma(json, end)
  }
  return items
}

const SPACED = /[\t\n\r]|[:,{[] /
const STRING_OR_SPACE = /("(?:[^"\\]+|\\.)*")|[\t\n\r ]+/g

/**
 * The same JSON without white space between its tokens, so that it is one line (SSE, WHATWG HTML
 * 9.2.6, would split at CR and LF; inside strings JSON escapes both).
 */
export const toOneLine = (json: string): string =>
  SPACED.test(json) ? json.replace(STRING_OR_SPACE, '$1') : json

function skipSpace(json: string, from: number): number {
  let at = from
  while (json[at] === ' ' || json[at] === '\n' || json[at] === '\r' || json[at] === '\t') at++
  return at
}

function skipComma(json: string, from: number): number {
  const at = skipSpace(json, from)
  return json[at] === ',' ? skipSpace(json, at + 1) : at
}

function skipString(json: string, open: number): number {
  let end = json.indexOf('"', open + 1)
  while (isEscaped(json, end)) end = json.indexOf('"', end + 1)
  return end + 1
}

function isEscaped(json: string, quote: number): boolean {
  let backslashes = 0
  while (json[quote - 1 - backslashes] === '\\') backslashes++
  return backslashes % 2 === 1
}

const STRUCTURE = /["{}[\]]/g
const SCALAR_END = /[,\]}\s]|$/g

function skipValue(json: string, start: number): number {
  const first = json[start]
  if (first === '"') return skipString(json, start)
  if (first !== '{' && first !== '[') {
    SCALAR_END.lastIndex = start
    return SCALAR_END.exec(json)?.index ?? json.length
  }
  let depth = 0
  let at = start
  do {
    STRUCTURE.lastIndex = at
    const found = STRUCTURE.exec(json) as RegExpExecArray
    at = found.index + 1
    if (found[0] === '"') at = skipString(json, found.index)
    else depth += found[0] === '{' || found[0] === '[' ? 1 : -1
  } while (depth > 0)
  return at
}

/**
 * Is the JSON nested deeper than `max` levels? Looks at the text, because the text is what is
 * forwarded: a repeated member would hide its first value from a look at the parsed one.
 */
export function isDeeperThan(json: string, max: number): boolean {
  let depth = 0
  for (let at = 0; ; ) {
    STRUCTURE.lastIndex = at
    const found = STRUCTURE.exec(json)
    if (!found) return false
    at = found[0] === '"' ? skipString(json, found.index) : found.index + 1
    if (found[0] === '{' || found[0] === '[') depth += 1
    else if (found[0] !== '"') depth -= 1
    if (depth > max) return true
  }
}
