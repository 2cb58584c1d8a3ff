// Reads a table of settings from flags and environment variables; a flag wins. All that is wrong is
// named at once, and nothing that a secret, a file or a URL holds is ever repeated.
import { readFileSync } from 'node:fs'

export interface Setting<T = unknown> {
  flag: string
  /** Of a file setting: the first names the file, the second holds the text itself. */
  variables: readonly string[]
  meaning: string
  /** What counts when nothing is given ... */
  default?: string
  /** ... or, where that is no plain text, what the help says about it. */
  unset?: string
  /** Is the text to be read from the file that is named? */
  isFile?: boolean
  /** A flag without a value? */
  isSwitch?: boolean
  /** @throws ConfigError whose problems say what the text must be, without naming the setting */
  parse: (text: string) => T
}

export type Settings = Record<string, Setting>

export type Values<S extends Settings> = {
  [K in keyof S]: ReturnType<S[K]['parse']> | (S[K] extends { default: string } ? never : undefined)
}

/** What was found. `given` also holds what was given wrongly and therefore has no value. */
export interface Reading<S extends Settings> {
  values: Values<S>
  given: Set<keyof S>
  problems: string[]
}

/** One or more settings are wrong: all of them, one line each. */
export class ConfigError extends Error {
  override name = 'ConfigError'
  readonly problems: string[]
  constructor(problems: string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** Reads any table of settings; `posthorn token` has its own. Without problems, values are whole. */
export function readSettings<S extends Settings>(
  settings: S,
  argv: string[],
  env: NodeJS.ProcessEnv,
  /** Every setting there is: its variables may be set without being read here. */
  all: Settings = settings,
): Reading<S> {
  const problems: string[] = []
  const flags = readFlags(settings, argv, problems)
  problems.push(...unknownVariables(env, all))
  const values: Record<string, unknown> = {}
  const given = new Set<keyof S>()
  for (const [name, setting] of Object.entries(settings)) {
    const sources = sourcesOf(setting, flags, env)
    if (sources.length > 0 || flags.has(setting.flag)) given.add(name)
    try {
      values[name] = readValue(setting, sources)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      problems.push(...error.problems)
    }
  }
  return { values: values as Values<S>, given, problems }
}

/** The flags that were given; one without its value has the value undefined. */
function readFlags(settings: Settings, argv: string[], problems: string[]) {
  const known = new Map(Object.values(settings).map((setting) => [setting.flag, setting]))
  const flags = new Map<string, string | undefined>()
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    if (!word.startsWith('-')) {
      problems.push(`unexpected argument ${JSON.stringify(word)}`)
      continue
    }
    const [flag, inline] = splitOnce(word, '=')
    const setting = known.get(flag)
    const mayTakeNext = !setting?.isSwitch && inline === undefined
    // An unknown flag takes the next word too, unseen: it may be a secret.
    const takesNext = mayTakeNext && argv[i + 1]?.startsWith('--') === false
    const value = takesNext ? argv[++i] : inline
    const problem = flagProblem(flag, setting, value, flags.has(flag))
    if (problem) problems.push(problem)
    if (!flags.has(flag)) flags.set(flag, setting?.isSwitch ? 'on' : value || undefined)
  }
  return flags
}

function flagProblem(flag: string, setting: Setting | undefined, value = '', isAgain = false) {
  if (!setting) return `unknown flag ${flag}`
  if (isAgain) return `${flag}: given twice`
  if (setting.isSwitch) return value && `${flag}: takes no value`
  return value ? '' : `${flag}: needs a value`
}

export function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function unknownVariables(env: NodeJS.ProcessEnv, all: Settings): string[] {
  const known = new Set<string>(Object.values(all).flatMap(({ variables }) => variables))
  return Object.keys(env)
    .filter((name) => name.startsWith('POSTHORN_') && env[name] !== '' && !known.has(name))
    .map((name) => `unknown variable ${name}`)
}

interface Source {
  /** The flag or the variable. */
  name: string
  text: string
  isFile: boolean
}

/** Where a setting's text stands: the flag alone, else the variables that are set. */
function sourcesOf(
  { flag, variables, isFile = false }: Setting,
  flags: Map<string, string | undefined>,
  env: NodeJS.ProcessEnv,
): Source[] {
  if (flags.has(flag)) {
    const text = flags.get(flag)
    return text === undefined ? [] : [{ name: flag, text, isFile }]
  }
  return variables.flatMap((name, index) => {
    const text = env[name]
    return text ? [{ name, text, isFile: isFile && index === 0 }] : []
  })
}

function readValue(setting: Setting, sources: Source[]): unknown {
  const [first, second] = sources
  if (!first) return setting.default === undefined ? undefined : setting.parse(setting.default)
  const text = readText(first)
  if (second && readText(second) !== text) {
    throw new ConfigError([`${first.name} and ${second.name} are both set and differ`])
  }
  return naming(first.name, () => setting.parse(text))
}

function readText({ name, text, isFile }: Source): string {
  return isFile ? naming(name, () => readTextFile(text)) : text
}

/** The path stays out of the problems: people put the secret itself where its file belongs. */
function readTextFile(path: string): string {
  const bytes = attemptRead(path)
  const text = attempt(() => new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  if (text === undefined) refuse('the file is not UTF-8 text; write random bytes as base64 or hex')
  const trimmed = text.replace(/[\r\n]+$/, '')
  return trimmed || refuse('the file is empty')
}

function attemptRead(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    return refuse(`the file cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Puts the name of the flag or the variable before what is wrong with its text. */
export function naming<T>(name: string, act: () => T): T {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new ConfigError(error.problems.map((problem) => `${name}: ${problem}`))
  }
}

/** The settings with their variables, meanings and defaults, as `--help` shows them. */
export function describeSettings(settings: Settings): string {
  return Object.values(settings)
    .map(({ flag, variables, meaning, ...rest }) => {
      const standard = rest.default ?? rest.unset
      const end = standard === undefined ? '' : ` (default: ${standard})`
      const head = `  ${flag.padEnd(22)}${variables.join(', ')}`
      return `${head.trimEnd()}\n      ${meaning}${end}`
    })
    .join('\n')
}

export function refuse(problem: string): never {
  throw new ConfigError([problem])
}

export function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
