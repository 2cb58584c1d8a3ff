// One RTCPeerConnection to one member of the room, kept by perfect negotiation (W3C WebRTC 1.0,
// section 10.7): both sides may offer at any time, `polite` says who gives way when offers cross.
// The newcomer offers first; the other side adds its media when it answers. Nothing is told here
// when signaling dies: a call that stands goes on without it.
import type { Json } from './http.ts'

/** Candidates found within this time travel as one signal. */
const CANDIDATE_BATCH_MS = 10
/** Both pages are busy when the channel opens: a ping a little later is a fairer one. */
const FIRST_PING_MS = 500

export interface CallOptions {
  polite: boolean
  stream: MediaStream
  iceServers: RTCIceServer[]
  send(type: string, payload: Json): void
  changed(): void
}

export interface Echo {
  sent: number
  received: number
  roundTripMs: number | undefined
}

export class Call {
  polite: boolean
  readonly echo: Echo = { sent: 0, received: 0, roundTripMs: undefined }
  readonly remote = new MediaStream()
  #stream: MediaStream
  readonly #options: CallOptions
  #pc!: RTCPeerConnection
  #channel: RTCDataChannel | undefined
  #makingOffer = false
  #ignoreOffer = false
  #candidates: RTCIceCandidateInit[] = []
  /** Signals of one peer are handled one after the other, as they were sent. */
  #work: Promise<void> = Promise.resolve()

  constructor(options: CallOptions) {
    this.#options = options
    this.polite = options.polite
    this.#stream = options.stream
    this.#connect()
  }

  get states() {
    const { connectionState, iceConnectionState, signalingState } = this.#pc
    return { connectionState, iceConnectionState, signalingState }
  }

  get isConnected(): boolean {
    return this.#pc.connectionState === 'connected'
  }

  get canEcho(): boolean {
    return this.#channel?.readyState === 'open'
  }

  /** Makes the first offer; or, where one got lost, a new connection with a new first offer. */
  offer(): void {
    if (this.#pc.remoteDescription || this.#channel) this.#reconnect()
    this.#addMedia()
  }

  receive(type: string, payload: Json): void {
    this.#work = this.#work
      .then(() => this.#handle(type, payload))
      .catch((error) => console.warn(`posthorn demo: ${type} not used:`, error))
  }

  ping(): void {
    if (!this.canEcho) return
    this.echo.sent++
    this.#channel?.send(JSON.stringify({ ping: performance.now() }))
  }

  async replaceMedia(stream: MediaStream): Promise<void> {
    this.#stream = stream
    for (const sender of this.#pc.getSenders()) {
      const track = stream.getTracks().find(({ kind }) => kind === sender.track?.kind)
      if (track) await sender.replaceTrack(track)
    }
  }

  stats(): Promise<RTCStatsReport> {
    return this.#pc.getStats()
  }

  close(): void {
    this.#pc.onconnectionstatechange = null
    this.#pc.close()
  }

  #connect(): void {
    const { iceServers, changed } = this.#options
    const pc = new RTCPeerConnection({ iceServers })
    this.#pc = pc
    pc.onnegotiationneeded = () => void this.#makeOffer(pc)
    pc.onicecandidate = ({ candidate }) => this.#collect(pc, candidate)
    pc.ontrack = ({ track }) => this.#show(track)
    pc.onsignalingstatechange = changed
    pc.onconnectionstatechange = changed
    pc.oniceconnectionstatechange = () => {
      if (pc.iceConnectionState === 'failed') pc.restartIce()
      changed()
    }
  }

  #reconnect(): void {
    this.close()
    this.#channel = undefined
    this.#candidates = []
    this.#makingOffer = false
    for (const track of this.remote.getTracks()) this.remote.removeTrack(track)
    this.#connect()
  }

  /** Once per connection. The channel's number is agreed, so that no side has to open it first. */
  #addMedia(): void {
    if (this.#channel) return
    for (const track of this.#stream.getTracks()) this.#pc.addTrack(track, this.#stream)
    this.#channel = this.#pc.createDataChannel('echo', { negotiated: true, id: 0 })
    this.#channel.onopen = () => {
      this.#options.changed()
      setTimeout(() => this.ping(), FIRST_PING_MS)
    }
    this.#channel.onmessage = ({ data }) => this.#hear(JSON.parse(data))
  }

  async #makeOffer(pc: RTCPeerConnection): Promise<void> {
    try {
      this.#makingOffer = true
      await pc.setLocalDescription()
      this.#describe(pc)
    } catch (error) {
      if (pc === this.#pc) console.warn('posthorn demo: no offer:', error)
    } finally {
      if (pc === this.#pc) this.#makingOffer = false
    }
  }

  #describe(pc: RTCPeerConnection): void {
    if (pc !== this.#pc || !pc.localDescription) return
    const { type, sdp } = pc.localDescription
    this.#options.send(type, { type, sdp })
  }

  async #handle(type: string, payload: Json): Promise<void> {
    if (type === 'ice-candidate') return this.#addCandidates(payload)
    const description = payload as RTCSessionDescriptionInit
    if (this.#isOfAnotherConnection(description)) {
      this.#reconnect()
      if (type === 'answer') return this.#addMedia()
    }
    await this.#accept(this.#pc, description)
  }

  async #accept(pc: RTCPeerConnection, description: RTCSessionDescriptionInit): Promise<void> {
    const isOffer = description.type === 'offer'
    const collides = isOffer && (this.#makingOffer || pc.signalingState !== 'stable')
    this.#ignoreOffer = collides && !this.polite
    if (this.#ignoreOffer) return
    await pc.setRemoteDescription(description)
    if (!isOffer) return
    this.#addMedia()
    await pc.setLocalDescription()
    this.#describe(pc)
  }

  /**
   * Has the other side thrown its connection away (after a reset, say)? Ours cannot follow it then.
   * The session id in the `o=` line stays the same as long as a connection lives (RFC 9429).
   */
  #isOfAnotherConnection({ sdp }: RTCSessionDescriptionInit): boolean {
    const known = this.#pc.remoteDescription
    return known !== null && originOf(known.sdp) !== originOf(sdp)
  }

  #collect(pc: RTCPeerConnection, candidate: RTCIceCandidate | null): void {
    if (pc !== this.#pc || candidate?.candidate === '') return
    if (this.#candidates.length === 0) setTimeout(() => this.#sendCandidates(), CANDIDATE_BATCH_MS)
    // null is the end of candidates; on the wire that is the empty string.
    this.#candidates.push(candidate?.toJSON() ?? { candidate: '' })
  }

  #sendCandidates(): void {
    const candidates = this.#candidates.splice(0)
    if (candidates.length > 0) this.#options.send('ice-candidate', { candidates })
  }

  async #addCandidates(payload: Json): Promise<void> {
    for (const candidate of payload.candidates ?? [payload]) {
      try {
        await this.#pc.addIceCandidate(candidate)
      } catch (error) {
        if (!this.#ignoreOffer) throw error
      }
    }
  }

  #show(track: MediaStreamTrack): void {
    this.remote.addTrack(track)
    this.#options.changed()
  }

  #hear(message: Json): void {
    if ('ping' in message) {
      this.#channel?.send(JSON.stringify({ pong: message.ping }))
      return
    }
    this.echo.received++
    this.echo.roundTripMs = performance.now() - message.pong
    this.#options.changed()
  }
}

function originOf(sdp: string | undefined): string | undefined {
  return /^o=\S+ (\d+) /m.exec(sdp ?? '')?.[1]
}
