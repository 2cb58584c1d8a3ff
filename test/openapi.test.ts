// openapi.yaml is what the routes say of themselves, in the subset that code generators of all
// languages understand. Linters do not find what breaks generated clients: names that collide, types
// that are inlined, keywords that one generator drops and the next refuses.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readConfig } from '../src/config/config.ts'
import { toJson } from '../src/http/openapi.ts'
import { buildForDocument, openApiYaml, startServer } from '../src/server.ts'

const ROOT = join(import.meta.dirname, '..')
const HINT = 'openapi.yaml is fresh (else: npm run openapi)'

type Json = Record<string, unknown>

interface Operation extends Json {
  operationId: string
  summary: string
  tags: string[]
  parameters?: { name: string; in: string; required?: boolean; schema: Json }[]
  requestBody?: { content: Record<string, { schema: Json }> }
  responses: Record<string, { description: string; content?: Record<string, { schema: Json }> }>
}

const app = await buildForDocument()
const text = toJson(app, '3.0.3')
const text31 = toJson(app, '3.1.0')
await app.close()
const document = JSON.parse(text) as {
  openapi: string
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json> }
}
const { schemas } = document.components
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path}`,
    ...operation,
  })),
)

/** Every object and array of the document, with the way to it. */
function* walk(value: unknown, at: string[] = []): Generator<[node: Json, at: string[]]> {
  if (typeof value !== 'object' || value === null) return
  yield [value as Json, at]
  for (const [name, member] of Object.entries(value)) yield* walk(member, [...at, name])
}

/** Every schema, also inside others; `properties` is a map of names and no schema. */
const isSchema = (at: string[]) => {
  const owner = at.at(-2)
  if (at.at(-1) === 'properties' && owner !== 'properties') return false
  if (owner === 'properties' || at.at(-1) === 'items' || at.at(-1) === 'schema') return true
  return at.length === 3 && at[1] === 'schemas'
}
const allSchemas = [...walk(document)].filter(([, at]) => isSchema(at))

t.test('openapi.yaml is committed as it is generated', async (t) => {
  const committed = readFileSync(join(ROOT, 'openapi.yaml'), 'utf8')
  const generated = `${(await openApiYaml()).trimEnd()}\n`
  t.ok(committed === generated, HINT)
  const cli = execFileSync(process.execPath, [join(ROOT, 'dist/cli.js'), 'openapi'])
  t.ok(cli.toString() === generated, 'posthorn openapi prints it (else: npm run build)')
})

t.test('the version is 3.0.3, and 3.1 differs in nothing else', async (t) => {
  t.equal(document.openapi, '3.0.3')
  t.equal(text31.replace('"openapi": "3.1.0"', '"openapi": "3.0.3"'), text)
})

t.test('a server shows the same documents', async (t) => {
  const server = await startServer({ ...readConfig([], {}), port: 0, logLevel: 'silent' })
  t.teardown(() => server.stop({ quick: true }))
  const fetchText = async (path: string) => (await fetch(`${server.url}${path}`)).text()
  t.equal(await fetchText('/openapi.json'), text)
  t.equal(await fetchText('/openapi-3.1.json'), text31)
  t.equal(await fetchText('/openapi.yaml'), await openApiYaml())
})

// ── Schemas ──────────────────────────────────────────────────────────────────────────────────────

/** What some generator drops, refuses or turns into code that does not compile. */
const FORBIDDEN = [
  ...['oneOf', 'anyOf', 'allOf', 'not', 'const', 'nullable', 'default', 'discriminator'],
  ...['patternProperties', 'unevaluatedProperties', 'additionalItems', 'prefixItems'],
  ...['exclusiveMinimum', 'exclusiveMaximum', 'example', 'readOnly', 'writeOnly'],
]

t.test('schemas use no keyword that generators disagree about', async (t) => {
  t.ok(allSchemas.length > 100, 'there are schemas')
  for (const [schema, at] of allSchemas) {
    const name = at.join('/')
    const found = FORBIDDEN.filter((keyword) => keyword in schema)
    if (schema['additionalProperties'] === false) found.push('additionalProperties: false')
    if (Array.isArray(schema['items'])) found.push('items: [...]')
    if (Array.isArray(schema['type'])) found.push('type: [...]')
    if (schema['type'] === 'null') found.push('type: null')
    if ('$ref' in schema && Object.keys(schema).length > 1) found.push('siblings of $ref')
    if (found.length > 0) t.same(found, [], name)
  }
})

t.test('every schema has a type', async (t) => {
  const untyped = allSchemas.filter(([schema]) => !('$ref' in schema) && !('type' in schema))
  t.same(
    untyped.map(([, at]) => at.join('/')),
    [],
  )
})

t.test('every object schema has a name', async (t) => {
  const inline = allSchemas.filter(([{ type }, at]) => type === 'object' && at[1] !== 'schemas')
  const nested = allSchemas.filter(([{ type }, at]) => type === 'object' && at.length > 3)
  t.same(
    [...inline, ...nested].map(([, at]) => at.join('/')),
    [],
  )
  t.ok(Object.keys(schemas).length > 20, 'there are named schemas')
  for (const [name, { type }] of Object.entries(schemas)) t.equal(type, 'object', name)
})

t.test('references lead to named schemas', async (t) => {
  for (const [{ $ref }, at] of walk(document)) {
    if (typeof $ref !== 'string') continue
    const name = /^#\/components\/schemas\/(\w+)$/.exec($ref)?.[1] ?? ''
    if (!Object.hasOwn(schemas, name)) t.fail(`${at.join('/')}: ${$ref}`)
  }
})

t.test('nothing is required that is not described', async (t) => {
  for (const [name, schema] of Object.entries(schemas)) {
    const properties = Object.keys((schema['properties'] ?? {}) as object)
    for (const member of (schema['required'] ?? []) as string[]) {
      t.ok(properties.includes(member), `${name}.${member}`)
    }
  }
})

t.test('members have names that are no trouble', async (t) => {
  for (const [schema, at] of allSchemas) {
    const properties = Object.keys((schema['properties'] ?? {}) as object)
    const bad = properties.filter((name) => !/^[a-z][A-Za-z0-9]*$/.test(name))
    const folded = new Set(properties.map((name) => name.toLowerCase()))
    if (bad.length > 0 || folded.size < properties.length) t.same(bad, [], at.join('/'))
  }
})

// ── Names ────────────────────────────────────────────────────────────────────────────────────────

/** Classes of languages and of the runtimes that generators bring. */
const RESERVED = [
  ...['Error', 'Exception', 'ApiError', 'ApiException', 'ApiResponse', 'ApiResult', 'Api'],
  ...['Client', 'ApiClient', 'HttpClient', 'Configuration', 'Config', 'Response', 'Request'],
  ...['Object', 'Map', 'Set', 'List', 'Array', 'Dict', 'Record', 'Date', 'DateTime', 'File'],
  ...['Any', 'Type', 'Model', 'String', 'Number', 'Integer', 'Boolean', 'Null', 'None', 'Enum'],
  ...['Function', 'Class', 'Promise', 'Future', 'Optional', 'Result', 'Option', 'Self', 'Union'],
  ...['Headers', 'Body', 'Blob', 'URL', 'Event', 'Symbol', 'Iterator', 'Thread', 'Context'],
]
const SUFFIXES = ['Request', 'Response', 'Params', 'Body', 'JSONBody', 'JSONRequestBody', 'Data']
SUFFIXES.push('Error', 'Errors', 'Result', 'Responses', 'Api')

const capital = (name: string) => name.charAt(0).toUpperCase() + name.slice(1)

t.test('names of schemas collide with nothing', async (t) => {
  const names = Object.keys(schemas)
  const generated = operations.flatMap(({ operationId }) =>
    SUFFIXES.map((suffix) => capital(operationId) + suffix),
  )
  const taken = new Set([...RESERVED, ...generated, ...operations.map(classOf)].map(fold))
  t.same(
    names.filter((name) => taken.has(fold(name))),
    [],
    'with classes',
  )
  t.same(
    names.filter((name) => name.startsWith('Model')),
    [],
    'with renamed classes',
  )
  t.same(
    names.filter((name) => names.includes(name.replace(/^New/, '')) && name.startsWith('New')),
    [],
    'with constructors',
  )
  t.equal(new Set(names.map(fold)).size, names.length, 'with each other')
  for (const name of names) t.match(name, /^([A-Z][a-z0-9]+)+$/, name)
})

const fold = (name: string) => name.toLowerCase()
/** The function of an operation, as Go and C# write it. */
const classOf = ({ operationId }: { operationId: string }) => capital(operationId)

t.test('operations are named by a verb and a noun', async (t) => {
  const ids = operations.map(({ operationId }) => operationId)
  t.equal(new Set(ids.map(fold)).size, ids.length, 'each by its own')
  const verbs = ['create', 'end', 'exchange', 'get', 'join', 'leave', 'list', 'look', 'open']
  verbs.push('poll', 'refresh', 'renew', 'send', 'stream', 'test')
  for (const id of ids) {
    const [, verb = '', noun = ''] = /^([a-z]+)([A-Z][A-Za-z]+)$/.exec(id) ?? []
    t.ok(verbs.includes(verb) && noun !== '', id)
  }
})

// ── Operations ───────────────────────────────────────────────────────────────────────────────────

t.test('operations have one tag, a summary and one success', async (t) => {
  const tags = document.tags.map(({ name }) => name)
  for (const { name, tags: own, summary, responses } of operations) {
    t.equal(own.length, 1, `${name} has one tag`)
    t.ok(tags.includes(own[0] as string), `${name} has a tag that is described`)
    t.type(summary, 'string', `${name} has a summary`)
    const success = Object.keys(responses).filter((status) => status.startsWith('2'))
    t.equal(success.length, 1, `${name} has one success`)
  }
})

t.test('errors are listed by number, all of one schema', async (t) => {
  const problem = { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } }
  for (const { name, responses } of operations) {
    for (const [status, { description, content }] of Object.entries(responses)) {
      t.match(status, /^[2-5]\d\d$/, `${name} ${status}`)
      t.ok(
        description !== '' && description !== 'Default Response',
        `${name} ${status} is described`,
      )
      if (!status.startsWith('2')) t.same(content, problem, `${name} ${status} is a problem`)
    }
  }
})

t.test('bodies have one type and a named schema', async (t) => {
  for (const { name, requestBody, responses } of operations) {
    const bodies = [requestBody, ...Object.values(responses)].filter((body) => body?.content)
    for (const body of bodies) {
      const [[type, media] = ['', undefined], ...others] = Object.entries(body?.content ?? {})
      t.equal(others.length, 0, `${name} has one type`)
      if (type === 'text/event-stream') t.same(media?.schema, { type: 'string' }, name)
      else {
        t.equal(type, 'application/json', name)
        t.match(media?.schema, { $ref: /^#\/components\/schemas\/\w+$/ }, `${name} has a name`)
      }
    }
    const empty = responses['204']
    if (empty) t.notOk(empty.content, `${name} has no body with 204`)
  }
})

t.test('GETs have no body', async (t) => {
  for (const { name, requestBody } of operations) {
    if (name.startsWith('GET')) t.notOk(requestBody, name)
  }
})

t.test('parameters are scalars, and no header is needed', async (t) => {
  for (const { name, parameters = [] } of operations) {
    for (const { name: parameter, in: place, required, schema } of parameters) {
      t.match(schema['type'], /^(string|integer|number|boolean)$/, `${name} ${parameter}`)
      if (place !== 'path') t.notOk(required, `${name} ${parameter} may be left out`)
      t.match(place, /^(path|query|header)$/, `${name} ${parameter}`)
    }
  }
})
