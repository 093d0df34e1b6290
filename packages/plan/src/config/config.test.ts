import { describe, expect, it } from 'vitest'
import { parseConfig, parseConfigJson } from './config.ts'
import { configJson, refusal } from '../minimal.test-support.ts'

type Json = Record<string, unknown>

const pathOf = (json: unknown): unknown => {
  const { code, path } = refusal(() => parseConfig(json))
  expect(code).toBe('HF_INVALID_CONFIG')
  return path
}

describe('the top level', () => {
  it('takes a minimal configuration', () => {
    expect(parseConfig(configJson()).process?.args).toEqual(['/bin/true'])
  })

  it.each(['1.0.0', '1.0.2-dev', '1.1.0', '1.2.1', '1.3.0', '1.3.0+build'])(
    'takes ociVersion %s',
    (ociVersion) => {
      expect(parseConfig(configJson({ ociVersion })).ociVersion).toBe(ociVersion)
    },
  )

  it.each(['', '1.0', '0.9.0', '2.0.0', '1.4.0', 'v1.0.0', '1.0.0.0'])(
    'refuses ociVersion "%s"',
    (ociVersion) => {
      expect(pathOf(configJson({ ociVersion }))).toBe('ociVersion')
    },
  )

  it('ignores unknown properties, wherever they are', () => {
    const json = configJson({ unknown: { a: 1 } }, { alsoUnknown: true }, { unknown: [] })
    expect(parseConfig(json)).not.toHaveProperty('unknown')
  })

  it('takes null for absent, as other encoders write it', () => {
    expect(parseConfig(configJson({ hooks: null, mounts: null, annotations: null })).hooks).toBeUndefined()
  })

  it('works without a process', () => {
    expect(parseConfig(configJson({ process: undefined })).process).toBeUndefined()
  })

  it.each<[string, Json, string]>([
    ['no root', { root: undefined }, 'root'],
    ['an empty root path', { root: { path: '' } }, 'root.path'],
    ['a root that is a string', { root: '/' }, 'root'],
    ['annotations that are no strings', { annotations: { a: 1 } }, 'annotations.a'],
    ['an annotation without a key', { annotations: { '': 'x' } }, 'annotations'],
    ['a hostname that is a number', { hostname: 1 }, 'hostname'],
    ['a NUL in a string', { hostname: 'a\0b' }, 'hostname'],
  ])('refuses %s', (_, extra, path) => {
    expect(pathOf(configJson(extra))).toBe(path)
  })

  it.each([null, [], 'x', 1])('refuses %s for a configuration', (json) => {
    expect(pathOf(json)).toBe('')
  })

  it('says which character of a text is no JSON', () => {
    const { code, message } = refusal(() => parseConfigJson('{"ociVersion": }'))
    expect(code).toBe('HF_INVALID_CONFIG')
    expect(message).toContain('not JSON')
  })
})

describe('the process', () => {
  it.each<[string, Json, string]>([
    ['no arguments', { args: [] }, 'process.args'],
    ['a relative working directory', { cwd: 'tmp' }, 'process.cwd'],
    ['an unknown limit', { rlimits: [{ type: 'RLIMIT_TEST', soft: 1, hard: 1 }] }, 'process.rlimits[0].type'],
    [
      'a limit twice',
      {
        rlimits: [
          { type: 'RLIMIT_CORE', soft: 1, hard: 1 },
          { type: 'RLIMIT_CORE', soft: 2, hard: 2 },
        ],
      },
      'process.rlimits[1].type',
    ],
    [
      'a soft limit above the hard one',
      { rlimits: [{ type: 'RLIMIT_CORE', soft: 2, hard: 1 }] },
      'process.rlimits[0].soft',
    ],
    [
      'a negative limit',
      { rlimits: [{ type: 'RLIMIT_CORE', soft: -1, hard: 1 }] },
      'process.rlimits[0].soft',
    ],
    ['an uid that wraps to 0', { user: { uid: 2 ** 32 } }, 'process.user.uid'],
    ['a negative gid', { user: { uid: 0, gid: -1 } }, 'process.user.gid'],
    ['half an id', { user: { additionalGids: [1, 1.5] } }, 'process.user.additionalGids[1]'],
    ['an uid in words', { user: { uid: '0' } }, 'process.user.uid'],
    ['a wide umask', { user: { umask: 0o1000 } }, 'process.user.umask'],
    ['an oom score out of range', { oomScoreAdj: 1001 }, 'process.oomScoreAdj'],
    [
      'an I/O priority of 8',
      { ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 8 } },
      'process.ioPriority.priority',
    ],
    ['an unknown scheduler', { scheduler: { policy: 'SCHED_FAIR' } }, 'process.scheduler.policy'],
    ['environment that is no list', { env: { A: '1' } }, 'process.env'],
  ])('refuses %s', (_, process, path) => {
    expect(pathOf(configJson({}, {}, process))).toBe(path)
  })
})

describe('numbers', () => {
  const soft = (text: string): unknown =>
    parseConfigJson(
      `{"ociVersion":"1.0.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"],"rlimits":[{"type":"RLIMIT_CORE","soft":${text},"hard":18446744073709551615}]}}`,
    ).process?.rlimits?.[0]?.soft

  it('keeps an unsigned 64-bit number exact', () => {
    expect(soft('18446744073709551615')).toBe(2n ** 64n - 1n)
    expect(soft('9007199254740993')).toBe(9007199254740993n)
    expect(soft('1024')).toBe(1024)
  })

  it('reads what JSON.stringify makes of the limit as the limit', () => {
    expect(soft(JSON.stringify(2 ** 64))).toBe(2n ** 64n - 1n)
    const json = configJson({}, {}, { rlimits: [{ type: 'RLIMIT_CORE', soft: 2 ** 64, hard: 2 ** 64 }] })
    expect(parseConfig(json).process?.rlimits?.[0]?.hard).toBe(2n ** 64n - 1n)
  })

  it('refuses numbers beyond 64 bits', () => {
    expect(refusal(() => soft('28446744073709551615')).path).toBe('process.rlimits[0].soft')
  })
})

describe('linux', () => {
  it.each<[string, Json, string]>([
    ['a namespace twice', { namespaces: [{ type: 'pid' }, { type: 'pid' }] }, 'linux.namespaces[1].type'],
    ['an unknown namespace', { namespaces: [{ type: 'net' }] }, 'linux.namespaces[0].type'],
    [
      'a relative namespace path',
      { namespaces: [{ type: 'pid', path: 'proc/1' }] },
      'linux.namespaces[0].path',
    ],
    ['a device without numbers', { devices: [{ type: 'c', path: '/dev/x' }] }, 'linux.devices[0].major'],
    ['a device with a relative path', { devices: [{ type: 'p', path: 'x' }] }, 'linux.devices[0].path'],
    [
      'a device of type a',
      { devices: [{ type: 'a', path: '/dev/x', major: 1, minor: 1 }] },
      'linux.devices[0].type',
    ],
    ['an unknown clock', { timeOffsets: { realtime: { secs: 1 } } }, 'linux.timeOffsets.realtime'],
    [
      'a second of nanoseconds',
      { timeOffsets: { boottime: { nanosecs: 1e9 } } },
      'linux.timeOffsets.boottime.nanosecs',
    ],
    ['a relative masked path', { maskedPaths: ['proc'] }, 'linux.maskedPaths[0]'],
    ['personality flags', { personality: { domain: 'LINUX', flags: ['X'] } }, 'linux.personality.flags'],
    ['an unknown propagation', { rootfsPropagation: 'up' }, 'linux.rootfsPropagation'],
    [
      'an empty map entry',
      { uidMappings: [{ containerID: 0, hostID: 0, size: 0 }] },
      'linux.uidMappings[0].size',
    ],
    [
      'a map that wraps',
      { uidMappings: [{ containerID: 0, hostID: 2 ** 32 - 2, size: 2 }] },
      'linux.uidMappings[0].hostID',
    ],
    [
      'maps that overlap',
      {
        uidMappings: [
          { containerID: 0, hostID: 0, size: 10 },
          { containerID: 9, hostID: 20, size: 1 },
        ],
      },
      'linux.uidMappings[1].containerID',
    ],
    [
      'device access that is no letters',
      { resources: { devices: [{ allow: true, access: 'rx' }] } }, // rwa is passed over
      'linux.resources.devices[0].access',
    ],
    ['a weight that is text', { resources: { blockIO: { weight: '10' } } }, 'linux.resources.blockIO.weight'],
    ['a memory policy of unknown mode', { memoryPolicy: { mode: 'MPOL_X' } }, 'linux.memoryPolicy.mode'],
  ])('refuses %s', (_, linux, path) => {
    expect(pathOf(configJson({}, linux))).toBe(path)
  })

  it('refuses resctrl by name', () => {
    expect(refusal(() => parseConfig(configJson({}, { intelRdt: { closID: 'a' } })))).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path: 'linux.intelRdt',
    })
  })

  it.each(['vm', 'windows', 'solaris', 'zos'])(
    'refuses a section for %s, and takes an empty one',
    (section) => {
      expect(refusal(() => parseConfig(configJson({ [section]: { a: 1 } })))).toMatchObject({
        code: 'HF_UNSUPPORTED',
        path: section,
      })
      expect(parseConfig(configJson({ [section]: {} }))).toMatchObject(parseConfig(configJson({})))
    },
  )
})

describe('mounts', () => {
  it.each<[string, Json, string]>([
    ['no destination', { source: '/a' }, 'mounts[0].destination'],
    ['options in one string', { destination: '/a', options: 'ro' }, 'mounts[0].options'],
    [
      'half an id map',
      { destination: '/a', uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] },
      'mounts[0]',
    ],
  ])('refuses %s', (_, mount, path) => {
    expect(pathOf(configJson({ mounts: [mount] }))).toBe(path)
  })
})

describe('hooks', () => {
  it.each<[string, Json, string]>([
    ['a relative path', { prestart: [{ path: 'true' }] }, 'hooks.prestart[0].path'],
    ['a timeout of 0', { poststop: [{ path: '/bin/true', timeout: 0 }] }, 'hooks.poststop[0].timeout'],
  ])('refuses %s', (_, hooks, path) => {
    expect(pathOf(configJson({ hooks }))).toBe(path)
  })
})

describe('seccomp', () => {
  const allow = { defaultAction: 'SCMP_ACT_ALLOW' }
  it.each<[string, Json, string]>([
    ['no default', {}, 'linux.seccomp.defaultAction'],
    ['an unknown action', { defaultAction: 'SCMP_ACT_MAYBE' }, 'linux.seccomp.defaultAction'],
    ['an errno for an action without', { ...allow, defaultErrnoRet: 1 }, 'linux.seccomp.defaultErrnoRet'],
    [
      'an errno for KILL',
      { ...allow, syscalls: [{ names: ['a'], action: 'SCMP_ACT_KILL', errnoRet: 1 }] },
      'linux.seccomp.syscalls[0].errnoRet',
    ],
    [
      'no names',
      { ...allow, syscalls: [{ names: [], action: 'SCMP_ACT_KILL' }] },
      'linux.seccomp.syscalls[0].names',
    ],
    ['an unknown flag', { ...allow, flags: ['X'] }, 'linux.seccomp.flags[0]'],
    ['an unknown machine', { ...allow, architectures: ['x86_64'] }, 'linux.seccomp.architectures[0]'],
    [
      'a seventh argument',
      {
        ...allow,
        syscalls: [
          { names: ['a'], action: 'SCMP_ACT_KILL', args: [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }] },
        ],
      },
      'linux.seccomp.syscalls[0].args[0].index',
    ],
    ['metadata for no listener', { ...allow, listenerMetadata: 'x' }, 'linux.seccomp.listenerMetadata'],
    [
      'notifications for nobody',
      { ...allow, syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }] },
      'linux.seccomp.listenerPath',
    ],
    [
      'notifications of write',
      { ...allow, listenerPath: '/l', syscalls: [{ names: ['write'], action: 'SCMP_ACT_NOTIFY' }] },
      'linux.seccomp.syscalls[0].action',
    ],
  ])('refuses %s', (_, seccomp, path) => {
    expect(pathOf(configJson({}, { seccomp }))).toBe(path)
  })
})
