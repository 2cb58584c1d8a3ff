// The body of every error: RFC 9457 problem details with a stable `code`.
import { Type } from '@sinclair/typebox'
import { PROBLEMS } from './names.ts'
import { integer, named, openString, ref } from './schema.ts'

export const ProblemCause = named(
  'ProblemCause',
  {
    pointer: Type.String({ description: 'JSON pointer (RFC 6901) of the member.' }),
    detail: Type.String({ description: 'What is expected there.' }),
  },
  { description: 'One member that is not valid.' },
)

export const Problem = named(
  'Problem',
  {
    type: Type.String({ description: 'URL of the documentation of this code.' }),
    title: Type.String(),
    status: integer('The HTTP status, again.'),
    detail: Type.String({ description: 'This occurrence, for a human reader.' }),
    code: openString(
      Object.keys(PROBLEMS) as (keyof typeof PROBLEMS)[],
      'Stable; what programs switch on. New codes may come: have a default branch.',
    ),
    requestId: Type.String({ description: 'Names this request in the logs of the server.' }),
    errors: Type.Optional(Type.Array(ref(ProblemCause))),
    maxBytes: Type.Optional(integer('With `too-large`: the limit.')),
  },
  { description: 'An error (RFC 9457). Switch on `code`.' },
)
