// Makes one file of each long-lived program's compiled modules, beside them: `dist/service.bundle.js`,
// `dist/main-zygote.bundle.js`. They are started instead of the modules wherever they are there and not older: a
// hundred and fifty modules cost a process 20 MiB of V8's heap (docs/decisions/0043). Names and lines stay as they
// are, so that a stack trace can be read.
import { renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown, type Plugin } from 'rolldown'

const programs = ['supervisor/dist/service.js', 'shim/dist/main-zygote.js', 'oci/dist/main-planner.js']

/** What libraries load and, here, hardly ever use: loaded when something is taken out of it. */
const seldomUsed = new Set(['node:https', 'node:tls', 'node:zlib', 'node:worker_threads', 'node:querystring'])

const packages = join(dirname(fileURLToPath(import.meta.url)), '../packages')
for (const program of programs) await bundle(join(packages, program))

async function bundle(input: string): Promise<void> {
  const file = input.replace(/\.js$/, '.bundle.js')
  const build = await rolldown({
    input,
    platform: 'node',
    plugins: [builtinModules(), ownLocation(dirname(input))],
    treeshake: { propertyReadSideEffects: false },
  })
  const { output } = await build.generate({ format: 'esm', codeSplitting: false, comments: false })
  await build.close()
  writeFileSync(`${file}.new`, ascii(output[0].code))
  renameSync(`${file}.new`, file)
}

/**
 * Node's own modules by `process.getBuiltinModule`. An `import` of node:http would read every export to make a
 * namespace of them, and so load fetch, WebSocket and what belongs to them.
 */
function builtinModules(): Plugin {
  return {
    name: 'builtin-modules',
    resolveId(source, _importer, { kind }) {
      const name = source.startsWith('node:') ? source : `node:${source}`
      // The bundler's own runtime imports node:module.
      if (name === 'node:module' || !/^node:[a-z_/]+$/.test(name) || !process.getBuiltinModule(name))
        return null
      return { id: `\0${kind === 'require-call' ? 'require' : 'import'} ${name}`, moduleSideEffects: false }
    },
    load(id) {
      const [, kind, name = ''] = /^\0(require|import) (node:.*)$/.exec(id) ?? []
      if (kind === undefined) return null
      const code = kind === 'require' ? requiredModule(name) : importedModule(name)
      return { code, moduleType: 'js' }
    },
  }
}

function requiredModule(name: string): string {
  const loaded = `process.getBuiltinModule('${name}')`
  return seldomUsed.has(name)
    ? `module.exports = new Proxy({}, { get: (_, key) => ${loaded}[key] })`
    : `module.exports = ${loaded}`
}

function importedModule(name: string): string {
  const names = Object.keys(process.getBuiltinModule(name) ?? {}).filter((key) => /^[A-Za-z_]\w*$/.test(key))
  return [
    `const builtin = process.getBuiltinModule('${name}')`,
    'export default builtin',
    ...names.map((key) => `const $${key} = builtin.${key}\nexport { $${key} as ${key} }`),
  ].join('\n')
}

/** `import.meta.url` of each module is where the module lies, and not where the bundle does. */
function ownLocation(own: string): Plugin {
  return {
    name: 'own-location',
    transform(code, id) {
      const [, name, path] = /packages\/([a-z]+)\/dist\/(.+)$/.exec(id) ?? []
      if (name === undefined || path === undefined || !code.includes('import.meta.url')) return null
      // What the bundle itself lies in need not be found by its package's name.
      const isOwn = id === join(own, path)
      if (isOwn && dirname(path) === '.') return null
      const dist = isOwn ? 'import.meta.url' : `import.meta.resolve('@holdfast/${name}')`
      return code.replaceAll('import.meta.url', `new URL('${path}', ${dist}).href`)
    },
  }
}

/** With one other character in it V8 would keep two bytes for each. */
function ascii(code: string): string {
  return code.replaceAll(
    /[\u0080-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
