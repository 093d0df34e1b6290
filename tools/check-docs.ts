// Checks that every relative link in a document leads to a file, and that the index of decisions has each with its title; and that the
// tests that docs/security.md names are there.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const decisions = 'docs/decisions'
const problems = [...brokenLinks(), ...unlistedDecisions(), ...missingTests()]
if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}

function brokenLinks(): string[] {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
    cwd: root,
    encoding: 'utf8',
  })
  return files
    .trim()
    .split('\n')
    .filter((file) => existsSync(join(root, file)))
    .flatMap((file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/\]\(([^)\s#]+)[^)]*\)/g)]
        .map(([, target = '']) => target)
        .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(file), target)))
        .map((target) => `${file}: leads to ${target}, which is not there`),
    )
}

function unlistedDecisions(): string[] {
  const index = readFileSync(join(root, decisions, 'README.md'), 'utf8')
  return readdirSync(join(root, decisions))
    .filter((name) => /^\d{4}-/.test(name))
    .flatMap((name) => {
      const number = Number(name.slice(0, 4))
      const [heading = ''] = readFileSync(join(root, decisions, name), 'utf8').split('\n')
      const title = heading.startsWith(`# ${number}. `) ? heading.slice(`# ${number}. `.length) : undefined
      if (title === undefined) return [`${decisions}/${name}: begins with "${heading}", not "# ${number}. …"`]
      const line = `- [${number}](${name}): ${title}`
      return index.includes(`${line}\n`) ? [] : [`${decisions}/README.md: lacks the line "${line}"`]
    })
}

/** `core/src/argument` and `shim/test/oci`: a file or directory of packages/, of which the kind of test may be left out. */
function missingTests(): string[] {
  const file = 'docs/security.md'
  const names = readFileSync(join(root, file), 'utf8').matchAll(/`([a-z]+\/(?:src|test)\/[\w/.-]+)`/g)
  return [...names]
    .map(([, name = '']) => name)
    .filter((name) =>
      ['', '.test.ts', '.root.test.ts'].every((kind) => !existsSync(join(root, 'packages', name + kind))),
    )
    .map((name) => `${file}: names packages/${name}, which is not there`)
}
