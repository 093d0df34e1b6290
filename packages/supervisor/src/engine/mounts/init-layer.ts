/**
 * What every container's root has between its image and its own layer: places for mounts, and Docker's files. Being a
 * layer above the image it replaces an image's symbolic links at /proc, /sys, /dev and /etc/hosts, so that nothing is
 * ever mounted through one.
 */
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const directories = ['', 'dev', 'dev/pts', 'dev/shm', 'etc', 'proc', 'sys']
const files = ['.dockerenv', 'dev/console', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf']

export function makeInitLayer(root: string): void {
  for (const name of directories) {
    mkdirSync(join(root, name), { recursive: true })
    chmodSync(join(root, name), 0o755)
  }
  for (const name of files) {
    const path = join(root, name)
    if (existsSync(path)) continue
    writeFileSync(path, '')
    chmodSync(path, 0o755)
  }
  const mtab = join(root, 'etc/mtab')
  if (!existsSync(mtab)) symlinkSync('/proc/mounts', mtab)
}
