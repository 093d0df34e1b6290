// Makes the CNI plugin: one file of JavaScript, and the small program in front of it.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { supportedVersions } from './src/cni/version.ts'

const root = import.meta.dirname
const script = join(root, 'dist/holdfast-bridge.cjs')
const prebuilds = join(root, 'prebuilds', `${process.platform}-${process.arch}`)

// Loading a hundred modules takes longer than starting Node: it becomes one.
await build({
  entryPoints: [join(root, 'src/cni/main.ts')],
  outfile: script,
  bundle: true,
  minify: true,
  keepNames: false,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  conditions: ['@holdfast/source'],
  // The addon lies in core's package, wherever that is installed.
  banner: { js: "#!/usr/bin/env node\nvar coreFile=require.resolve('@holdfast/core');" },
  define: { 'import.meta.url': 'coreFile' },
  logLevel: 'warning',
})
chmodSync(script, 0o755)

mkdirSync(prebuilds, { recursive: true })
const program = join(prebuilds, 'holdfast-bridge')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
const shared = join(root, '../core/front')
const sources = [shared, join(root, 'front')].flatMap((directory) =>
  readdirSync(directory).flatMap((name) => (name.endsWith('.c') ? [join(directory, name)] : [])),
)
const versions = supportedVersions.map((each) => `\\"${each}\\"`).join(',')
const defines = [
  '-D_GNU_SOURCE',
  `-DVERSION="${version}"`,
  `-DSUPPORTED_VERSIONS="${versions}"`,
  `-I${shared}`,
]
const flags = ['-std=gnu17', '-static', '-O2', '-s', '-Wall', '-Wextra', '-Werror', ...defines]
execFileSync('cc', [...flags, '-o', `${program}.new`, ...sources], { stdio: 'inherit' })
renameSync(`${program}.new`, program) // it may be running
link(
  join(root, 'dist/holdfast-bridge'),
  join('..', 'prebuilds', `${process.platform}-${process.arch}`, 'holdfast-bridge'),
)
// In a checkout the Node that built it runs it. Packages are published without links.
link(join(prebuilds, 'node'), process.execPath)

function link(path: string, target: string): void {
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { force: true })
  symlinkSync(target, path)
}
