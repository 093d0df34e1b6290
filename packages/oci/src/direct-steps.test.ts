import { describe, expect, it } from 'vitest'
import type { Step } from '@holdfast/plan'
import { directSteps } from './direct-steps.ts'

const plan: Step[] = [
  { do: 'join-cgroups', procs: ['cgroup:procs', 'cgroup:pids:procs'] },
  { do: 'session-keyring', name: '_ses.x' },
  { do: 'door' },
  { do: 'exec', args: ['true'], env: ['A=1', 'PATH=/first', 'PATH=/bin'], init: false },
]
const usual = { bornIn: undefined, listen: true, keyring: true, preserve: 0 }

describe('the steps without a shim', () => {
  it('look the program up along its own PATH before they wait for start', () => {
    expect(directSteps(plan, usual).slice(2, 4)).toEqual([
      { do: 'find-program', program: 'true', path: '/bin' },
      { do: 'door', listen: 'door' },
    ])
  })

  it('hand the caller’s descriptors on at the very last', () => {
    expect(directSteps(plan, { ...usual, preserve: 2 }).slice(-2)).toEqual([
      { do: 'preserve', fds: ['preserved:0', 'preserved:1'] },
      plan.at(-1),
    ])
  })

  it('keep the caller’s keyring where asked to, and join no cgroup that they are born in', () => {
    expect(directSteps(plan, { ...usual, keyring: false, bornIn: 'cgroup' })[0]).toEqual({
      do: 'join-cgroups',
      procs: ['cgroup:pids:procs'],
    })
    expect(directSteps(plan, { ...usual, keyring: false })).not.toContainEqual(plan[1])
  })

  it('wait without a program where the configuration has none', () => {
    expect(directSteps([{ do: 'door' }], usual)).toEqual([{ do: 'door', listen: 'door' }])
  })
})
