import { describe, expect, it } from 'vitest'
import { defaultCapabilities } from '../capabilities.ts'
import { refusal } from '../input.test-support.ts'
import { allowedCalls, machineCalls } from './allowed-calls.ts'
import { capabilityCalls } from './capability-calls.ts'
import { defaultSeccomp } from './default-profile.ts'
import { resolveProfile } from './docker-profile.ts'
import type { SeccompProfile } from '@holdfast/plan'

/** What the profile says to a call with this first argument. */
function verdict(
  { syscalls = [], defaultAction, defaultErrnoRet }: SeccompProfile,
  name: string,
  first = 0n,
): string {
  const rule = syscalls.find(
    ({ names, args }) =>
      names.includes(name) &&
      (args ?? []).every(({ op, value, valueTwo }) =>
        op === 'SCMP_CMP_EQ' ? first === BigInt(value) : (first & BigInt(value)) === BigInt(valueTwo ?? 0),
      ),
  )
  const { action, errnoRet } = rule ?? { action: defaultAction, errnoRet: defaultErrnoRet }
  return action === 'SCMP_ACT_ERRNO' ? `errno ${errnoRet}` : action
}

const profile = defaultSeccomp(new Set(defaultCapabilities), 'x86_64')
const allowed = 'SCMP_ACT_ALLOW'

describe('the default seccomp profile', () => {
  it.each(['read', 'openat', 'execve', 'futex', 'clock_gettime', 'chroot', 'arch_prctl', 'getpgrp'])(
    'allows %s',
    (name) => {
      expect(verdict(profile, name)).toBe(allowed)
    },
  )

  it.each([
    'mount',
    'unshare',
    'setns',
    'bpf',
    'kexec_load',
    'init_module',
    'reboot',
    'keyctl',
    'add_key',
    'userfaultfd',
    'open_by_handle_at',
    'swapon',
    'pivot_root',
  ])('refuses %s', (name) => expect(verdict(profile, name)).toBe('errno 1'))

  it.each(['clone3', 'io_uring_setup', 'listns'])('answers %s as an old kernel would', (name) => {
    expect(verdict(profile, name)).toBe('errno 38')
  })

  it.each([0x80n, 0x20000n, 0x2000000n, 0x4000000n, 0x8000000n, 0x10000000n, 0x20000000n, 0x40000000n])(
    'lets clone make no namespace: %i',
    (flag) => {
      expect(verdict(profile, 'clone', flag | 17n)).toBe('errno 1')
      expect(verdict(profile, 'clone', 0x1200011n)).toBe(allowed) // what fork() is
    },
  )

  it('opens the usual sockets, and no others however the register is filled', () => {
    for (const family of [1n, 2n, 10n, 16n, 17n]) expect(verdict(profile, 'socket', family)).toBe(allowed)
    for (const family of [38n, 40n, (1n << 32n) | 38n, (1n << 32n) | 40n, 2n ** 64n - 1n])
      expect(verdict(profile, 'socket', family)).toBe('errno 1')
  })

  it('turns no protection off by personality', () => {
    expect(verdict(profile, 'personality', 0n)).toBe(allowed)
    for (const flag of [0x40000n, 0x400000n, 0x100000n])
      expect(verdict(profile, 'personality', flag)).toBe('errno 1')
  })

  it("is for the machine's own ABI alone", () => {
    expect(profile.architectures).toEqual(['SCMP_ARCH_X86_64'])
    const arm = defaultSeccomp(new Set(), 'aarch64')
    expect(arm.architectures).toEqual(['SCMP_ARCH_AARCH64'])
    expect(verdict(arm, 'modify_ldt')).toBe('errno 1')
    expect(verdict(arm, 'sync_file_range2')).toBe(allowed)
  })

  it.each(Object.entries(capabilityCalls))('adds with %s what goes with it', (capability, { calls }) => {
    const without = defaultSeccomp(new Set(), 'x86_64')
    const withIt = defaultSeccomp(new Set([capability]), 'x86_64')
    for (const name of calls) {
      expect(verdict(withIt, name, 0x10000000n)).toBe(allowed)
      expect(verdict(without, name, 0x10000000n)).not.toBe(allowed)
    }
  })

  it('gives a reason for every group, and names no call twice', () => {
    const groups = [...allowedCalls, machineCalls.x86_64, machineCalls.aarch64]
    for (const { why, theme } of groups) expect([theme, why].every((text) => text.length > 2)).toBe(true)
    const names = groups.flatMap(({ calls }) => calls)
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
  })

  it('is one frozen object for equal containers', () => {
    expect(defaultSeccomp(new Set(defaultCapabilities), 'x86_64')).toBe(profile)
    expect(() => profile.syscalls?.push({ names: ['mount'], action: allowed })).toThrow(TypeError)
  })
})

describe("a profile in Docker's format", () => {
  const resolve = (rule: object, capabilities: string[] = []) =>
    resolveProfile(
      { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['x'], action: allowed, ...rule }] },
      new Set(capabilities),
      'x86_64',
      [6, 1],
    ).syscalls

  it.each([
    [{}, 1],
    [{ includes: { caps: ['CAP_KILL'] } }, 1],
    [{ includes: { caps: ['CAP_KILL', 'CAP_BPF'] } }, 0],
    [{ includes: { arches: ['amd64', 'x32'] } }, 1],
    [{ includes: { arches: ['arm64'] } }, 0],
    [{ includes: { minKernel: '6.1' } }, 1],
    [{ includes: { minKernel: '6.2' } }, 0],
    [{ includes: { minKernel: '5.19' } }, 1],
    [{ excludes: { caps: ['CAP_KILL'] } }, 0],
    [{ excludes: { arches: ['s390x'] } }, 1],
    [{ excludes: { arches: ['amd64'] } }, 0],
  ])('decides its conditions: %j', (rule, count) => {
    expect(resolve(rule, ['CAP_KILL'])).toHaveLength(count)
  })

  it("takes the machine's entry of the architecture map", () => {
    const archMap = [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: null },
    ]
    const of = (architecture: 'x86_64' | 'aarch64') =>
      resolveProfile({ archMap }, new Set(), architecture, [6, 1]).architectures
    expect(of('x86_64')).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'])
    expect(of('aarch64')).toEqual(['SCMP_ARCH_AARCH64'])
  })

  it.each([
    null,
    'x',
    { archMap: [{ architecture: 'a' }], architectures: ['b'] },
    { syscalls: 5 },
    { syscalls: [{ name: 'a', names: ['b'] }] },
  ])('refuses %j', (json) => {
    expect(refusal(() => resolveProfile(json, new Set(), 'x86_64', [6, 1]))).toMatchObject({
      code: 'HF_BAD_REQUEST',
      field: 'HostConfig.SecurityOpt',
    })
  })
})
