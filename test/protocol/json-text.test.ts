// Cutting texts out of JSON agrees with JSON.parse, whatever the JSON looks like, and alters
// nothing: not a digit, not an escape (payloads are opaque, protocol rule 4). Also that no input
// takes long or overflows: everything here reads what strangers send.
import * as fc from 'fast-check'
import t from 'tap'
import { isDeeperThan, itemTexts, memberTexts, toOneLine } from '../../src/protocol/json-text.ts'
import { arrayText, jsonText, objectText, withoutSpace } from '../helpers/json-texts.ts'
import { holds } from '../helpers/properties.ts'

const RUNS = 3000

/** As JSON.parse sees it, with what JSON.stringify would blur: -0 and the infinity of 1E400. */
const same = (a: string, b: string) => deepEqual(JSON.parse(a), JSON.parse(b))

function deepEqual(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null) return Object.is(a, b)
  if (typeof b !== 'object' || b === null || Array.isArray(a) !== Array.isArray(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && deepEqual(member(a, name), member(b, name)))
  )
}

const member = (value: object, name: string): unknown =>
  Object.getOwnPropertyDescriptor(value, name)?.value

const isTrimmed = (text: string) => text === text.trim()

t.test('memberTexts', async (t) => {
  t.test('agrees with JSON.parse', async (t) => {
    const property = fc.property(objectText, (json) => {
      const parsed = JSON.parse(json) as object
      const texts = memberTexts(json)
      const names = Object.keys(parsed)
      return (
        texts.size === names.length &&
        names.every((name) => {
          const text = texts.get(name) ?? ''
          return (
            isTrimmed(text) &&
            json.includes(text) &&
            deepEqual(JSON.parse(text), member(parsed, name))
          )
        })
      )
    })
    await holds(t, property, { runs: RUNS, what: 'the same names, each with the same value' })
  })

  t.test('cuts out the text as it is', async (t) => {
    const json = '{"n": 12345678901234567890 , "s":"\\u0061\\/",\n"o" : { "a":1, "a":2 } }'
    t.same(
      [...memberTexts(json)],
      [
        ['n', '12345678901234567890'],
        ['s', '"\\u0061\\/"'],
        ['o', '{ "a":1, "a":2 }'],
      ],
    )
  })

  t.test('takes the last of a repeated name', async (t) => {
    t.equal(memberTexts('{"a":1,"\\u0061":2}').get('a'), '2')
    t.equal(memberTexts('{"a":{"a":3}}').get('a'), '{"a":3}', 'of the object itself')
  })

  t.test('knows names that objects have anyway', async (t) => {
    const texts = memberTexts('{"__proto__":1,"constructor":2,"":3}')
    t.same([...texts.keys()], ['__proto__', 'constructor', ''])
  })

  t.test('is not misled by what strings hold', async (t) => {
    const json = String.raw`{"a":"}\"],{","b":"\\","c":["\\\"","]"],"d":"\\\\"}`
    const texts = memberTexts(json)
    t.same([...texts.keys()], ['a', 'b', 'c', 'd'])
    t.equal(texts.get('c'), String.raw`["\\\"","]"]`)
  })

  t.test('takes the largest request in no time', async (t) => {
    for (const filling of ['\\\\', '\\"', 'x', '\\u0022']) {
      const json = `{"a":"${filling.repeat(262_144 / filling.length)}","b":1}`
      const before = performance.now()
      t.equal(memberTexts(json).get('b'), '1', `filled with ${filling}`)
      t.ok(performance.now() - before < 500, 'in less than half a second')
    }
  })
})

t.test('itemTexts', async (t) => {
  t.test('agrees with JSON.parse', async (t) => {
    const property = fc.property(arrayText, (json) => {
      const parsed = JSON.parse(json) as unknown[]
      const texts = itemTexts(json)
      return (
        texts.length === parsed.length &&
        texts.every((text, at) => isTrimmed(text) && deepEqual(JSON.parse(text), parsed[at]))
      )
    })
    await holds(t, property, { runs: RUNS, what: 'as many items, each with the same value' })
  })

  t.test('of an empty array is empty', async (t) => {
    t.same(itemTexts('[]'), [])
    t.same(itemTexts(' [ \n ] '), [])
  })
})

t.test('toOneLine', async (t) => {
  t.test('alters nothing but the space between tokens', async (t) => {
    const property = fc.property(jsonText, (json) => {
      const line = toOneLine(json)
      return withoutSpace(line) === withoutSpace(json) && same(line, json)
    })
    await holds(t, property, { runs: RUNS, what: 'every token is as it was' })
  })

  t.test('leaves no line end and no tab', async (t) => {
    const property = fc.property(jsonText, (json) => !/[\r\n\t]/.test(toOneLine(json)))
    await holds(t, property, { runs: RUNS, what: 'one line' })
  })

  t.test('takes out the space that JSON.stringify indents with', async (t) => {
    const property = fc.property(fc.json(), fc.constantFrom(1, 2, '\t'), (json, indent) => {
      const value: unknown = JSON.parse(json)
      return toOneLine(JSON.stringify(value, null, indent)) === JSON.stringify(value)
    })
    await holds(t, property, { runs: RUNS, what: 'as without indent' })
  })

  t.test('leaves strings as they are', async (t) => {
    const json = String.raw`["a\n b", "\\", "\" , "]`
    t.equal(toOneLine(json), String.raw`["a\n b","\\","\" , "]`)
    t.equal(toOneLine('"\u2028 \u2029\ufeff"'), '"\u2028 \u2029\ufeff"')
  })

  t.test('takes the largest request in no time', async (t) => {
    for (const filling of ['\\r\\n', '\\"', 'x', ' ']) {
      const json = `{ "a":"${filling.repeat(262_144 / filling.length)}" }`
      const before = performance.now()
      t.equal(toOneLine(json), `{${json.slice(2, -2)}}`, `filled with ${filling}`)
      t.ok(performance.now() - before < 500, 'in less than half a second')
    }
    t.equal(toOneLine(`[${'\n'.repeat(262_144)}]`), '[]')
  })
})

t.test('isDeeperThan', async (t) => {
  const nest = (levels: number, open: string, close: string) =>
    open.repeat(levels - 1) + (open === '[' ? '[]' : '{}') + close.repeat(levels - 1)

  t.test('counts the outermost level as the first', async (t) => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      t.equal(isDeeperThan(nest(32, open, close), 32), false, `32 levels of ${open}`)
      t.equal(isDeeperThan(nest(33, open, close), 32), true, `33 levels of ${open}`)
      t.equal(isDeeperThan(nest(1, open, close), 1), false)
      t.equal(isDeeperThan(nest(1, open, close), 0), true)
    }
  })

  t.test('counts no level for what is no container', async (t) => {
    for (const json of ['1', '"[{"', 'true', 'null']) t.equal(isDeeperThan(json, 0), false)
  })

  t.test('looks at every branch', async (t) => {
    const json = '{"a":1,"b":[null,{"c":"x"},[[]]]}'
    t.equal(isDeeperThan(json, 4), false)
    t.equal(isDeeperThan(json, 3), true)
    t.equal(isDeeperThan('{"a":[[[]]],"a":1}', 3), true, 'also what a repeated member hides')
  })

  t.test('survives any depth', async (t) => {
    t.equal(isDeeperThan('['.repeat(200_000) + ']'.repeat(200_000), 32), true)
    t.equal(isDeeperThan(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`, 32), true)
  })

  t.test('agrees with counting brackets', async (t) => {
    const property = fc.property(jsonText, fc.nat(7), (json, max) => {
      let depth = 0
      let deepest = 0
      for (const char of withoutSpace(json).replace(/"(?:[^"\\]|\\.)*"/g, '')) {
        if (char === '[' || char === '{') deepest = Math.max(deepest, ++depth)
        if (char === ']' || char === '}') depth -= 1
      }
      // A repeated name hides its earlier values, so the parsed value may be less deep.
      return isDeeperThan(json, max) ? deepest > max : true
    })
    await holds(t, property, { runs: RUNS, what: 'never deeper than it is written' })
  })
})
