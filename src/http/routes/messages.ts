// Send, long-poll, exchange (protocol sections 3 and 4): translate, call, answer.

import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { toTimestamp } from '../../core/clock.ts'
import { ProblemError } from '../../core/errors.ts'
import { type Page, pageMembers, pollPage } from '../../delivery/long-poll.ts'
import { isIdempotencyKey } from '../../protocol/address.ts'
import { itemTexts, memberTexts } from '../../protocol/json-text.ts'
import { LIMITS } from '../../protocol/limits.ts'
import { ExchangeInput, ExchangeOutcome, MessagePage } from '../../protocol/message.ts'
import { compileCheck } from '../../protocol/schema.ts'
import { Receipt, SignalInput } from '../../protocol/signal.ts'
import { type KeyedRequest, runOnce } from '../../signaling/requests.ts'
import { type Posted, type SendOutcome, sendSignal } from '../../signaling/send.ts'
import type { Kept, Once } from '../../store/store.ts'
import type { HttpContext } from '../context.ts'
import { bodyMembers, payloadTextIn, withoutNulls } from '../plugins/body.ts'
import { baseUrl, problemBody, toProblemError } from '../plugins/problems.ts'
import { nonceQuery, operation, ticketQuery } from './operation.ts'
import {
  readLimit,
  readNonce,
  readPreferredWait,
  readQuery,
  readSince,
  readWait,
} from './parameters.ts'
import { endWhenGone, readExpiry } from './reads.ts'

const JSON_TYPE = 'application/json; charset=utf-8'
/** While the server stops, a poll is answered soon, so that its reader looks elsewhere. */
const DRAINING_WAIT_MS = 1000

const keyHeader = {
  'Idempotency-Key': Type.Optional(
    Type.String({ description: 'The same as the member `idempotencyKey`, which wins.' }),
  ),
}

export function messageRoutes(app: FastifyInstance, context: HttpContext): void {
  app.post(
    '/messages',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'sendSignal',
        tag: 'messages',
        summary: 'Sends one signal',
        description:
          '`201` means kept: stored, ordered, and offered to its recipients until it expires. A repetition with the same idempotency key has the header `Idempotent-Replayed: true`.',
        headers: keyHeader,
        body: SignalInput,
        status: 201,
        answer: Receipt,
        answerText: 'Kept by at least one mailbox.',
        problems: [
          'reserved-type',
          'peer-not-found',
          'room-not-found',
          'in-progress',
          'key-reused',
          'rate-limited',
          'mailbox-full',
        ],
      }),
    },
    (request, reply) => postSignal(context, request, reply),
  )

  app.post(
    '/exchange',
    {
      config: { auth: 'token' },
      schema: operation({
        id: 'exchangeMessages',
        tag: 'messages',
        summary: 'Sends and reads in one request',
        description:
          'For networks that allow one connection. Each signal has its own result. Without `signals` it is the long-poll by POST.',
        headers: keyHeader,
        body: ExchangeInput,
        answer: ExchangeOutcome,
        answerText: 'What became of each signal, and what there is to read.',
        problems: ['in-progress', 'key-reused'],
      }),
    },
    (request, reply) => exchange(context, request, reply),
  )

  app.get(
    '/messages',
    {
      config: { auth: 'read' },
      schema: operation({
        id: 'pollMessages',
        tag: 'messages',
        summary: 'Waits for messages (long-poll)',
        description:
          'Answers at once when something is there, else when a message comes or `wait` is over. Pass `cursor` as `since` of the next poll.',
        query: {
          since: Type.Optional(
            Type.Integer({
              format: 'int64',
              description: 'A cursor; left out: from the oldest kept.',
            }),
          ),
          wait: Type.Optional(
            Type.Number({ description: 'Seconds, clamped to 0 to 25; left out: 5.' }),
          ),
          limit: Type.Optional(
            Type.Integer({ format: 'int32', description: '1 to 256; left out: 100.' }),
          ),
          ...nonceQuery,
          ...ticketQuery,
        },
        answer: MessagePage,
        answerText: 'A page, also when it is empty.',
        problems: ['invalid-request', 'ticket-unknown'],
      }),
    },
    (request, reply) => poll(context, request, reply),
  )
}

// ---- sending -----------------------------------------------------------------------------------

async function postSignal(context: HttpContext, request: FastifyRequest, reply: FastifyReply) {
  const { idempotencyKey: key, ...rest } = bodyMembers(request)
  const { token: _, ...value } = rest
  const payloadText = value['payload'] === undefined ? undefined : payloadTextIn(request.bodyText)
  const keyed = toKeyed(request, key, '/messages', value)
  const answer = await runOnce(context, keyed, async (once) => {
    const outcome = await sendSignal(context, request.identity, { value, payloadText }, once)
    return { text: JSON.stringify(toReceipt(context, request, outcome)), complete: true }
  })
  if (answer?.replayed) reply.header('Idempotent-Replayed', 'true')
  return reply.code(201).header('Content-Type', JSON_TYPE).send(answer?.text)
}

function toKeyed(
  request: FastifyRequest,
  member: unknown,
  path: string,
  body: unknown,
): KeyedRequest {
  // RFC draft: the header is a structured string, with quotes; most clients leave them out.
  const header = request.headers['idempotency-key']
  const key = member ?? (typeof header === 'string' ? header.replace(/^"(.*)"$/, '$1') : undefined)
  if (key !== undefined && !isIdempotencyKey(key)) {
    throw new ProblemError('invalid-request', {
      errors: [{ pointer: '/idempotencyKey', detail: 'Expected 1 to 64 of A-Z a-z 0-9 _ . : ~ -' }],
    })
  }
  return { sender: request.identity.peer, path, key, body }
}

function toReceipt(context: HttpContext, request: FastifyRequest, outcome: SendOutcome) {
  const { kept, copies, durability } = outcome
  return { kept, deliveries: copies.map((copy) => toDelivery(context, request, copy)), durability }
}

function toDelivery(context: HttpContext, request: FastifyRequest, copy: Kept) {
  if (!('refused' in copy)) return copy
  const { to, refused, retryAfterMs } = copy
  return { to, problem: toBody(context, request, new ProblemError(refused, { retryAfterMs })) }
}

const toBody = (context: HttpContext, request: FastifyRequest, error: ProblemError) =>
  problemBody(error, request.id, baseUrl(request, context.http))

// ---- exchange ----------------------------------------------------------------------------------

const checkExchange = compileCheck(ExchangeInput)

async function exchange(context: HttpContext, request: FastifyRequest, reply: FastifyReply) {
  const members = bodyMembers(request)
  const { token: _, idempotencyKey: key, since, wait, limit, ...body } = members
  const posted = readSignals(members, request.bodyText)
  const keyed = toKeyed(request, key, '/exchange', body)
  let results: ExchangeResult[] | undefined
  const answer = await runOnce(context, keyed, async (once, partial) => {
    results = await sendAll(context, request, posted, once, partial)
    const kept = results.filter(({ receipt }) => receipt !== undefined).length
    // Only success is remembered.
    if (kept === 0) return undefined
    return { text: JSON.stringify(results), complete: kept === results.length }
  })
  if (answer?.replayed) reply.header('Idempotent-Replayed', 'true')
  const text = answer?.text ?? JSON.stringify(results)
  const page =
    since === undefined
      ? `"messages":[],"serverTime":"${toTimestamp(context.clock.now())}"`
      : await readInExchange(context, request, reply, {
          since: since as number,
          limit: limit as number | undefined,
          waitMs: posted.length > 0 ? 0 : ((wait as number | undefined) ?? 0) * 1000,
        })
  return reply.header('Content-Type', JSON_TYPE).send(`{"results":${text},${page}}`)
}

/** The signals of an exchange and their texts, unchecked: one that is wrong does not stop the others. */
function readSignals(members: Record<string, unknown>, bodyText: string): RawSignal[] {
  const { signals = [] } = members
  const errors = checkExchange({ ...members, signals: [] })
  if (!Array.isArray(signals) || signals.length > LIMITS.exchangeSignalsMax) {
    errors.push({
      pointer: '/signals',
      detail: `Expected an array of at most ${LIMITS.exchangeSignalsMax} signals`,
    })
  }
  if (errors.length > 0) throw new ProblemError('invalid-request', { errors })
  if ((signals as unknown[]).length === 0) return []
  const texts = itemTexts(memberTexts(bodyText).get('signals') ?? '[]')
  return (signals as unknown[]).map((value, item) => ({ value, text: texts[item] as string }))
}

interface RawSignal {
  value: unknown
  text: string
}

/** @throws ProblemError invalid-request when it is no object */
function readSignal({ value, text }: RawSignal): Posted {
  const members = withoutNulls(value, '')
  const hasPayload = members['payload'] !== undefined
  return { value: members, payloadText: hasPayload ? payloadTextIn(text) : undefined }
}

/** @param partial results of an earlier run: those that succeeded are replayed */
async function sendAll(
  context: HttpContext,
  request: FastifyRequest,
  posted: RawSignal[],
  once: Once | undefined,
  partial: string | undefined,
): Promise<ExchangeResult[]> {
  const results = partial === undefined ? [] : (JSON.parse(partial) as ExchangeResult[])
  for (const [item, signal] of posted.entries()) {
    if (results[item]?.receipt) continue
    results[item] = await sendOne(context, request, signal, once && { ...once, item })
  }
  return results
}

interface ExchangeResult {
  status: number
  receipt?: unknown
  problem?: unknown
}

async function sendOne(
  context: HttpContext,
  request: FastifyRequest,
  signal: RawSignal,
  once: Once | undefined,
): Promise<ExchangeResult> {
  try {
    const outcome = await sendSignal(context, request.identity, readSignal(signal), once)
    return { status: 201, receipt: toReceipt(context, request, outcome) }
  } catch (error) {
    const problem = toProblemError(error)
    if (!problem) throw error
    context.metrics.onRefused(problem.code)
    const body = toBody(context, request, problem)
    return { status: body.status, problem: body }
  }
}

async function readInExchange(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { since, limit, waitMs }: { since: number; limit: number | undefined; waitMs: number },
): Promise<string> {
  const page = await holdPoll(context, request, reply, {
    since,
    limit: readLimit(limit === undefined ? undefined : String(limit)),
    waitMs: Math.min(Math.max(0, waitMs), LIMITS.waitMaxMs),
  })
  return describePage(context, page, 'exchange')
}

// ---- receiving ---------------------------------------------------------------------------------

async function poll(context: HttpContext, request: FastifyRequest, reply: FastifyReply) {
  const query = readQuery(request)
  const preferredMs = query['wait'] === undefined ? readPreferredWait(request) : undefined
  const waitMs =
    query['wait'] === undefined ? (preferredMs ?? LIMITS.waitDefaultMs) : readWait(query['wait'])
  const page = await holdPoll(context, request, reply, {
    since: readSince(query['since']),
    limit: readLimit(query['limit']),
    waitMs,
    n: readNonce(query['n']),
  })
  if (preferredMs !== undefined) reply.header('Preference-Applied', `wait=${preferredMs / 1000}`)
  return reply.header('Content-Type', JSON_TYPE).send(`{${describePage(context, page, 'poll')}}`)
}

interface Hold {
  since: number
  limit: number
  waitMs: number
  n?: string | undefined
}

/** Listens, reads, waits; gives up when the client goes away (nothing is lost: it asks again). */
async function holdPoll(
  context: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
  { since, limit, waitMs, n }: Hold,
): Promise<Page> {
  const { peer } = request.identity
  const expiresAt = readExpiry(context, request)
  const read = context.hub.open({ peer, kind: 'poll', n, expiresAt })
  endWhenGone(read, reply)
  const heldMs = context.draining ? Math.min(waitMs, DRAINING_WAIT_MS) : waitMs
  try {
    return await pollPage(context, { read, since, limit, waitMs: heldMs })
  } finally {
    context.hub.close(read)
  }
}

function describePage(context: HttpContext, page: Page, transport: 'poll' | 'exchange'): string {
  const now = context.clock.now()
  for (const { id } of page.entries) context.metrics.onDelivered(transport, now - id / 1000)
  return pageMembers(page, now)
}
