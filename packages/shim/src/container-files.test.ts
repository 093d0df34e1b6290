import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readContainerFile } from './container-files.ts'

describe('a file of a container', () => {
  let path: string
  let root: number
  beforeAll(() => {
    path = mkdtempSync(join(tmpdir(), 'hf-'))
    root = openSync(path, 'r')
    writeFileSync(join(path, 'passwd'), 'root')
    symlinkSync('/passwd', join(path, 'link'))
    symlinkSync('loop', join(path, 'loop'))
    symlinkSync('/proc/self/root/etc/passwd', join(path, 'magic'))
    execFileSync('mkfifo', [join(path, 'fifo')])
    mkdirSync(join(path, 'dir'))
    writeFileSync(join(path, 'huge'), 'a:x:1:1::/:\nb:x:2:2::/:\n')
    truncateSync(join(path, 'huge'), 2 ** 32)
  })
  afterAll(() => {
    closeSync(root)
    rmSync(path, { recursive: true })
  })

  it('is read, links inside the root followed', () => {
    expect(readContainerFile(root, 'passwd')).toBe('root')
    expect(readContainerFile(root, 'link')).toBe('root')
  })

  it('of procfs is empty, which has files that are without end or wait for more', () => {
    const host = openSync('/', 'r')
    expect(readContainerFile(host, 'proc/self/status')).toBe('')
    expect(readContainerFile(host, 'proc/kmsg')).toBe('')
    closeSync(host)
  })

  it.each(['nosuch', 'passwd/x', 'loop', 'magic'])('is not there where %s leads nowhere', (name) => {
    expect(readContainerFile(root, name)).toBeNull()
  })

  it.each(['fifo', 'dir'])('counts as none, and is never waited for, where it is a %s', (name) => {
    expect(readContainerFile(root, name)).toBeNull()
  })

  it('is read up to the last whole line of its first MiB', () => {
    expect(readContainerFile(root, 'huge')).toBe('a:x:1:1::/:\nb:x:2:2::/:\n')
  })
})
