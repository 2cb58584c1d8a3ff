// The OpenAPI document, made from the schemas and descriptions of the routes: 3.0.3, in a subset that
// is also valid 3.1 (only the version line differs). The committed openapi.yaml is this document;
// a test fails when it is stale.
import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import { components } from '../protocol/schema.ts'

const DESCRIPTION = `WebRTC signaling over plain HTTP: POST to send, long-poll or server-sent events to receive.

Generated clients: open a session, then call \`pollMessages\` in a loop with the \`cursor\` of the page before as \`since\`, and \`sendSignal\` beside it. Unknown members and unknown values of \`type\` and \`code\` are normal: new ones will come.

Payloads of the known types are described by \`SessionDescription\` (offer, answer) and \`IceCandidate\` (ice-candidate).`

const TAGS = {
  sessions: 'Who you are, and what to show for it.',
  messages: 'Send and receive.',
  stream: 'Receive as server-sent events; optional.',
  rooms: 'Peers that may see and signal each other.',
  peers: 'Presence.',
  server: 'The server itself.',
}

/** Registers what collects the routes: before the routes. */
export async function describeRoutes(app: FastifyInstance, basePath: string, version: string) {
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3',
      info: { title: 'Posthorn', version, description: DESCRIPTION, license: { name: 'MIT' } },
      servers: [{ url: basePath || '/' }],
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: 'A JWT; browsers send it as the member `token` of the body instead.',
          },
        },
      },
    },
    refResolver: {
      buildLocalReference: (schema, _base, _fragment, index) =>
        typeof schema.$id === 'string' ? schema.$id : `Unnamed${index}`,
    },
  })
  for (const schema of components.values()) app.addSchema(schema)
}

/** The document as YAML. The app must be ready. */
export const toYaml = (app: FastifyInstance): string => app.swagger({ yaml: true })

/** The document as JSON text. */
export function toJson(app: FastifyInstance, version: '3.0.3' | '3.1.0'): string {
  return JSON.stringify({ ...app.swagger(), openapi: version }, null, 2)
}
