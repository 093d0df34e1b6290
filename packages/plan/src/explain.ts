import { call, quote } from './describe-parts.ts'
import { describeStep } from './describe-step.ts'
import type { CgroupWrite, ContainerPlan, DeviceRule, ExecPlan, Preparation, ShimHook } from './plan.ts'
import type { IdMapping } from './step.ts'

/** The plan as text like strace's, one line for each thing that will happen, in order. */
export function explain(plan: ContainerPlan | ExecPlan): string {
  const lines = 'preparations' in plan ? containerLines(plan) : plan.steps.map(describeStep)
  const warnings = (plan.warnings ?? []).map((warning) => `# ${quote(warning).slice(1, -1)}`) // no control characters
  return `${[...warnings, ...lines].join('\n')}\n`
}

function containerLines({ preparations, steps, hooks, netDevices }: ContainerPlan): string[] {
  const born = steps.findIndex((step) => step.do === 'clone')
  const lines = (from: number, to: number): string[] =>
    steps
      .slice(from, to)
      .flatMap((step) => [
        describeStep(step),
        ...(step.do === 'sync'
          ? [
              ...netDevices.map(({ from, to }) => `  ${call('move-net-device', quote(from), quote(to))}`),
              ...hooks.createRuntime.map((hook) => `  ${shimHook('createRuntime', hook)}`),
            ]
          : []),
      ])
  return [
    '# prepared by the shim',
    ...preparations.flatMap(describePreparation),
    "# stage one: with the host's rights",
    ...lines(0, born + 1),
    "# stage two: in the container's init",
    ...lines(born + 1, steps.length),
    ...hooks.poststart.map((hook) => shimHook('poststart', hook)),
    ...hooks.poststop.map((hook) => shimHook('poststop', hook)),
  ]
}

function describePreparation(preparation: Preparation): string[] {
  switch (preparation.do) {
    case 'make-userns':
      return [
        `${call('make-userns', `uid=${idMap(preparation.uid)}`, `gid=${idMap(preparation.gid)}`)} = ${preparation.as}`,
      ]
    case 'open-namespace':
      return [`${call('open', quote(preparation.path), preparation.namespace)} = ${preparation.as}`]
    case 'make-cgroup':
      return [
        ...preparation.directories.map(({ as, path }) => `${call('make-cgroup', quote(path))} = ${as}`),
        ...(preparation.enable.length > 0 ? [call('enable-controllers', ...preparation.enable)] : []),
        ...preparation.writes.map(cgroupWrite),
        ...preparation.devices.map(deviceRule),
        ...(preparation.owner === undefined ? [] : [call('delegate', `owner=${preparation.owner}`)]),
      ]
  }
}

/** `0→1879048192×65536`: inside, outside, how many. */
function idMap(mappings: IdMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID}→${hostID}×${size}`).join('+')
}

function cgroupWrite({ as, file, value, otherwise, usage }: CgroupWrite): string {
  const write = call('write', `${as}/${file}`, quote(value), usage && `if above ${as}/${usage}`)
  if (otherwise === undefined) return write
  return `${write} or ${otherwise ? call('write', `${as}/${otherwise.file}`, quote(otherwise.value)) : 'nothing'}`
}

function deviceRule({ allow, type, major, minor, access }: DeviceRule): string {
  return call(allow ? 'allow-device' : 'deny-device', `${type} ${major}:${minor} ${access}`)
}

function shimHook(kind: string, { args }: ShimHook): string {
  return call('hook', kind, args.map(quote).join(' '))
}
