// Helpers for the TypeBox schemas of this folder. The rule they keep: every object that crosses the
// wire is a named component of the OpenAPI document, referred to by name and never inlined, in the
// subset that generators of all languages understand (no unions, no null, no `const`, no defaults).
import {
  type ObjectOptions,
  type SchemaOptions,
  type Static,
  type TProperties,
  type TSchema,
  type TUnsafe,
  Type,
} from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'

/** All named schemas, in the order of their definition. */
export const components = new Map<string, TSchema>()

/** Defines a named object schema. Unknown members are allowed everywhere: new ones will come. */
export function named<P extends TProperties>(id: string, properties: P, options: ObjectOptions) {
  const schema = Type.Object(properties, { $id: id, additionalProperties: true, ...options })
  components.set(id, schema)
  return schema
}

/** A reference to a named schema that keeps its TypeScript type. */
export function ref<S extends TSchema>(schema: S): TUnsafe<Static<S>> {
  return Type.Unsafe<Static<S>>(Type.Ref(schema.$id as string))
}

/** A string with known values that stays an open string on the wire (new values will come). */
export function openString<T extends string>(values: readonly T[], description: string) {
  return Type.Unsafe<T>(
    Type.String({
      description: `${description} One of: ${values.join(', ')}.`,
    }),
  )
}

export const dateTime = (description: string) =>
  Type.String({ format: 'date-time', description: `${description} (RFC 3339, UTC)` })

export const messageId = (description: string) =>
  Type.Integer({ format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })

export const integer = (description: string, options: SchemaOptions = {}) =>
  Type.Integer({ format: 'int32', description, ...options })

/** Any JSON object: a payload, an `info`. */
export const JsonObject = Type.Unsafe<Record<string, unknown>>(
  Type.Object(
    {},
    {
      $id: 'JsonObject',
      additionalProperties: true,
      description: 'Any JSON object. Posthorn forwards it as it came.',
    },
  ),
)
components.set('JsonObject', JsonObject)

export interface SchemaError {
  /** JSON pointer (RFC 6901) of the member that is wrong. */
  pointer: string
  /** What is expected there. */
  detail: string
}

/** Compiles a schema into a check that lists what is wrong (at most 8 errors), `[]` when it fits. */
export function compileCheck<S extends TSchema>(schema: S): (value: unknown) => SchemaError[] {
  const compiled = TypeCompiler.Compile(
    schema,
    [...components.values()].filter((c) => c !== schema),
  )
  return (value) => {
    if (compiled.Check(value)) return []
    const errors = []
    for (const { path, message } of compiled.Errors(value)) {
      errors.push({ pointer: path, detail: message })
      if (errors.length === 8) break
    }
    return errors
  }
}
