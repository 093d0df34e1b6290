import { describe, expect, it } from 'vitest'
import { parseConfig } from './config/config.ts'
import { ociFeatures } from './features.ts'
import { configJson, plan } from './minimal.test-support.ts'
import { mountOptionNames, parseMountOptions } from './mounts/mount-options.ts'

const { linux } = ociFeatures

/** What reading a configuration with this in it throws, if anything. */
const reads = (extra: Record<string, unknown>, ofLinux: Record<string, unknown> = {}) =>
  parseConfig(configJson(extra, ofLinux))

describe('features', () => {
  it.each([ociFeatures.ociVersionMin, ociFeatures.ociVersionMax])('reads version %s', (ociVersion) => {
    expect(() => reads({ ociVersion })).not.toThrow()
  })

  it('does not read what is newer than the newest', () => {
    expect(() => reads({ ociVersion: '1.4.0' })).toThrow('ociVersion')
  })

  it('has every hook that it lists in a plan', () => {
    for (const kind of ociFeatures.hooks) {
      const { hooks, steps } = plan(configJson({ hooks: { [kind]: [{ path: '/bin/marked' }] } }))
      expect(JSON.stringify([hooks, steps]), kind).toContain('/bin/marked')
    }
  })

  it('knows every mount option that it lists, and hands none of them to the file system but its own flags', () => {
    const toFilesystem = mountOptionNames.filter((name) => {
      const type = /^r?(bind|idmap)$/.test(name) ? 'bind' : 'tmpfs'
      const options = name.endsWith('idmap') ? ['bind', name] : [name]
      return parseMountOptions(type, options, '').data.length > 0
    })
    expect(toFilesystem).toEqual(['async', 'dirsync', 'lazytime', 'nolazytime', 'sync'])
  })

  it('reads every namespace, seccomp word and memory policy that it lists', () => {
    const { actions, operators, archs, knownFlags } = linux.seccomp
    for (const type of linux.namespaces)
      expect(() => reads({}, { namespaces: [{ type }] }), type).not.toThrow()
    for (const action of actions.filter((each) => each !== 'SCMP_ACT_NOTIFY'))
      expect(() => reads({}, { seccomp: { defaultAction: action } }), action).not.toThrow()
    const syscalls = operators.map((op) => ({
      names: ['read'],
      action: 'SCMP_ACT_NOTIFY',
      args: [{ index: 0, value: 0, op }],
    }))
    const seccomp = { defaultAction: 'SCMP_ACT_ALLOW', listenerPath: '/run/agent', syscalls }
    expect(() =>
      reads({}, { seccomp: { ...seccomp, architectures: archs, flags: knownFlags } }),
    ).not.toThrow()
    for (const mode of linux.memoryPolicy.modes) {
      const memoryPolicy = { mode, nodes: '0', flags: linux.memoryPolicy.flags }
      expect(() => reads({}, { memoryPolicy }), mode).not.toThrow()
    }
  })

  it('is JSON with nothing unknown in it', () => {
    expect(JSON.parse(JSON.stringify(ociFeatures))).toEqual(ociFeatures)
    expect(JSON.stringify(ociFeatures)).not.toContain('null')
  })
})
