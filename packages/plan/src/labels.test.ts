import { describe, expect, it } from 'vitest'
import { readProcess } from './config/process.ts'
import { explain } from './explain.ts'
import { configJson, hostV2, indexOf, ownUser, plan, refusal, stepsOf } from './minimal.test-support.ts'
import { planExec } from './plan-exec.ts'

const host = { ...hostV2, apparmor: true, selinux: true }
const process = { apparmorProfile: 'mine', selinuxLabel: 'system_u:system_r:container_t:s0:c1,c2' }
const mountLabel = 'system_u:object_r:container_file_t:s0:c1,c2'

describe('labels of security modules', () => {
  it.each([
    ['process.apparmorProfile', {}, { apparmorProfile: 'mine' }],
    ['process.selinuxLabel', {}, { selinuxLabel: 'x' }],
    ['linux.mountLabel', { mountLabel: 'x' }, {}],
  ])('are refused where the module is not at work: %s', (path, linux, own) => {
    const mounts = [{ destination: '/t', type: 'tmpfs' }]
    expect(refusal(() => plan(configJson({ mounts }, linux, own)))).toMatchObject({
      code: 'HF_UNSUPPORTED',
      path,
    })
  })

  it("are the program's and its keys', as they are executed or made", () => {
    const { steps } = plan(configJson({}, {}, process), { host })
    expect(stepsOf(steps, 'security-label')).toEqual([
      { do: 'security-label', attribute: 'keycreate', label: process.selinuxLabel },
      { do: 'security-label', attribute: 'apparmor/exec', label: 'exec mine' },
      { do: 'security-label', attribute: 'exec', label: process.selinuxLabel },
    ])
    expect(indexOf(steps, 'security-label') + 1).toBe(indexOf(steps, 'session-keyring'))
    expect(steps.findLastIndex((step) => step.do === 'security-label')).toBeLessThan(indexOf(steps, 'user'))
  })

  it('are those of an exec too', () => {
    const { namespaces } = plan(configJson())
    const options = { namespaces, pidfd: 'init', cgroupProcs: [], keyring: '_ses.c1', host }
    const { steps } = planExec(readProcess({ cwd: '/', args: ['id'], ...process }), options)
    expect(stepsOf(steps, 'security-label').map(({ attribute }) => attribute)).toEqual([
      'keycreate',
      'apparmor/exec',
      'exec',
    ])
  })

  it('of new file systems are an option, unless they show the kernel', () => {
    const mounts = ['tmpfs', 'proc', 'sysfs', 'mqueue'].map((type) => ({ destination: `/${type}`, type }))
    const labelled = (linux: object) =>
      explain(plan(configJson({ mounts }, { mountLabel, ...linux }), { host }))
        .split('\n')
        .filter((line) => line.includes(`context=${mountLabel}`))
    expect(labelled({})).toHaveLength(1)
    expect(labelled(ownUser)).toHaveLength(1)
  })
})
