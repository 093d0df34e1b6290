/** Stops and resumes every process of a cgroup: v2's cgroup.freeze, v1's freezer hierarchy. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HoldfastError } from '@holdfast/errors'
import type { CgroupHandle } from '../launch/launched.ts'
import { sleep } from '../sleep.ts'

type Cgroups = readonly Pick<CgroupHandle, 'path' | 'controllers'>[]

/** Freezes and returns once nothing runs any more. What can't be frozen in `timeoutMs` is thawed, HF_TIMEOUT. */
export async function pauseCgroup(cgroups: Cgroups, timeoutMs = 10_000): Promise<void> {
  const freezer = freezerOf(cgroups)
  const deadline = performance.now() + timeoutMs
  freezer.freeze()
  for (let waitMs = 1; !freezer.isFrozen(); waitMs = Math.min(waitMs * 2, 50)) {
    if (performance.now() > deadline) {
      freezer.thaw()
      throw new HoldfastError('HF_TIMEOUT', 'the container could not be paused in time', {
        hint: 'A process that sleeps uninterruptibly, on a dead network file system for instance, holds it up.',
      })
    }
    await sleep(waitMs)
    // v1: what forked while freezing is caught by freezing again.
    freezer.freeze()
  }
}

/** Thaws; returns at once. */
export function resumeCgroup(cgroups: Cgroups): void {
  freezerOf(cgroups).thaw()
}

/** Whether it is frozen, or about to be. */
export function isPaused(cgroups: Cgroups): boolean {
  return freezerOf(cgroups).isFreezing()
}

/** Whether these can be frozen at all: on v1 that takes a hierarchy of its own. */
export function hasFreezer(cgroups: Cgroups): boolean {
  return cgroups.length === 1 || cgroups.some((cgroup) => cgroup.controllers.includes('freezer'))
}

interface Freezer {
  freeze(): void
  thaw(): void
  isFrozen(): boolean
  isFreezing(): boolean
}

function freezerOf(cgroups: Cgroups): Freezer {
  const v1 = cgroups.find((cgroup) => cgroup.controllers.includes('freezer'))
  if (v1 !== undefined) return legacyFreezer(v1.path)
  const v2 = cgroups.length === 1 ? cgroups[0] : undefined
  if (v2 !== undefined) return unifiedFreezer(v2.path)
  throw new HoldfastError('HF_UNSUPPORTED', 'pausing needs the freezer cgroup, which is not mounted', {
    hint: 'Mount the freezer hierarchy, or boot with cgroup v2.',
  })
}

function legacyFreezer(path: string): Freezer {
  const file = join(path, 'freezer.state')
  const state = (): string => readFileSync(file, 'latin1').trim()
  return {
    freeze: () => writeFileSync(file, 'FROZEN', { flag: 'r+' }),
    thaw: () => writeFileSync(file, 'THAWED', { flag: 'r+' }),
    isFrozen: () => state() === 'FROZEN',
    isFreezing: () => state() !== 'THAWED',
  }
}

function unifiedFreezer(path: string): Freezer {
  const file = join(path, 'cgroup.freeze')
  return {
    freeze: () => writeFileSync(file, '1', { flag: 'r+' }),
    thaw: () => writeFileSync(file, '0', { flag: 'r+' }),
    isFrozen: () => /^frozen 1$/m.test(readFileSync(join(path, 'cgroup.events'), 'latin1')),
    isFreezing: () => readFileSync(file, 'latin1').trim() === '1',
  }
}
