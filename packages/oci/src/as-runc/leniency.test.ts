import { describe, expect, it } from 'vitest'
import { leniently, readLeniently } from './leniency.ts'

function read(linux: unknown, { ociVersion = '1.0.2', hasResctrl = false } = {}) {
  const warnings: string[] = []
  const json = leniently(
    { ociVersion, linux },
    { warn: (text) => warnings.push(text), hasResctrl: () => hasResctrl },
  )
  return { linux: (json as { linux: unknown }).linux, warnings }
}

describe('what runc takes', () => {
  it.each(['maskedPaths', 'readonlyPaths'])(
    '%s that are relative start at the root, empty ones are none',
    (field) => {
      expect(read({ [field]: ['proc/keys', '', '/proc/kcore', 7] })).toEqual({
        linux: { [field]: ['/proc/keys', '/proc/kcore', 7] },
        warnings: [
          `linux.${field}[0] is not absolute: it is taken from /`,
          `linux.${field}[1] is not absolute: it names nothing`,
        ],
      })
    },
  )

  it('devices that are relative start at the root', () => {
    const devices = [{ path: 'dev/fuse' }, { path: '/dev/null' }, { path: '' }, null]
    expect(read({ devices })).toEqual({
      linux: { devices: [{ path: '/dev/fuse' }, ...devices.slice(1)] },
      warnings: ['linux.devices[0].path is not absolute: it is taken from /'],
    })
  })

  it('a swappiness of -1, in whatever width, is none', () => {
    for (const swappiness of ['-1', '18446744073709551615']) {
      const text = `{"ociVersion":"1.0.2","root":{"path":"r"},"linux":{"resources":{"memory":{"swappiness":${swappiness}}}}}`
      expect(readLeniently(text).linux?.resources?.memory).toEqual({})
    }
    expect(read({ resources: { memory: { swappiness: 200 } } }).linux).toMatchObject({
      resources: { memory: { swappiness: 200 } },
    })
  })

  it('no processes at all are no limit, before version 1.3 of the specification', () => {
    const resources = { pids: { limit: 0 }, cpu: {} }
    expect(read({ resources }).linux).toEqual({ resources: { cpu: {} } })
    expect(read({ resources }, { ociVersion: '1.3.0' }).linux).toEqual({ resources })
    expect(read({ resources: { pids: { limit: 1 } } }).linux).toEqual({ resources: { pids: { limit: 1 } } })
  })

  it('a class of resctrl alone asks for nothing where there is no resctrl', () => {
    expect(read({ intelRdt: { closID: 'a', l3CacheSchema: '' } })).toEqual({
      linux: {},
      warnings: ['linux.intelRdt.closID has no effect: this machine has no resctrl'],
    })
    const kept = [{ closID: 'a', l3CacheSchema: 'L3:0=f' }, { closID: 'a/b' }, { closID: '..' }, {}]
    for (const intelRdt of kept) expect(read({ intelRdt })).toEqual({ linux: { intelRdt }, warnings: [] })
    expect(read({ intelRdt: { closID: 'a' } }, { hasResctrl: true }).linux).toEqual({
      intelRdt: { closID: 'a' },
    })
  })

  it('sections of other systems ask for nothing', () => {
    const warnings: string[] = []
    const surroundings = { warn: (text: string) => void warnings.push(text), hasResctrl: () => true }
    expect(leniently({ linux: {}, windows: { layerFolders: [] }, solaris: null }, surroundings)).toEqual({
      linux: {},
      solaris: null,
    })
    expect(warnings).toEqual(['windows has no effect: containers here are Linux ones'])
  })

  it('a later minor version asks for what is known of it', () => {
    const warnings: string[] = []
    const surroundings = { warn: (text: string) => void warnings.push(text), hasResctrl: () => true }
    for (const ociVersion of ['1.4.0', '1.12.3-rc.1+dev'])
      expect(leniently({ ociVersion }, surroundings)).toEqual({ ociVersion: '1.3.0' })
    expect(warnings[0]).toBe('ociVersion is 1.4.0: what it has that 1.3.0 has not is passed over')
    for (const ociVersion of ['1.3.9', '1.0.2-dev', '2.0.0', '0.9.0', '1.4', 'x', '', 7, undefined])
      expect(leniently({ ociVersion }, surroundings)).toEqual({ ociVersion })
    expect(warnings).toHaveLength(2)
  })

  it('maps without a user namespace map nothing', () => {
    const linux = { uidMappings: [{}], gidMappings: [], namespaces: [{ type: 'pid' }] }
    expect(read(linux)).toEqual({
      linux: { namespaces: [{ type: 'pid' }] },
      warnings: ['linux.uidMappings has no effect: there is no user namespace'],
    })
    const mapped = { uidMappings: [{}], namespaces: [{ type: 'user' }] }
    expect(read(mapped)).toEqual({ linux: mapped, warnings: [] })
  })

  it('an empty filter is none, and one with anything in it is read', () => {
    for (const seccomp of [{}, { architectures: [] }, { defaultAction: '', syscalls: null }])
      expect(read({ seccomp }).linux).toEqual({})
    const seccomp = { syscalls: [] }
    expect(read({ seccomp }).linux).toEqual({ seccomp })
  })

  it('the way to a cgroup may lead up, and no further than the top', () => {
    const cleaned = { '/a/../b': '/b', '../../a': 'a', '/..': '/', 'a:b:c..': 'a:b:c..', 'a//b': 'a//b' }
    for (const [cgroupsPath, path] of Object.entries(cleaned))
      expect(read({ cgroupsPath }).linux).toEqual({ cgroupsPath: path })
  })

  it('what is no configuration is left for the reader to refuse', () => {
    for (const json of [
      null,
      7,
      [],
      { linux: [] },
      { linux: { resources: 7, devices: {}, maskedPaths: 'x' } },
    ])
      expect(leniently(json, { warn: () => {}, hasResctrl: () => true })).toEqual(json)
  })
})
