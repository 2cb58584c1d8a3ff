// The page `/demo`: a form to enter a room, one status line, and what binds room, tiles and log
// together. What is going on is also readable at `window.posthornDemo` (plain data, for tests and
// the curious). Every address is relative to this script, so that any base path works.
import { Problem } from './http.ts'
import { SignalLog } from './log.ts'
import { type Media, openMedia } from './picture.ts'
import { Room } from './room.ts'
import type { Transport } from './signaling.ts'
import { Tiles } from './tiles.ts'

const BASE = new URL('..', import.meta.url)
const REMEMBERED = 'posthorn-demo'
const NOTICE_MS = 6_000
const ANIMALS = ['otter', 'heron', 'marten', 'plover', 'badger', 'swift', 'lynx', 'wren', 'hare']
const MOODS = ['quiet', 'brave', 'merry', 'swift', 'gentle', 'bright', 'early', 'mellow']

/** What the one button does, by phase. */
const LABELS = { outside: 'Join', entering: 'Cancel', inside: 'Leave' }

type Tone = 'idle' | 'busy' | 'good' | 'bad'

const form = byId<HTMLFormElement>('entry')
const fields = {
  room: byId<HTMLInputElement>('room'),
  name: byId<HTMLInputElement>('name'),
  transport: byId<HTMLSelectElement>('transport'),
  generated: byId<HTMLInputElement>('generated'),
}
const tiles = new Tiles(byId('tiles'), byId<HTMLTemplateElement>('tile'))
const log = new SignalLog(byId<HTMLTableSectionElement>('rows'), (peer) => nameOf(peer))

let room: Room | undefined
let media: Media | undefined
let inUse: Transport | undefined
let trouble = ''
let notice = ''

fill()
listen()
showStatus()
Object.defineProperty(window, 'posthornDemo', { get: snapshot })
if (sessionStorage.getItem(REMEMBERED)) void enter()

function fill(): void {
  const remembered = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? '{}')
  const query = new URLSearchParams(location.search)
  fields.room.value = roomInAddress() || `${pick(MOODS)}-${pick(ANIMALS)}-${digits()}`
  fields.name.value = remembered.name ?? query.get('name') ?? ''
  fields.generated.checked = remembered.generated ?? query.has('generated')
  if (query.get('transport') === 'poll') fields.transport.value = 'poll'
}

function listen(): void {
  form.onsubmit = (event) => {
    event.preventDefault()
    if (room) void leave()
    else if (document.body.dataset.phase === 'outside') void enter()
  }
  fields.transport.onchange = () => {
    rememberTransport()
    room?.readBy(chosenTransport())
  }
  fields.generated.onchange = () => void changeMedia()
  byId('copy').onclick = () => void copyInvitation()
  addEventListener('hashchange', () => {
    if (!room && roomInAddress()) fields.room.value = roomInAddress()
  })
  addEventListener('pagehide', ({ persisted }) => {
    if (!persisted) room?.leaveByBeacon()
  })
}

async function enter(): Promise<void> {
  const name = fields.name.value.trim() || capital(pick(ANIMALS))
  fields.name.value = name
  trouble = ''
  setPhase('entering')
  log.clear()
  media = await openMedia(name, fields.generated.checked)
  fields.generated.checked ||= media.generated.includes('picture')
  showSelf()
  const entered = newRoom(name, media.stream)
  room = entered
  try {
    showStatus()
    await entered.enter()
    if (room !== entered) return // cancelled meanwhile
    remember(entered.name, name)
    setPhase('inside')
  } catch (error) {
    if (room === entered) giveUp(error)
  }
}

function newRoom(name: string, stream: MediaStream): Room {
  const transport = chosenTransport()
  const options = { base: BASE, room: roomName(fields.room.value), name, stream, transport }
  return new Room(options, {
    changed: showRoom,
    arrived: (arrival) => log.arrived(arrival),
    departed: (departure) => log.departed(departure),
    reset(reason) {
      log.note('reset', reason)
      notify(`Signals may have been lost (${reason}): the room was read and joined again.`)
    },
    reading(transport, heldBack) {
      inUse = transport
      fields.transport.value = transport
      if (heldBack) notify('This network holds streams back: reading by long-poll instead.')
      showStatus()
    },
    trouble(text) {
      trouble = capital(text)
      showStatus()
    },
    mended() {
      trouble = ''
      showStatus()
    },
    failed: giveUp,
  })
}

async function leave(): Promise<void> {
  const left = room
  forget()
  await left?.leave()
  showStatus()
}

/** What no repetition mends: said in the status line, and back to the form. */
function giveUp(error: unknown): void {
  const isClosed = error instanceof Problem && error.code === 'guests-off'
  const why = error instanceof Error ? error.message : String(error)
  void room?.leave()
  forget()
  trouble = isClosed ? 'This server takes no guests, so nobody can enter here.' : capital(why)
  showStatus()
}

function forget(): void {
  sessionStorage.removeItem(REMEMBERED)
  media?.stop()
  room = undefined
  media = undefined
  inUse = undefined
  trouble = ''
  notice = ''
  tiles.clear()
  setPhase('outside')
}

async function changeMedia(): Promise<void> {
  if (!room || !media) return
  const [inside, before] = [room, media]
  const opened = await openMedia(fields.name.value, fields.generated.checked)
  if (room !== inside) return opened.stop() // left meanwhile
  media = opened
  if (!fields.generated.checked && media.generated.includes('picture')) {
    fields.generated.checked = true
    notify('No camera can be had here: the generated picture stays.')
  }
  await inside.replaceMedia(opened.stream)
  before.stop()
  showSelf()
  remember(inside.name, fields.name.value)
}

function showSelf(): void {
  if (!media) return
  const note = media.generated ? `generated: ${media.generated}` : 'camera and microphone'
  tiles.showSelf(fields.name.value, media.stream, note)
}

function showRoom(): void {
  if (!room) return
  tiles.showMembers(room.members)
  byId('invitation').hidden = room.members.size > 0 || document.body.dataset.phase !== 'inside'
  showStatus()
}

function showStatus(): void {
  const { text, tone } = status()
  const line = byId('status')
  if (line.textContent !== text) line.textContent = text
  line.dataset.tone = tone
}

function status(): { text: string; tone: Tone } {
  if (trouble) return { text: trouble, tone: 'bad' }
  if (notice) return { text: notice, tone: 'busy' }
  if (!room) return { text: 'Not in a room.', tone: 'idle' }
  if (!inUse) return { text: `Entering ${room.name} …`, tone: 'busy' }
  const others = [...room.members.values()]
  const connected = others.filter(({ call }) => call.isConnected).length
  const where = `In ${room.name}, reading by ${inUse === 'stream' ? 'stream (SSE)' : 'long-poll'}`
  if (others.length === 0) return { text: `${where}. Nobody else is here yet.`, tone: 'good' }
  const tone = connected === others.length ? 'good' : 'busy'
  return { text: `${where}. Connected to ${connected} of ${others.length}.`, tone }
}

function notify(text: string): void {
  notice = text
  showStatus()
  setTimeout(() => {
    if (notice === text) notice = ''
    showStatus()
  }, NOTICE_MS)
}

function setPhase(phase: keyof typeof LABELS): void {
  document.body.dataset.phase = phase
  fields.room.readOnly = fields.name.readOnly = phase !== 'outside'
  byId('enter').textContent = LABELS[phase]
  showRoom()
}

/** A reload comes back into the room, as a new guest. */
function remember(roomName: string, name: string): void {
  const { checked: generated } = fields.generated
  sessionStorage.setItem(REMEMBERED, JSON.stringify({ name, generated }))
  fields.room.value = roomName
  history.replaceState(null, '', `#${roomName}`)
  byId<HTMLAnchorElement>('second').href = location.href
}

function rememberTransport(): void {
  const url = new URL(location.href)
  url.searchParams.set('transport', chosenTransport())
  history.replaceState(null, '', url)
  byId<HTMLAnchorElement>('second').href = url.href
}

async function copyInvitation(): Promise<void> {
  try {
    await navigator.clipboard.writeText(location.href)
    notify('The address of this room is copied.')
  } catch {
    notify(`The address of this room: ${location.href}`)
  }
}

function snapshot() {
  return {
    room: room?.name,
    peer: room?.peer,
    status: byId('status').textContent,
    transport: { chosen: chosenTransport(), inUse },
    members: [...(room?.members.values() ?? [])].map(({ peer, name, call }) => ({
      peer,
      name,
      polite: call.polite,
      ...call.states,
      framesDecoded: tiles.received.get(peer)?.framesDecoded ?? 0,
      echo: { ...call.echo },
    })),
    log: log.entries.map((entry) => ({ ...entry })),
  }
}

function chosenTransport(): Transport {
  return fields.transport.value === 'poll' ? 'poll' : 'stream'
}

function roomInAddress(): string {
  return roomName(new URLSearchParams(`room=${location.hash.slice(1)}`).get('room') ?? '')
}

/** Any words become a room's name: what the protocol does not allow there becomes a dash. */
function roomName(text: string): string {
  return text
    .trim()
    .replace(/[^A-Za-z0-9_.~-]+/g, '-')
    .replace(/^[^A-Za-z0-9_]+/, '')
    .slice(0, 100)
}

function nameOf(peer: string): string {
  return room?.nameOf(peer) ?? peer
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function pick(words: string[]): string {
  return words[Math.floor(Math.random() * words.length)] as string
}

function digits(): string {
  return String(10 + Math.floor(Math.random() * 90))
}

function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T
}
