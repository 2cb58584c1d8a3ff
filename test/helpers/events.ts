// Reads a stream of server-sent events as a browser would: bytes in whatever pieces they come,
// decoded by an independent parser of the format (WHATWG HTML, 9.2.6). What that parser finds odd
// is kept, so that a test can want there to be nothing.
import { createParser } from 'eventsource-parser'

export interface StreamEvent {
  /** `message` where the stream names none. */
  event: string
  id: string | undefined
  data: string
}

export interface Decoded {
  events: StreamEvent[]
  comments: string[]
  /** Fields that the format does not know, times to reconnect: there are never any. */
  oddities: string[]
}

/** @param pieces the stream, cut anywhere */
export function decode(pieces: Iterable<Uint8Array>): Decoded {
  const decoded: Decoded = { events: [], comments: [], oddities: [] }
  const parser = createParser({
    onEvent: ({ event = 'message', id, data }) => decoded.events.push({ event, id, data }),
    onComment: (comment) => decoded.comments.push(comment),
    onRetry: (ms) => decoded.oddities.push(`retry ${ms}`),
    onError: (error) => decoded.oddities.push(error.message),
  })
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  for (const bytes of pieces) {
    const text = utf8.decode(bytes, { stream: true })
    if (text !== '') parser.feed(text)
  }
  return decoded
}

/** Cuts bytes into pieces of the given lengths, over and over; an empty list cuts nothing. */
export function* cut(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  let at = 0
  for (let piece = 0; at < bytes.length; piece++) {
    const length = lengths[piece % lengths.length] ?? bytes.length
    yield bytes.subarray(at, at + length)
    at += length
  }
}

export const decodeText = (text: string): Decoded => decode([Buffer.from(text)])
