// Pages for people: the demo, and the documentation of problems. Files come from the build, read
// once; there is no path from a request to the file system.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { PROBLEMS_PATH } from '../plugins/problems.ts'
import { problemPage } from '../problem-page.ts'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
}

const POLICY =
  "default-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; " +
  "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

/** Beside the compiled code; in tests that run from source, beside that build. */
const FOLDERS = [
  '../../demo/static',
  '../../demo/browser',
  '../../../dist/demo/static',
  '../../../dist/demo/browser',
]

export function pageRoutes(app: FastifyInstance, basePath: string): void {
  const options = { config: { auth: 'none' as const }, schema: { hide: true } }
  app.get(PROBLEMS_PATH, options, async (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      .header('Content-Security-Policy', POLICY)
      .send(problemPage()),
  )
  const files = readFiles()
  const send = (path: string, name: string) =>
    app.get(path, options, async (_request, reply) =>
      reply
        .type(TYPES[extname(name)] ?? 'application/octet-stream')
        .header('Content-Security-Policy', POLICY)
        .header('Cache-Control', 'no-cache')
        .send(files.get(name)),
    )
  for (const name of files.keys()) send(`/demo/${name}`, name)
  if (files.has('index.html')) {
    send('/demo/', 'index.html')
    // The page's links are relative to its folder.
    app.get('/demo', options, async ({ url }, reply) => {
      const at = url.indexOf('?')
      return reply.redirect(`${basePath}/demo/${at === -1 ? '' : url.slice(at)}`, 308)
    })
  }
}

function readFiles(): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (const folder of FOLDERS.map((path) => join(import.meta.dirname, path))) {
    if (!existsSync(folder)) continue
    for (const name of readdirSync(folder)) {
      if (TYPES[extname(name)] !== undefined && !files.has(name)) {
        files.set(name, readFileSync(join(folder, name)))
      }
    }
  }
  return files
}
