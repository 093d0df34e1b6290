/** AppArmor profiles and SELinux labels: of the program, of the keys and of the file systems made for it. */
import { unsupported } from './config/unsupported.ts'
import type { OciProcess } from './config/process.ts'
import type { Container } from './container.ts'
import type { HostFacts } from './plan.ts'
import type { Step } from './step.ts'

/** While root: what the program is labelled with as it is executed. Refused where the module isn't at work. */
export function programLabels(process: OciProcess, host: HostFacts): Step[] {
  const { apparmorProfile: profile, selinuxLabel: label } = process
  if (profile && !host.apparmor) throw absent('process.apparmorProfile', 'AppArmor')
  if (label && !host.selinux) throw absent('process.selinuxLabel', 'SELinux')
  const steps: Step[] = []
  if (profile)
    steps.push({
      do: 'security-label',
      attribute: 'apparmor/exec',
      label: `exec ${profile}`,
      field: 'process.apparmorProfile',
    })
  if (label) steps.push({ do: 'security-label', attribute: 'exec', label, field: 'process.selinuxLabel' })
  return steps
}

/** Before keys are made: they are the program's to use. The kernel forgets it at the next execution. */
export function keyLabel(process: OciProcess | undefined): Step[] {
  const label = process?.selinuxLabel
  if (!label) return []
  return [{ do: 'security-label', attribute: 'keycreate', label, field: 'process.selinuxLabel' }]
}

/** File systems that show the kernel, or whose files are labelled one by one: SELinux takes no context for them. */
const withoutContext = new Set(['proc', 'sysfs', 'mqueue', 'cgroup', 'cgroup2'])

/** The option that labels everything in a new file system. */
export function contextOption({ config, options }: Container, type: string): [key: string, value: string][] {
  const label = config.linux?.mountLabel
  if (!label) return []
  if (!options.host.selinux) throw absent('linux.mountLabel', 'SELinux')
  return withoutContext.has(type) ? [] : [['context', label]]
}

function absent(field: string, module: string): Error {
  return unsupported(field, `${module} is not at work on this host`, 'Leave the field out.')
}
