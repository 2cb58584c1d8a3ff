// Secrets that everybody knows are none: samples of documentation, placeholders, repetitions. They
// are refused at the start, and a refused secret is never printed.
import { refuse } from './settings.ts'

const SECRET_BYTES_MIN = 32

/** From the documentation of other projects; people copy them. */
const SAMPLES = [
  'a-string-secret-at-least-256-bits-long', // jwt.io
  'your-256-bit-secret', // jwt.io, earlier
  'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow', // RFC 7515
  'hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg', // RFC 7520
  'cc7e0d44fd473002f1c42167459001140ec6389b7353f8088f4d9a95f2f596f2', // jose
  '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7', // FastAPI
  '192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf', // Flask
  '404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970', // Spring tutorials
  '3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R', // Hasura
  '!ChangeThisMercureHubJWTSecretKey!', // Mercure
  'super-secret-jwt-token-with-at-least-32-characters-long', // Supabase
  'reallyreallyreallyreallyverysafe', // PostgREST
  ...['north', 'logen', 'youShouldChangeMe', 'somepassword'], // coturn
  ...['keyboard cat', 'shhhhh', 'devkey', 'admin', 'coturn', 'turn', 'test'],
].map(plain)

/** How placeholders begin: changeme…, secret…, password…, your-256-bit-secret…, my-super-secret… */
const PLACEHOLDER =
  /^(?:(?:please)?(?:change|replace)(?:me|this|it)|(?:my|your)?(?:super|very|top)*(?:\d{3}bits?)?(?:secret|passw(?:or)?d)|djangoinsecure)/

const SEQUENCES = ['0123456789abcdefghijklmnopqrstuvwxyz', 'abcdefghijklmnopqrstuvwxyz0123456789']
const REPEATED_CHARS_MAX = 16

export function parseSecret(text: string): string {
  if (Buffer.byteLength(text) < SECRET_BYTES_MIN) {
    refuse(`must have at least ${SECRET_BYTES_MIN} bytes`)
  }
  return parseTurnSecret(text)
}

/** TURN servers set no length; coturn's manual uses short ones. */
export function parseTurnSecret(text: string): string {
  if (isWellKnown(text)) {
    refuse('is a well-known weak value; `openssl rand -base64 48` prints a good one')
  }
  return text
}

function isWellKnown(secret: string): boolean {
  const text = plain(secret)
  const isSequence = text !== '' && SEQUENCES.some((sequence) => sequence.includes(text))
  return SAMPLES.includes(text) || PLACEHOLDER.test(text) || isSequence || isRepetition(secret)
}

/** Spelling is no strength: only letters and digits count, in one case. */
function plain(secret: string): string {
  return secret.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

/** Is it one character or a short text over and over? */
function isRepetition(secret: string): boolean {
  for (let chars = 1; chars <= Math.min(REPEATED_CHARS_MAX, secret.length / 2); chars++) {
    const unit = secret.slice(0, chars)
    if (unit.repeat(Math.ceil(secret.length / chars)).slice(0, secret.length) === secret)
      return true
  }
  return false
}
