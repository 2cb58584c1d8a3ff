// What is written as server-sent events is what a reader gets, whatever it holds and wherever the
// network cuts the bytes: decoded by an independent parser, with data that is heavy in what ends a
// line or a stream anywhere (CR, LF, NUL, U+2028, BOM, `:`).
import * as fc from 'fast-check'
import t from 'tap'
import { eventFrame, messageFrame, NUDGE, PADDING } from '../../src/delivery/frames.ts'
import { toOneLine } from '../../src/protocol/json-text.ts'
import { messageJson, writeTail } from '../../src/protocol/message.ts'
import { cut, decode, decodeText } from '../helpers/events.ts'
import { objectText, withoutSpace } from '../helpers/json-texts.ts'
import { holds } from '../helpers/properties.ts'

const RUNS = 20_000

const ID = 1_795_176_000_000_001

/** Strings that would break a line, a field, a decoder or an event. */
const nasty = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      '\r',
      '\n',
      '\r\n',
      '\n\n',
      '\0',
      '\u2028',
      '\u2029',
      '\u0085',
      '\ufeff',
      ':',
      ' ',
    ),
    fc.constantFrom(
      'data:',
      'id: 7',
      'event:',
      'retry:1',
      '\t',
      '"',
      '\\',
      '\v',
      '\f',
      'é',
      '😀',
      '\ud83d',
    ),
    fc.constantFrom('a', 'b', 'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n'),
  ),
  maxLength: 12,
})

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 6 })

const tailOf = (payloadText: string) =>
  writeTail({
    type: 'offer',
    from: 'alice:phone',
    payloadText,
    sentAt: '2026-11-20T12:00:00.000Z',
    expiresAt: '2026-11-20T12:02:00.000Z',
  })

const payloadOf = (data: string): unknown => (JSON.parse(data) as { payload: unknown }).payload

t.test('a message', async (t) => {
  t.test('arrives as it was sent, however it is cut', async (t) => {
    const property = fc.property(
      fc.array(nasty, { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      cuts,
      (texts, isNudged, lengths) => {
        const frames = texts.map((text, at) => {
          const frame = messageFrame(ID + at, tailOf(JSON.stringify({ text, [text]: 1 })))
          return isNudged ? frame + NUDGE : frame
        })
        const { events, oddities } = decode(cut(Buffer.from(PADDING + frames.join('')), lengths))
        return (
          oddities.length === 0 &&
          events.length === texts.length &&
          events.every(({ event, id, data }, at) => {
            const text = texts[at] as string
            const payload = payloadOf(data) as Record<string, unknown>
            const isSame = payload['text'] === (text === 'text' ? 1 : text) && payload[text] === 1
            return event === 'message' && id === String(ID + at) && isSame
          })
        )
      },
    )
    await holds(t, property, { runs: RUNS, what: 'decode(encode(x)) = x' })
  })

  t.test('keeps the text of a payload to the byte', async (t) => {
    const property = fc.property(objectText, cuts, (json, lengths) => {
      const tail = tailOf(toOneLine(json))
      const { events, oddities } = decode(cut(Buffer.from(messageFrame(ID, tail)), lengths))
      const data = events[0]?.data ?? ''
      return (
        events.length === 1 &&
        oddities.length === 0 &&
        data === messageJson(ID, tail) &&
        withoutSpace(data).includes(`"payload":${withoutSpace(json)},"sentAt"`)
      )
    })
    await holds(t, property, { runs: 2000, what: 'as it was posted, but for space' })
  })

  t.test('is one id line, one data line, one empty line', async (t) => {
    const frame = messageFrame(ID, tailOf('{"a":"\u2028"}'))
    t.equal(frame, `id: ${ID}\ndata: ${messageJson(ID, tailOf('{"a":"\u2028"}'))}\n\n`)
  })
})

t.test('an event', async (t) => {
  t.test('arrives as it was sent, however it is cut', async (t) => {
    const name = fc.constantFrom('hello', 'proof', 'heartbeat', 'token-expiring', 'bye')
    const property = fc.property(
      name,
      nasty,
      fc.option(fc.maxSafeNat()),
      cuts,
      (event, n, id, lengths) => {
        const frame = eventFrame(event, { n, reset: false }, id ?? undefined)
        const { events, oddities } = decode(cut(Buffer.from(frame), lengths))
        const [first] = events
        return (
          events.length === 1 &&
          oddities.length === 0 &&
          first?.event === event &&
          first.id === (id === null ? undefined : String(id)) &&
          JSON.parse(first.data).n === n
        )
      },
    )
    await holds(t, property, { runs: 5000, what: 'decode(encode(x)) = x' })
  })

  t.test('leaves out what is undefined', async (t) => {
    t.equal(eventFrame('proof', { n: undefined }), 'event: proof\ndata: {}\n\n')
  })

  t.test('takes nothing over from the one before', async (t) => {
    eventFrame('heartbeat', { cursor: 7 }, 7)
    t.equal(eventFrame('bye', { reason: 'max-age' }), 'event: bye\ndata: {"reason":"max-age"}\n\n')
    t.match(messageFrame(8, '"a":1}'), /^id: 8\ndata: /)
  })
})

t.test('what pushes boxes says nothing', async (t) => {
  t.equal(Buffer.byteLength(PADDING), 2048)
  t.match(decodeText(PADDING), { events: [], oddities: [] })
  t.match(decodeText(NUDGE), { events: [], oddities: [], comments: [''] })
  const between = decodeText(messageFrame(1, '"a":1}') + NUDGE + messageFrame(2, '"a":2}') + NUDGE)
  t.same(
    between.events.map(({ id, data }) => [id, data]),
    [
      ['1', '{"id":1,"a":1}'],
      ['2', '{"id":2,"a":2}'],
    ],
  )
})

t.test('the parser sees a frame that is wrong', async (t) => {
  const broken = messageFrame(ID, tailOf('{"a":"x"}').replace('x', 'x\ny'))
  const { events, oddities } = decodeText(broken)
  t.ok(oddities.length > 0 || !events[0]?.data.endsWith('}'), 'a line end inside the data')
})
