// An image with a static busybox and little else, as a tar for the Engine API.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

export function busyboxImage(scratch: string): Buffer {
  const rootfs = join(scratch, 'rootfs')
  mkdirSync(join(rootfs, 'bin'), { recursive: true })
  copyFileSync('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const applet of ['sh', 'true', 'sleep', 'yes', 'head'])
    symlinkSync('busybox', join(rootfs, 'bin', applet))
  return execFileSync('tar', ['--numeric-owner', '--owner=0', '--group=0', '-C', rootfs, '-c', '.'], {
    maxBuffer: 64 << 20,
  })
}
