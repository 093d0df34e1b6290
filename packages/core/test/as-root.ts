import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'vitest'

/** `describe` for what only root can do; without root it is shown as skipped. */
export const describeAsRoot = describe.skipIf(process.getuid!() !== 0)

/** A directory that is gone at the end of the scope. */
export function scratch(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'hf-core-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** The mounts that lie under a path, by their mount points. */
export function mountsUnder(path: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return lines.map((line) => line.split(' ')[4] ?? '').filter((mount) => mount.startsWith(path))
}
