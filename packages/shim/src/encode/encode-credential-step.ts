/** Steps that say who the program is and what it may do: `credentials.c` of the launcher. */
import { compileSeccomp, type TableWriter } from '@holdfast/core'
import { capabilityMask, type SeccompProfile, type Step } from '@holdfast/plan'

const credentialSteps = ['bounding-set', 'user', 'no-new-privileges', 'capabilities', 'seccomp'] as const

type CredentialStep = Extract<Step, { do: (typeof credentialSteps)[number] }>

export function isCredentialStep(step: Step): step is CredentialStep {
  return (credentialSteps as readonly string[]).includes(step.do)
}

export function encodeCredentialStep(table: TableWriter, step: CredentialStep): void {
  switch (step.do) {
    case 'bounding-set':
      return void table.step('bounding_set').u64(capabilityMask(step.keep))
    case 'user':
      table.step('user').u32(step.uid).u32(step.gid)
      return void table.bytes(groupList(step.groups)).flag(step.rootless === true)
    case 'no-new-privileges':
      return void table.step('no_new_privileges')
    case 'capabilities':
      table.step('capabilities').u64(capabilityMask(step.effective)).u64(capabilityMask(step.permitted))
      return void table.u64(capabilityMask(step.inheritable)).u64(capabilityMask(step.ambient))
    case 'seccomp':
      return encodeSeccomp(table, step.profile)
    default:
      return step satisfies never
  }
}

function groupList(groups: readonly number[]): Buffer {
  return Buffer.from(Uint32Array.from(groups).buffer)
}

const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8

function encodeSeccomp(table: TableWriter, profile: SeccompProfile): void {
  const { program, flags, listener } = compileSeccomp(profile)
  table
    .step('seccomp')
    .u32(listener ? flags | SECCOMP_FILTER_FLAG_NEW_LISTENER : flags)
    .bytes(program)
}
