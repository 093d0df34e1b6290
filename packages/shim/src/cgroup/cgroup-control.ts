/** What is written into a cgroup's control files: limits and device rules. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { attachDeviceFilter } from '@holdfast/core'
import { hasCode, HoldfastError, SyscallError } from '@holdfast/errors'
import type { CgroupWrite, DeviceRule } from '@holdfast/plan'
import type { CgroupHandle } from '../launch/launched.ts'

type Cgroups = readonly Pick<CgroupHandle, 'as' | 'path'>[]

/** Sets limits, in order. `field` names the configuration's field in the error. */
export function applyCgroupWrites(cgroups: Cgroups, writes: readonly CgroupWrite[]): void {
  for (const write of writes) refuseBelowUsage(cgroups, write)
  for (let at = 0; at < writes.length; at++) {
    const write = writes[at]!
    const next = writes[at + 1]
    try {
      applyWrite(cgroups, write)
    } catch (error) {
      if (!write.orAfterNext || next === undefined || !hasCode(error, 'EINVAL')) throw error
      applyWrite(cgroups, next)
      applyWrite(cgroups, write)
      at++
    }
  }
}

function applyWrite(cgroups: Cgroups, { as, file, value, field, otherwise }: CgroupWrite): void {
  const path = pathOf(cgroups, as)
  try {
    writeControl(join(path, file), [value], field)
  } catch (error) {
    // A control that is missing: EACCES where cgroupfs took the open for the making of a file.
    if (otherwise === undefined || !hasCode(error, 'ENOENT', 'EACCES')) throw error
    if (otherwise !== null) writeControl(join(path, otherwise.file), [otherwise.value], field)
  }
}

function refuseBelowUsage(cgroups: Cgroups, { as, value, field, usage }: CgroupWrite): void {
  if (usage === undefined || value === 'max') return
  const used = readFileSync(join(pathOf(cgroups, as), usage), 'latin1').trim()
  if (BigInt(used) <= BigInt(value)) return
  throw new HoldfastError('HF_INVALID_CONFIG', `${field} is ${value}, and ${used} is in use`, {
    details: { path: field },
  })
}

function pathOf(cgroups: Cgroups, as: string): string {
  const directory = cgroups.find((each) => each.as === as)
  if (directory === undefined) throw new HoldfastError('HF_INTERNAL', `no cgroup directory is named ${as}`)
  return directory.path
}

export function applyDeviceRules(
  handles: readonly CgroupHandle[],
  rules: readonly DeviceRule[],
  version: 1 | 2,
): void {
  if (rules.length === 0) return
  if (version === 2) return attachDeviceFilter(handles[0]!.dirFd, rules)
  const directory = handles.find((handle) => handle.controllers.includes('devices'))
  if (directory === undefined) {
    throw new HoldfastError('HF_UNSUPPORTED', 'device rules need the devices cgroup, which is not mounted', {
      details: { field: 'linux.resources.devices' },
    })
  }
  // One write for each rule, in order; neighbours that go to the same file share its descriptor.
  for (let at = 0; at < rules.length;) {
    const { allow } = rules[at]!
    const end = rules.findIndex((rule, index) => index > at && rule.allow !== allow)
    const run = rules.slice(at, end < 0 ? undefined : end)
    const file = join(directory.path, allow ? 'devices.allow' : 'devices.deny')
    writeControl(file, run.map(ruleText), 'linux.resources.devices')
    at += run.length
  }
}

function ruleText({ type, major, minor, access }: DeviceRule): string {
  return type === 'a' ? 'a' : `${type} ${major}:${minor} ${access}`
}

/** Each value by a write(2) of its own, as control files want it. */
export function writeControl(path: string, values: readonly string[], field: string): void {
  let value = values[0]
  let fd: number | undefined
  try {
    fd = openSync(path, 'r+')
    for (value of values) writeSync(fd, value)
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error)) throw error
    const { errno, code, syscall } = error as NodeJS.ErrnoException
    throw new SyscallError({
      errno: -(errno ?? 0),
      code: code ?? 'EIO',
      syscall: syscall ?? 'write',
      path,
      step: `${field}: ${value}`,
      field,
      hint: controlHints[code ?? ''],
    })
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

const controlHints: Partial<Record<string, string>> = {
  ENOENT: 'The kernel, or this cgroup hierarchy, does not have this control; leave the limit out.',
  EACCES: 'The kernel, or this cgroup hierarchy, does not have this control; leave the limit out.',
  EINVAL: 'The value is outside of what the kernel takes here, or contradicts another limit.',
  ERANGE: 'The value is outside of what the kernel takes here.',
  EBUSY: 'The cgroup already uses more than this limit.',
}
