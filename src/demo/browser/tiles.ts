// The video tiles: one for this page, one for each member of the room. A tile only shows what it is
// given; its buttons call back. Tiles come and go with the members and are never rebuilt, because a
// video element that is moved or replaced flickers.
import type { Call } from './call.ts'
import type { Member } from './room.ts'

const STATS_EVERY_MS = 1_000
/** The key of this page's own tile: no address of a peer is empty. */
const SELF = ''

export interface Received {
  framesDecoded: number
  width: number
  height: number
  framesPerSecond: number
  path: string
}

const NOTHING: Received = { framesDecoded: 0, width: 0, height: 0, framesPerSecond: 0, path: '' }

export class Tiles {
  readonly received = new Map<string, Received>()
  readonly #area: HTMLElement
  readonly #template: HTMLTemplateElement
  readonly #tiles = new Map<string, HTMLElement>()
  readonly #calls = new WeakMap<HTMLElement, Call>()
  #members: ReadonlyMap<string, Member> = new Map()

  constructor(area: HTMLElement, template: HTMLTemplateElement) {
    this.#area = area
    this.#template = template
    setInterval(() => void this.#readStats(), STATS_EVERY_MS)
  }

  showSelf(name: string, stream: MediaStream, note: string): void {
    const tile = this.#tiles.get(SELF) ?? this.#addSelf()
    part(tile, '.name').textContent = `${name} (you)`
    part(tile, '.facts').textContent = note
    videoOf(tile).ariaLabel = 'Your own picture'
    videoOf(tile).srcObject = stream
    for (const button of mutersOf(tile)) mute(button, tile)
  }

  showMembers(members: ReadonlyMap<string, Member>): void {
    this.#members = members
    for (const [peer, tile] of this.#tiles) {
      // A member who went and came back has another call, and so another picture.
      if (peer === SELF || this.#calls.get(tile) === members.get(peer)?.call) continue
      tile.remove()
      this.#tiles.delete(peer)
      this.received.delete(peer)
    }
    for (const member of members.values()) {
      this.#describe(this.#tiles.get(member.peer) ?? this.#addMember(member), member)
    }
  }

  clear(): void {
    this.#tiles.clear()
    this.received.clear()
    this.#members = new Map()
    this.#area.replaceChildren()
  }

  #addSelf(): HTMLElement {
    const tile = this.#add(SELF)
    videoOf(tile).muted = true
    tile.classList.add('self')
    for (const name of ['.state', '.ping', '.sound']) part(tile, name).remove()
    for (const button of mutersOf(tile)) {
      button.onclick = () => {
        button.ariaPressed = `${button.ariaPressed !== 'true'}`
        mute(button, tile)
      }
    }
    return tile
  }

  #addMember({ peer, call }: Member): HTMLElement {
    const tile = this.#add(peer)
    this.#calls.set(tile, call)
    const video = videoOf(tile)
    const sound = part<HTMLButtonElement>(tile, '.sound')
    for (const button of mutersOf(tile)) button.remove()
    part<HTMLButtonElement>(tile, '.ping').onclick = () => call.ping()
    sound.onclick = () => {
      video.muted = false
      sound.hidden = true
    }
    video.srcObject = call.remote
    video.onloadedmetadata = () => void play(video, sound)
    return tile
  }

  #add(peer: string): HTMLElement {
    const tile = this.#template.content.cloneNode(true) as DocumentFragment
    const element = tile.firstElementChild as HTMLElement
    this.#area.append(tile)
    this.#tiles.set(peer, element)
    return element
  }

  #describe(tile: HTMLElement, { peer, name, call, isAway }: Member): void {
    const { connectionState, iceConnectionState, signalingState } = call.states
    const state = part(tile, '.state')
    state.textContent = isAway ? `${connectionState}, signaling lost` : connectionState
    state.dataset.state = connectionState
    part(tile, '.name').textContent = name
    videoOf(tile).ariaLabel = `Video of ${name}`
    const ping = part<HTMLButtonElement>(tile, '.ping')
    ping.ariaLabel = `Ping ${name}`
    ping.disabled = !call.canEcho
    const { width, height, framesPerSecond, path } = this.received.get(peer) ?? NOTHING
    const facts = [
      call.echo.roundTripMs !== undefined && `echo ${call.echo.roundTripMs.toFixed(1)} ms`,
      width > 0 && `${width}×${height}, ${Math.round(framesPerSecond)} fps`,
      path,
      `ICE ${iceConnectionState}`,
      `signaling ${signalingState}`,
    ]
    part(tile, '.facts').textContent = facts.filter(Boolean).join(' · ')
  }

  async #readStats(): Promise<void> {
    for (const [peer, member] of this.#members) {
      const report = await member.call.stats().catch(() => undefined) // closed meanwhile
      const tile = this.#tiles.get(peer)
      if (!tile || !report) continue
      this.received.set(peer, readReport(report))
      this.#describe(tile, member)
    }
  }
}

function readReport(report: RTCStatsReport): Received {
  const received = { ...NOTHING }
  for (const stats of report.values()) {
    if (stats.type === 'inbound-rtp' && stats.kind === 'video') {
      received.framesDecoded = stats.framesDecoded ?? 0
      received.framesPerSecond = stats.framesPerSecond ?? 0
      received.width = stats.frameWidth ?? 0
      received.height = stats.frameHeight ?? 0
    }
    // Firefox has no transport statistics: there the pair itself says that it is selected.
    const isPair = stats.type === 'candidate-pair' && stats.state === 'succeeded' && stats.nominated
    if (isPair) received.path = pathOf(report, stats.localCandidateId)
  }
  return received
}

function pathOf(report: RTCStatsReport, candidateId: string): string {
  const candidate = report.get(candidateId)
  return candidate ? `${candidate.candidateType}/${candidate.protocol}` : ''
}

/** Browsers let a page speak only after a gesture; after a reload there was none yet. */
async function play(video: HTMLVideoElement, sound: HTMLButtonElement): Promise<void> {
  try {
    await video.play()
  } catch {
    video.muted = true
    sound.hidden = false
    await video.play().catch(() => {})
  }
}

function mutersOf(tile: HTMLElement): HTMLButtonElement[] {
  return [...tile.querySelectorAll<HTMLButtonElement>('[data-mutes]')]
}

function mute(button: HTMLButtonElement, tile: HTMLElement): void {
  const stream = videoOf(tile).srcObject as MediaStream
  for (const track of stream.getTracks()) {
    if (track.kind === button.dataset.mutes) track.enabled = button.ariaPressed !== 'true'
  }
}

function videoOf(tile: HTMLElement): HTMLVideoElement {
  return part<HTMLVideoElement>(tile, 'video')
}

function part<T extends HTMLElement = HTMLElement>(tile: HTMLElement, selector: string): T {
  return tile.querySelector(selector) as T
}
