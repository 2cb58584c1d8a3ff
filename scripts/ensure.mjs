// Makes a fresh clone ready: installs what the lock file names and is missing, and builds `dist`
// when a source is newer than the last build. Needs nothing but Node and npm; about 0.1 s when
// everything is in order. Progress goes to standard error: standard output belongs to the program.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

const STAMP = 'dist/.built'

process.chdir(join(import.meta.dirname, '..'))
install()
if (process.argv.includes('build')) build(process.argv.includes('--force'))

function install() {
  if (isInstalled()) return
  console.error('posthorn: installing packages (once) …')
  // --include=dev: NODE_ENV=production would leave out the compiler that `npm start` needs.
  run('npm', ['ci', '--no-audit', '--no-fund', '--include=dev'])
}

function isInstalled() {
  const list = 'node_modules/.package-lock.json'
  if (!existsSync(list)) return false
  const wanted = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages
  const present = JSON.parse(readFileSync(list, 'utf8')).packages
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' ||
      entry.optional ||
      entry.devOptional ||
      present[path]?.version === entry.version,
  )
}

function build(force) {
  const newest = Math.max(...sources().map((file) => statSync(file).mtimeMs))
  if (!force && existsSync(STAMP) && statSync(STAMP).mtimeMs > newest) return
  console.error('posthorn: building …')
  // Beside the old build, then in its place: a server that runs from it is not pulled from under.
  const fresh = `.dist-${process.pid}`
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  run(process.execPath, [tsc, '--outDir', fresh])
  run(process.execPath, [tsc, '-p', 'src/demo', '--outDir', join(fresh, 'demo')])
  cpSync('src/demo/static', join(fresh, 'demo', 'static'), { recursive: true })
  writeFileSync(join(fresh, '.built'), '')
  // What changed while it was built is built next time.
  const stamp = new Date(Math.ceil(newest) + 1)
  utimesSync(join(fresh, '.built'), stamp, stamp)
  rmSync('dist', { recursive: true, force: true })
  renameSync(fresh, 'dist')
}

function sources() {
  const files = readdirSync('src', { recursive: true, withFileTypes: true })
  return [
    'package.json',
    'tsconfig.json',
    ...files.filter((f) => f.isFile()).map((f) => join(f.parentPath ?? f.path, f.name)),
  ]
}

function run(command, args) {
  const windows = process.platform === 'win32'
  // Standard output of the children goes to our standard error (2).
  const { status } = spawnSync(command, args, { stdio: ['ignore', 2, 2], shell: windows })
  if (status !== 0) process.exit(status ?? 1)
}
