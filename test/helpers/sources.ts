// The source files as the compiler reads them: what each imports (and whether only its types), how
// long its functions are, and whatever else a rule about style wants to know. Parsed, not searched:
// a word in a comment breaks no rule.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, sep } from 'node:path'
import ts from 'typescript'

const SRC = join(import.meta.dirname, '..', '..', 'src')

export interface Import {
  /** A path below src, or the name of a package. */
  target: string
  isPackage: boolean
  /** Gone when the program runs. */
  isType: boolean
}

export interface SourceFunction {
  name: string
  lines: number
}

export interface Source {
  /** Below src, with slashes: `core/mailbox.ts`. */
  path: string
  text: string
  lines: number
  imports: Import[]
  functions: SourceFunction[]
  hasDefaultExport: boolean
}

export function readSources(): Source[] {
  return readdirSync(SRC, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => readSource(file.slice(SRC.length + 1).replaceAll(sep, '/')))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

function readSource(path: string): Source {
  const text = readFileSync(join(SRC, path), 'utf8')
  return parseSource(path, text)
}

/** Also for texts that are no file, so that the rules can be tried. */
export function parseSource(path: string, text: string): Source {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true)
  const source: Source = {
    path,
    text,
    lines: text.trimEnd().split('\n').length,
    imports: [],
    functions: [],
    hasDefaultExport: false,
  }
  const visit = (node: ts.Node): void => {
    const found = importOf(node)
    if (found) source.imports.push(resolve(path, found.name, found.isType))
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      source.functions.push({ name: nameOf(node), lines: linesOf(file, node) })
    }
    source.hasDefaultExport ||= isDefaultExport(node)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return source
}

function importOf(node: ts.Node): { name: string; isType: boolean } | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    const clause = node.importClause
    const named = clause?.namedBindings
    const areTypes =
      clause?.name === undefined &&
      named !== undefined &&
      ts.isNamedImports(named) &&
      named.elements.length > 0 &&
      named.elements.every((element) => element.isTypeOnly)
    return { name: node.moduleSpecifier.text, isType: (clause?.isTypeOnly ?? false) || areTypes }
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
    const { text } = node.moduleSpecifier as ts.StringLiteral
    return { name: text, isType: node.isTypeOnly }
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [name] = node.arguments
    return { name: name && ts.isStringLiteral(name) ? name.text : '(computed)', isType: false }
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return { name: (node.argument.literal as ts.StringLiteral).text, isType: true }
  }
  return undefined
}

function resolve(path: string, name: string, isType: boolean): Import {
  if (name.startsWith('.')) {
    return { target: posix.join(posix.dirname(path), name), isPackage: false, isType }
  }
  const isScoped = name.startsWith('@')
  const target = name.startsWith('node:')
    ? name
    : name
        .split('/')
        .slice(0, isScoped ? 2 : 1)
        .join('/')
  return { target, isPackage: true, isType }
}

const linesOf = (file: ts.SourceFile, node: ts.Node) =>
  file.getLineAndCharacterOfPosition(node.end).line -
  file.getLineAndCharacterOfPosition(node.getStart()).line +
  1

function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name) return node.name.getText()
  const { parent } = node
  return ts.isVariableDeclaration(parent) ? parent.name.getText() : '(anonymous)'
}

function isDefaultExport(node: ts.Node): boolean {
  if (ts.isExportAssignment(node)) return true
  if (ts.isExportSpecifier(node)) return node.name.text === 'default'
  const modifiers = ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined
  return modifiers?.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) ?? false
}

/** `http/routes/x.ts` is in `http/` and in `http/routes/`, and is itself. */
export const isIn = (path: string, place: string): boolean =>
  place.endsWith('/') ? path.startsWith(place) : path === place || dirname(path) === place
