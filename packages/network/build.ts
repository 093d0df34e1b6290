// Makes the CNI plugin: one file of JavaScript, and the small program that starts it.
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

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
const flags = ['-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror']
execFileSync('cc', [...flags, '-o', program, join(root, 'front/holdfast-bridge.c')], { stdio: 'inherit' })
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
