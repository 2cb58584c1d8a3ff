// What the others see and hear of this page: camera and microphone, or a stand-in for what is
// missing: a generated moving picture and a soft tone. Invariant: `openMedia` never fails and always
// gives one video and one audio track, so that a call can be tried out on any machine.

const WIDTH = 640
const HEIGHT = 360
const FRAMES_PER_SECOND = 20
const BEAT_S = 2
/** Hues in degrees, picked because their neighbours go with them. */
const HUES = [8, 28, 150, 175, 195, 215, 250, 280, 320, 345]
const TONES_HZ = [262, 294, 330, 392, 440, 523]

export interface Media {
  stream: MediaStream
  /** What is stood in for, in words for the status line; empty when all is real. */
  generated: string
  stop(): void
}

interface Generated {
  track: MediaStreamTrack
  stop(): void
}

export async function openMedia(name: string, onlyGenerated: boolean): Promise<Media> {
  const real = onlyGenerated ? [] : await openDevices()
  const has = (kind: string) => real.some((track) => track.kind === kind)
  const stands: Generated[] = []
  if (!has('video')) stands.push(drawPicture(name))
  if (!has('audio')) stands.push(playTone(name))
  return {
    stream: new MediaStream([...real, ...stands.map((stand) => stand.track)]),
    generated: stands.map(({ track }) => (track.kind === 'video' ? 'picture' : 'tone')).join(', '),
    stop() {
      for (const track of real) track.stop()
      for (const stand of stands) stand.stop()
    },
  }
}

/** A machine may have only one of the two; a refusal by its owner is not asked again. */
async function openDevices(): Promise<MediaStreamTrack[]> {
  for (const wanted of [{ video: true, audio: true }, { video: true }, { audio: true }]) {
    try {
      // Without TLS (other than on localhost) there is no `mediaDevices` at all.
      return (await navigator.mediaDevices.getUserMedia(wanted)).getTracks()
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotAllowedError') break
    }
  }
  return []
}

function drawPicture(name: string): Generated {
  const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT })
  const pen = canvas.getContext('2d') as CanvasRenderingContext2D
  const hue = HUES[hash(name) % HUES.length] as number
  const draw = () => drawFrame(pen, name, hue, performance.now() / 1000)
  draw()
  // Not requestAnimationFrame: that stands still in a hidden tab, and so would the others' picture.
  const timer = setInterval(draw, 1000 / FRAMES_PER_SECOND)
  const track = canvas.captureStream(FRAMES_PER_SECOND).getVideoTracks()[0] as MediaStreamTrack
  const stop = () => {
    clearInterval(timer)
    track.stop()
  }
  return { track, stop }
}

function drawFrame(pen: CanvasRenderingContext2D, name: string, hue: number, seconds: number) {
  const sky = pen.createLinearGradient(0, 0, WIDTH, HEIGHT)
  sky.addColorStop(0, `hsl(${hue} 58% 46%)`)
  sky.addColorStop(1, `hsl(${hue + 40} 55% 30%)`)
  pen.fillStyle = sky
  pen.fillRect(0, 0, WIDTH, HEIGHT)
  drawHills(pen, hue, seconds)
  drawRings(pen, hue, seconds)
  pen.textAlign = 'center'
  pen.fillStyle = '#fff'
  pen.font = '600 44px system-ui, sans-serif'
  pen.fillText(name, WIDTH / 2, HEIGHT / 2 + 15, WIDTH - 60)
  pen.font = '22px ui-monospace, monospace'
  pen.fillStyle = 'rgb(255 255 255 / 75%)'
  pen.fillText(seconds.toFixed(1), WIDTH / 2, HEIGHT - 24)
}

function drawHills(pen: CanvasRenderingContext2D, hue: number, seconds: number) {
  for (const [layer, height] of [250, 290, 325].entries()) {
    pen.fillStyle = `hsl(${hue + 25 + 12 * layer} 50% ${30 - 7 * layer}%)`
    pen.beginPath()
    pen.moveTo(0, HEIGHT)
    for (let x = 0; x <= WIDTH; x += 16) {
      const wave = Math.sin(x / (90 + 30 * layer) + seconds * (0.9 - 0.25 * layer) + layer * 2)
      pen.lineTo(x, height + 18 * wave)
    }
    pen.lineTo(WIDTH, HEIGHT)
    pen.fill()
  }
}

/** Rings that leave the middle as sound leaves a horn. */
function drawRings(pen: CanvasRenderingContext2D, hue: number, seconds: number) {
  pen.lineWidth = 4
  for (let ring = 0; ring < 4; ring++) {
    const age = (seconds / BEAT_S + ring / 4) % 1
    pen.strokeStyle = `hsl(${hue + 20} 95% 85% / ${0.6 * (1 - age)})`
    pen.beginPath()
    pen.ellipse(WIDTH / 2, HEIGHT / 2, 70 + 300 * age, 45 + 170 * age, 0, 0, 2 * Math.PI)
    pen.stroke()
  }
}

/** One soft note each beat; every name has its own. */
function playTone(name: string): Generated {
  const audio = new AudioContext()
  const output = audio.createMediaStreamDestination()
  const volume = audio.createGain()
  const tone = audio.createOscillator()
  volume.gain.value = 0
  tone.frequency.value = TONES_HZ[hash(name) % TONES_HZ.length] as number
  tone.connect(volume).connect(output)
  tone.start()
  const beat = () => strike(volume.gain, audio.currentTime)
  const timer = setInterval(beat, BEAT_S * 1000)
  // Sound may wait for a gesture: after a reload there was none yet.
  const resume = () => void audio.resume().catch(() => {}) // closed meanwhile
  for (const gesture of ['pointerdown', 'keydown']) addEventListener(gesture, resume)
  const track = output.stream.getAudioTracks()[0] as MediaStreamTrack
  const stop = () => {
    clearInterval(timer)
    for (const gesture of ['pointerdown', 'keydown']) removeEventListener(gesture, resume)
    track.stop()
    void audio.close()
  }
  return { track, stop }
}

function strike(gain: AudioParam, now: number) {
  gain.cancelScheduledValues(now)
  gain.setValueAtTime(0, now)
  gain.linearRampToValueAtTime(0.12, now + 0.03)
  gain.exponentialRampToValueAtTime(0.0005, now + 0.7)
}

function hash(text: string): number {
  let sum = 7
  for (const letter of text) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 100_003
  return sum
}
