// Arbitrary JSON as text, not as values: every way in which the same value can be written (RFC
// 8259), so heavy in escapes, quotes, white space, repeated and escaped names and big numbers. What
// `JSON.stringify` never writes is what other people's programs send.
import * as fc from 'fast-check'

const BACKSLASH = '\\'

const hex = (code: number) => code.toString(16).padStart(4, '0')

/** One piece of a string literal, as it is written. */
const piece = fc.oneof(
  fc.constantFrom(
    'a',
    'payload',
    ' ',
    ':',
    ',',
    '{',
    '}',
    '[',
    ']',
    '/',
    'é',
    '\u2028',
    '\ufeff',
    '😀',
  ),
  fc.constantFrom('"', BACKSLASH, '/', 'b', 'f', 'n', 'r', 't').map((short) => BACKSLASH + short),
  fc
    .constantFrom(0, 0x0a, 0x0d, 0x22, 0x5c, 0x61, 0x7f, 0x2028, 0xd83d, 0xfeff, 0xffff)
    .chain((code) =>
      fc.constantFrom(`${BACKSLASH}u${hex(code)}`, `${BACKSLASH}u${hex(code).toUpperCase()}`),
    ),
  fc.constant(`${BACKSLASH}r${BACKSLASH}n`),
)

const string = fc.array(piece, { maxLength: 8 }).map((pieces) => `"${pieces.join('')}"`)

const number = fc.oneof(
  fc.constantFrom(
    '0',
    '-0',
    '1e3',
    '1E+400',
    '-1.5e-07',
    '12345678901234567890',
    '0.10000000000000000001',
  ),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.maxSafeNat().map((n) => `-9${n}${n}`),
)

/** Names that meet often, so that they repeat; some are the same name written otherwise. */
const name = fc.oneof(
  fc.constantFrom(
    '"payload"',
    `"${BACKSLASH}u0070ayload"`,
    '"__proto__"',
    '""',
    '"a"',
    '"1"',
    '"0"',
  ),
  string,
)

const space = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 3 }),
)

const list = (open: string, items: fc.Arbitrary<string>, close: string, maxLength: number) =>
  fc
    .tuple(space, fc.array(fc.tuple(space, items, space), { maxLength }))
    .map(([inside, all]) => open + (all.map((parts) => parts.join('')).join(',') || inside) + close)

const { value, array, object } = fc.letrec<{ value: string; array: string; object: string }>(
  (tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(string, number, fc.constantFrom('true', 'false', 'null')),
      tie('array'),
      tie('object'),
    ),
    array: list('[', tie('value'), ']', 5),
    object: list(
      '{',
      fc
        .tuple(name, space, space, tie('value'))
        .map(([key, before, behind, member]) => `${key}${before}:${behind}${member}`),
      '}',
      6,
    ),
  }),
)

const spaced = (text: fc.Arbitrary<string>) =>
  fc.tuple(space, text, space).map((parts) => parts.join(''))

/** The text of any JSON value, array or object, with white space around it. */
export const jsonText = spaced(value)
export const arrayText = spaced(array)
export const objectText = spaced(object)

/** The text without what stands between its tokens: a walk, character by character. */
export function withoutSpace(json: string): string {
  let text = ''
  let inString = false
  for (let at = 0; at < json.length; at++) {
    const char = json[at] as string
    if (inString && char === BACKSLASH) {
      text += char + json[++at]
      continue
    }
    if (char === '"') inString = !inString
    if (inString || !' \n\r\t'.includes(char)) text += char
  }
  return text
}
