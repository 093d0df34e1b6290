// Checks that the packages depend on each other only as one table allows, and that every manifest and tsconfig, and
// ARCHITECTURE.md, says the same. `--write` writes the tsconfig references.
import { readFileSync, readdirSync, writeFileSync, existsSync } from 'node:fs'
import { join, dirname, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

/** package → the packages it may import. `testkit` may be a devDependency of any of them. */
const layers: Record<string, string[]> = {
  errors: [],
  core: ['errors'],
  plan: ['errors'],
  protocol: ['errors'],
  resolver: ['errors'],
  shim: ['protocol', 'plan', 'resolver', 'core', 'errors'],
  oci: ['shim', 'plan', 'core', 'errors'],
  network: ['core', 'resolver', 'errors'],
  images: ['core', 'errors'],
  supervisor: ['protocol', 'plan', 'network', 'images', 'core', 'errors'],
  cli: ['plan', 'core', 'errors'],
  testkit: [],
}

/** package → the packages that it starts as programs: it depends on them, and may not import them. */
const programs: Record<string, string[]> = { supervisor: ['shim'], cli: ['supervisor'] }

/** Layers that may not touch Node at all: they are pure. */
const pure = new Set(['plan', 'protocol', 'resolver', 'errors'])

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const write = process.argv.includes('--write')
const problems: string[] = []

for (const name of readdirSync(join(root, 'packages'))) {
  const dir = join(root, 'packages', name)
  if (!existsSync(join(dir, 'package.json'))) continue
  const allowed = layers[name]
  if (!allowed) {
    problems.push(`packages/${name}: not in the table of tools/check-layers.ts`)
    continue
  }
  checkManifest(name, dir, allowed)
  checkImports(name, dir, allowed)
}
checkRootReferences()
checkArchitecture()

if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}

interface Manifest {
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

function checkManifest(name: string, dir: string, allowed: string[]): void {
  const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Manifest
  const own = (deps: Record<string, string> = {}) =>
    Object.keys(deps).flatMap((dep) => (dep.startsWith('@holdfast/') ? [dep.slice('@holdfast/'.length)] : []))
  for (const dep of own(manifest.dependencies)) {
    if (![...allowed, ...(programs[name] ?? [])].includes(dep))
      problems.push(`packages/${name}/package.json: may not depend on @holdfast/${dep}`)
  }
  const references = [...new Set([...own(manifest.dependencies), ...own(manifest.devDependencies)])]
    .sort()
    .map((dep) => ({ path: `../${dep}` }))
  expectFile(join(dir, 'tsconfig.json'), tsconfig(references))
}

function tsconfig(references: { path: string }[]): string {
  return (
    JSON.stringify(
      {
        extends: '../../tsconfig.base.json',
        compilerOptions: { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/.tsbuildinfo' },
        include: ['src'],
        references,
      },
      null,
      2,
    ) + '\n'
  )
}

function checkImports(name: string, dir: string, allowed: string[]): void {
  for (const file of sources(dir)) {
    const isTest = file.endsWith('.test.ts') || file.includes('/test/')
    const text = readFileSync(file, 'utf8')
    for (const [, specifier = ''] of text.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)/g)) {
      const where = relative(root, file)
      const own = /^@holdfast\/([^/]+)/.exec(specifier)?.[1]
      if (own && own !== name && !allowed.includes(own) && !(isTest && own === 'testkit')) {
        problems.push(`${where}: may not import @holdfast/${own}`)
      }
      if (pure.has(name) && !isTest && specifier.startsWith('node:')) {
        problems.push(`${where}: ${name} is pure and may not import ${specifier}`)
      }
      if (/^\.\.\/\.\.\/.*\/src\//.test(specifier) && !isTest) {
        problems.push(`${where}: reaches into another package by path: ${specifier}`)
      }
    }
  }
}

function* sources(dir: string): Generator<string> {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (['node_modules', 'dist', 'build'].includes(entry.name)) continue
    const path = join(dir, entry.name)
    if (entry.isDirectory()) yield* sources(path)
    else if (/\.m?ts$/.test(entry.name) && !entry.name.endsWith('.d.ts')) yield path
  }
}

function checkRootReferences(): void {
  const references = Object.keys(layers)
    .filter((name) => existsSync(join(root, 'packages', name, 'package.json')))
    .map((name) => ({ path: `packages/${name}` }))
  expectFile(join(root, 'tsconfig.json'), JSON.stringify({ files: [], references }, null, 2) + '\n')
}

function expectFile(path: string, text: string): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return
  if (write) writeFileSync(path, text)
  else problems.push(`${relative(root, path)}: differs from the table; run tools/check-layers.ts --write`)
}

/** Rows such as "| `core` | what it is | errors |"; what is in parentheses is for the reader. */
function checkArchitecture(): void {
  const text = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  const rows = [...text.matchAll(/^\| `(\w+)` \| .* \| ([^|]+) \|$/gm)]
  const written = Object.fromEntries(
    rows.map(([, name = '', imports = '']) => [
      name,
      imports
        .replace(/ \([^)]*\)/g, '')
        .split(', ')
        .filter((other) => other !== 'nothing'),
    ]),
  )
  for (const name of new Set([...Object.keys(layers), ...Object.keys(written)])) {
    if (layers[name]?.join() !== written[name]?.join())
      problems.push(`ARCHITECTURE.md: the row of ${name} is not what tools/check-layers.ts has`)
  }
}
