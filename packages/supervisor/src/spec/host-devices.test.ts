import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { allCapabilities } from '@holdfast/plan'
import { resolveDevices } from './host-devices.ts'
import { readSpecHost } from './host-facts.ts'
import { hostConfig, refusal } from './input.test-support.ts'

const directory = mkdtempSync(join(tmpdir(), 'hf-devices-'))
afterAll(() => rmSync(directory, { recursive: true }))

const resolve = (PathOnHost: string, PathInContainer = '', CgroupPermissions = '') =>
  resolveDevices({ ...hostConfig, Devices: [{ PathOnHost, PathInContainer, CgroupPermissions }] })

describe('devices of the host', () => {
  it('are found with their numbers, under the name asked for', () => {
    expect(resolve('/dev/null', '/dev/nothing', 'r')).toEqual([
      { path: '/dev/nothing', type: 'c', major: 1, minor: 3, fileMode: 0o666, uid: 0, gid: 0, access: 'r' },
    ])
    expect(resolve('/dev/zero')[0]).toMatchObject({ path: '/dev/zero', minor: 5, access: 'rwm' })
  })

  it('are found through links', () => {
    const link = join(directory, 'link')
    symlinkSync('/dev/null', link)
    expect(resolve(link, '/dev/x')[0]).toMatchObject({ path: '/dev/x', major: 1, minor: 3 })
  })

  it('are all given to a privileged container, but for those that it has of its own', () => {
    const paths = resolveDevices({ ...hostConfig, Privileged: true }).map(({ path }) => path)
    expect(paths.every((path) => path.startsWith('/dev/'))).toBe(true)
    expect(paths.filter((path) => /^\/dev\/(null|tty|console|ptmx|pts\/.*|shm\/.*)$/.test(path))).toEqual([])
  })

  it('come one for each path, the last asked for', () => {
    const Devices = ['/dev/null', '/dev/zero'].map((PathOnHost) => ({
      PathOnHost,
      PathInContainer: '/dev/x',
      CgroupPermissions: 'r',
    }))
    expect(resolveDevices({ ...hostConfig, Devices }).map(({ minor }) => minor)).toEqual([5])
  })

  it('must be devices', () => {
    writeFileSync(join(directory, 'file'), '')
    for (const path of [join(directory, 'file'), directory, join(directory, 'missing'), 'dev/null'])
      expect(refusal(() => resolve(path))).toMatchObject({
        code: 'HF_BAD_REQUEST',
        field: 'HostConfig.Devices',
      })
    expect(refusal(() => resolve('/dev/null', '', 'rx')).message).toBe('invalid device mode: rx')
  })
})

describe('facts of the host', () => {
  it('are those of this machine', () => {
    const { architecture, capabilities, cpus, kernel } = readSpecHost()
    expect(['x86_64', 'aarch64']).toContain(architecture)
    expect(capabilities.every((name) => allCapabilities.includes(name))).toBe(true)
    expect(cpus).toBeGreaterThan(0)
    expect(kernel[0]).toBeGreaterThan(4)
  })
})
