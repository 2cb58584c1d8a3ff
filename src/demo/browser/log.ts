// The live log of signals: one row per signal sent or received, newest first. It shows envelopes
// (direction, type, peers, id, age, transport) and of payloads only what they amount to.
// Invariant: at most ROWS_MAX rows, however long the page stays open.
import type { Json } from './http.ts'
import type { Arrival, Departure } from './signaling.ts'

const ROWS_MAX = 150
const ARROWS = { in: '←', out: '→', note: '!' }

const TRANSPORTS = { stream: 'SSE', poll: 'poll' } as const

export interface LogEntry {
  direction: 'in' | 'out' | 'note'
  type: string
  /** Whom it comes from or goes to. */
  peer: string
  id: number | undefined
  /** Received: how old it was on arrival. Sent: how long it took until it was kept. */
  ageMs: number | undefined
  transport: 'SSE' | 'poll' | 'POST' | ''
  content: string
}

export class SignalLog {
  readonly entries: LogEntry[] = []
  readonly #rows: HTMLTableSectionElement
  readonly #nameOf: (peer: string) => string

  constructor(rows: HTMLTableSectionElement, nameOf: (peer: string) => string) {
    this.#rows = rows
    this.#nameOf = nameOf
  }

  arrived({ message, ageMs, transport }: Arrival): void {
    const { id, type, from, payload } = message
    const content = summaryOf(type, payload)
    this.#add({
      direction: 'in',
      type,
      peer: from,
      id,
      ageMs: Math.max(0, ageMs),
      transport: TRANSPORTS[transport],
      content,
    })
  }

  departed({ type, to, payload, kept }: Departure): void {
    const content = summaryOf(type, payload)
    const entry: LogEntry = {
      direction: 'out',
      type,
      peer: to,
      id: undefined,
      ageMs: undefined,
      transport: 'POST',
      content,
    }
    const row = this.#add(entry)
    kept.then(
      ({ id, tookMs }) => this.#fill(row, Object.assign(entry, { id, ageMs: tookMs })),
      (error) => this.#fill(row, Object.assign(entry, { content: `refused: ${error.message}` })),
    )
  }

  note(type: string, content: string): void {
    const none = { peer: '', id: undefined, ageMs: undefined, transport: '' } as const
    this.#add({ direction: 'note', type, content, ...none })
  }

  clear(): void {
    this.entries.length = 0
    this.#rows.replaceChildren()
  }

  #add(entry: LogEntry): HTMLTableRowElement {
    this.entries.push(entry)
    if (this.entries.length > ROWS_MAX) this.entries.shift()
    const row = this.#rows.insertRow(0)
    this.#fill(row, entry)
    this.#rows.rows[ROWS_MAX]?.remove()
    return row
  }

  #fill(row: HTMLTableRowElement, entry: LogEntry): void {
    row.className = entry.direction
    row.replaceChildren(
      directionCell(entry.direction),
      cell(entry.type, 'type'),
      cell(entry.peer && this.#nameOf(entry.peer), 'peer', entry.peer),
      cell(entry.id === undefined ? '' : shortId(entry.id), 'id', `${entry.id ?? ''}`),
      cell(entry.ageMs === undefined ? '' : inWords(entry.ageMs), 'age'),
      cell(entry.transport, 'transport'),
      cell(entry.content, 'content'),
    )
  }
}

function inWords(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1000)} s`
}

/** Ids are microseconds of Unix time: the last digits tell them apart, the title has them all. */
function shortId(id: number): string {
  const digits = String(id)
  return digits.length > 6 ? `…${digits.slice(-6)}` : digits
}

/** Where there is little room, the style hides the word; screen readers find it in the label. */
function directionCell(direction: LogEntry['direction']): HTMLTableCellElement {
  const word = Object.assign(document.createElement('b'), { textContent: direction })
  const made = cell(`${ARROWS[direction]} `, 'direction', direction)
  made.append(word)
  return made
}

function cell(text: string, className: string, title = ''): HTMLTableCellElement {
  return Object.assign(document.createElement('td'), { textContent: text, className, title })
}

function summaryOf(type: string, payload: Json = {}): string {
  if (typeof payload.sdp === 'string') return sdpSummary(payload.sdp)
  if (type === 'ice-candidate') return candidatesSummary(payload.candidates ?? [payload])
  const who = payload.info?.name ?? payload.peer ?? ''
  return [who, payload.reason].filter(Boolean).join(', ')
}

function sdpSummary(sdp: string): string {
  const media = [...sdp.matchAll(/^m=(\w+)/gm)].map((match) => match[1])
  return `${media.join(', ')} · ${(sdp.length / 1024).toFixed(1)} KiB`
}

function candidatesSummary(candidates: Json[]): string {
  const found = candidates.filter(({ candidate }) => candidate)
  const kinds = new Set(found.map(({ candidate }) => / typ (\w+)/.exec(candidate)?.[1]))
  const parts = found.length > 0 ? [`${found.length} × ${[...kinds].join(', ')}`] : []
  if (found.length < candidates.length) parts.push('end')
  return parts.join(' · ')
}
