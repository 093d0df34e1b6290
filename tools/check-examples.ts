// Checks that the TypeScript in each package's README compiles against what the package publishes, its declarations.
// `tsc -b` has to have run. `--keep` leaves the files in packages/*/.readme, to be run by hand: most need root.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const packages = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name))
const options = {
  noEmit: true,
  composite: false,
  declarationMap: false,
  customConditions: [],
  paths: { '@holdfast/*': ['./packages/*/dist/index.d.ts'] },
}
const config = join(root, 'tsconfig.readme.json')

try {
  const files = packages.flatMap(extract)
  writeFileSync(config, JSON.stringify({ extends: './tsconfig.base.json', compilerOptions: options, files }))
  const tsc = spawnSync('node_modules/.bin/tsc', ['-p', config], { cwd: root, stdio: 'inherit' })
  if (tsc.error) throw tsc.error
  process.exitCode = tsc.status ?? 1
} finally {
  rmSync(config, { force: true })
  if (!process.argv.includes('--keep')) packages.forEach(clear)
}

/** A program begins with an import. Its file lies in the package, whose dependencies it may name. */
function extract(dir: string): string[] {
  clear(dir)
  const text = readFileSync(join(dir, 'README.md'), 'utf8')
  return [...text.matchAll(/^```ts\n(import .*?)^```$/gms)].map(([, code = ''], index) => {
    mkdirSync(join(dir, '.readme'), { recursive: true })
    const file = join(dir, '.readme', `example-${index}.ts`)
    writeFileSync(file, code)
    return file
  })
}

function clear(dir: string): void {
  rmSync(join(dir, '.readme'), { recursive: true, force: true })
}
