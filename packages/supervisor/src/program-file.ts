import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The file to start for the compiled module `module`: the bundle that `tools/bundle.ts` made of it, or the module itself
 * where there is none, or where something was compiled since. In a published package nothing is.
 */
export function programFile(module: string): string {
  const bundle = module.replace(/\.js$/, '.bundle.js')
  const made = modified(bundle)
  return made !== undefined && compiled().every((time) => time <= made) ? bundle : module
}

/** When the compiler last went over this package and those that it depends on. */
function compiled(): number[] {
  const own = fileURLToPath(new URL('../package.json', import.meta.url))
  const { dependencies } = JSON.parse(readFileSync(own, 'utf8')) as { dependencies: Record<string, string> }
  const packages = Object.keys(dependencies).filter((name) => name.startsWith('@holdfast/'))
  const outputs = [
    ...packages.map((name) => fileURLToPath(import.meta.resolve(name))),
    join(dirname(own), 'dist/-'),
  ]
  return outputs.flatMap((file) => modified(join(dirname(file), '.tsbuildinfo')) ?? [])
}

function modified(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs
}
