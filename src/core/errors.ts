// The one error that rules throw. It carries a code of the closed list in protocol/names; which
// HTTP answer it becomes is decided in http/plugins/problems and nowhere else.
import { PROBLEMS, type ProblemCode } from '../protocol/names.ts'
import type { SchemaError } from '../protocol/schema.ts'

export interface ProblemDetails {
  /** For a human reader. Never repeats input. */
  detail?: string
  errors?: SchemaError[]
  maxBytes?: number
  /** After how long the same request may succeed; becomes `Retry-After`. */
  retryAfterMs?: number
  /** The policy a `rate-limited` refers to; becomes `RateLimit` and `RateLimit-Policy`. */
  policy?: { name: string; quota: number; windowMs: number }
  /** With `call-state` and `call-glare`: the call as it is. */
  call?: Record<string, unknown>
  /** The verbs that the path takes; becomes `Allow`. */
  allow?: string[]
  /** Another status where RFC 9110 has a closer one than the code's own (408, 417, 431). */
  status?: number
}

export class ProblemError extends Error {
  readonly code: ProblemCode
  readonly details: ProblemDetails

  constructor(code: ProblemCode, details: ProblemDetails = {}) {
    super(details.detail ?? PROBLEMS[code].title)
    this.name = 'ProblemError'
    this.code = code
    this.details = details
  }
}

export const invalid = (pointer: string, detail: string) =>
  new ProblemError('invalid-request', {
    detail: 'A member is not valid.',
    errors: [{ pointer, detail }],
  })
