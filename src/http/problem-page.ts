// The page that the `type` of every problem leads to: one paragraph for each code.
import { PROBLEMS, type ProblemCode } from '../protocol/names.ts'

/** What happened, and what to do about it. */
export const PROBLEM_HELP: Record<ProblemCode, string> = {
  'invalid-json':
    'The body could not be read as JSON: a syntax error, bytes that are no UTF-8, or more than 32 levels. Send application/json or text/plain with one JSON object.',
  'invalid-request':
    'The request was understood but a member or parameter is wrong. Where there are errors, each names the member by a JSON pointer and says what is expected. The status is 408 where the request took too long to arrive, 417 for an Expect that is not known.',
  'reserved-type':
    'peer-joined, peer-left, call-cancelled and call-missed are sent by the server only, so that nobody can forge them. Use another type.',
  'token-missing':
    'Send a token: as Authorization: Bearer, or as the member token of the body of a POST. GETs of browsers take a ticket in the query.',
  'token-invalid':
    'The token was refused: its signature, its algorithm, its issuer or audience, a claim, or because its session was ended. Get a new one.',
  'token-expired':
    'The token has ended. Guests refresh theirs with POST /session/refresh until 60 s after its end; others mint a new one.',
  'not-allowed':
    'The token is good but does not allow this: to create rooms, to use this name, or to refresh. Ask the application for a token that does.',
  'guests-off': 'This server takes no guests. Get a token from the application.',
  'ticket-unknown':
    'The ticket is not known: it dies two minutes after its last use, with its token, or with its session. Get another with POST /session/open.',
  'not-found': 'There is nothing at this path. The paths are in /openapi.yaml.',
  'peer-not-found':
    'No such peer can be reached by this sender. The answer is the same whether the peer exists or not: share a room with it, or have a grant in direct.',
  'room-not-found':
    'There is no such room, or not for this peer. Join with create: true to make one.',
  'call-not-found': 'There is no such call for this peer.',
  'method-not-allowed': 'The path takes other methods: they are in the header Allow.',
  'peer-taken':
    'The name belongs to somebody else. Its last holder gets it back by showing the earlier token.',
  'room-full':
    'The room has as many members as it may have. Try again when somebody has left, or use another room.',
  'call-state': 'The call is not in a state that allows this; the member call shows it as it is.',
  'call-glare': 'The other side is calling already: answer that call, which the member call shows.',
  'in-progress':
    'The first request with this idempotency key is still running. Ask again in a second.',
  'too-large':
    'The request, the message it would make, its info, or (status 431) the head of the request is larger than maxBytes.',
  'unsupported-media-type':
    'Bodies are application/json, or text/plain with JSON in it, without a Content-Encoding.',
  'key-reused':
    'The idempotency key was used for another body on this path. Make a new key for each request, and keep it for its retries.',
  'rate-limited':
    'More than the limit: signals a second, new guest sessions a minute, rooms, or calls. Wait for Retry-After seconds.',
  'mailbox-full':
    'The recipient has not read what was sent to it, by this sender or altogether. Wait for Retry-After seconds; what it reads makes room.',
  'store-unavailable':
    'The store, or the key set of the identity provider, cannot be reached. Nothing was kept. Try again after Retry-After seconds.',
  'store-full':
    'The server holds as much as it may. Nothing was kept; reading goes on. Try again later; what readers acknowledge makes space, and --memory-max sets how much there is.',
}

/** The page as HTML, without script and without style that a strict policy would refuse. */
export function problemPage(): string {
  const sections = Object.entries(PROBLEMS).map(
    ([code, { status, title }]) =>
      `<section id="${code}"><h2><code>${code}</code> (${status})</h2><p><b>${title}.</b> ${PROBLEM_HELP[code as ProblemCode]}</p></section>`,
  )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Posthorn: problems</title></head><body><main><h1>Problems</h1><p>Every error of a Posthorn server is a problem document (RFC 9457). Programs switch on its <code>code</code>.</p>${sections.join('')}</main></body></html>`
}
