// Text of server-sent events (WHATWG HTML, 9.2.5). better-sse's EventBuffer writes the fields; it
// does not split data that holds line ends, so everything that gets here is JSON on one line
// (protocol/json-text) or a number: nothing in it can end a line. The tests decode what is encoded
// here with an independent parser.
import { createEventBuffer } from 'better-sse'
import { messageJson } from '../protocol/message.ts'

const OPTIONS = {
  serializer: (data: unknown) => data as string,
  // The space behind the colon is not part of the value; people read streams with curl.
  sanitizer: (text: string) => ` ${text}`,
}
const buffer = createEventBuffer(OPTIONS)

/** A message: its id and its one JSON; no event name, so that it is the default, `message`. */
export function messageFrame(id: number, tail: string): string {
  buffer.clear()
  return buffer.id(String(id)).data(messageJson(id, tail)).dispatch().read()
}

/** Any other event. `id` becomes the reader's Last-Event-ID. */
export function eventFrame(event: string, data: object, id?: number): string {
  buffer.clear().event(event)
  if (id !== undefined) buffer.id(String(id))
  return buffer.data(JSON.stringify(data)).dispatch().read()
}

/** 2 KiB that say nothing: they push boxes which hold back the first bytes (networks, R22). */
export const PADDING = `:${' '.repeat(2046)}\n`

/** Pushes out the piece that some boxes hold back until the next one comes (networks, R23). */
export const NUDGE = ':\n'
