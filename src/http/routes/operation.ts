// What a route says of itself in the OpenAPI document: from this the document is generated, in the
// subset that generators of all languages understand. The schemas describe; what checks a body is
// `bodyReader`, at the moment the order of checks in the protocol wants it.
import { type TSchema, Type } from '@sinclair/typebox'
import { ADDRESS_PATTERN, ROOM_PATTERN } from '../../protocol/address.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { PROBLEMS, type ProblemCode } from '../../protocol/names.ts'
import { Problem } from '../../protocol/problem.ts'
import { ref } from '../../protocol/schema.ts'

interface Operation {
  /** lowerCamel verb + noun, unique; becomes the method's name in generated clients. */
  id: string
  /** Becomes the class in generated clients. */
  tag: 'sessions' | 'messages' | 'stream' | 'rooms' | 'peers' | 'server'
  summary: string
  description?: string
  /** Absent: anybody may. */
  secured?: boolean
  body?: TSchema
  /** Header and query parameters. */
  headers?: Record<string, TSchema>
  query?: Record<string, TSchema>
  params?: Record<string, TSchema>
  status?: 200 | 201 | 204
  /** The body of the success; absent with 204. */
  answer?: TSchema
  answerText?: string
  problems: ProblemCode[]
}

/** Every secured operation may be refused for these. */
const TOKEN_PROBLEMS: ProblemCode[] = [
  'token-missing',
  'token-invalid',
  'token-expired',
  'store-unavailable',
  'store-full',
]
const BODY_PROBLEMS: ProblemCode[] = [
  'invalid-json',
  'invalid-request',
  'too-large',
  'unsupported-media-type',
]

/** The `schema` of a Fastify route. */
export function operation(operation: Operation) {
  const { id, tag, summary, description, body, headers, query, params, answer } = operation
  const { status = 200, secured = true } = operation
  const codes = [
    ...operation.problems,
    ...(secured ? TOKEN_PROBLEMS : []),
    ...(body ? BODY_PROBLEMS : []),
  ]
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    security: secured ? [{ bearer: [] }] : [],
    ...(body && { body: ref(body) }),
    ...(headers && { headers: Type.Object(headers) }),
    ...(query && { querystring: Type.Object(query) }),
    ...(params && { params: Type.Object(params) }),
    response: {
      [status]: successOf(answer, operation.answerText ?? 'Done.'),
      ...problemResponses(codes),
    },
  }
}

function successOf(answer: TSchema | undefined, description: string) {
  if (!answer) return { type: 'null', description }
  if (answer.$id === undefined) return answer
  return { description, content: { 'application/json': { schema: ref(answer) } } }
}

function problemResponses(codes: ProblemCode[]) {
  const byStatus = new Map<number, Set<ProblemCode>>()
  for (const code of codes) {
    const { status } = PROBLEMS[code]
    byStatus.set(status, (byStatus.get(status) ?? new Set()).add(code))
  }
  const statuses = [...byStatus].sort(([a], [b]) => a - b)
  return Object.fromEntries(
    statuses.map(([status, list]) => [
      status,
      {
        description: `Refused. Codes: ${[...list].map((code) => `\`${code}\``).join(', ')}.`,
        content: { 'application/json': { schema: ref(Problem) } },
      },
    ]),
  )
}

export const peerParam = {
  peer: Type.String({ pattern: ADDRESS_PATTERN, description: 'A peer: `name` or `name:device`.' }),
}

export const roomParam = {
  room: Type.String({ pattern: ROOM_PATTERN, description: 'The name of the room.' }),
}

export const ticketQuery = {
  ticket: Type.Optional(
    Type.String({
      description: 'The ticket of a session, for browsers; else send a Bearer token.',
    }),
  ),
}

export const nonceQuery = {
  n: Type.Optional(
    Type.String({
      maxLength: LIMITS.nonceCharsMax,
      description: 'A nonce, echoed: another one in the answer means that a cache spoke.',
    }),
  ),
}
