/** A mount of type `cgroup`: the unified tree on v2, a tmpfs with one directory per hierarchy on v1. */
import { invalid } from '../config/reader.ts'
import { addFilesystem, type MountSteps } from './mount-steps.ts'
import type { Container } from '../container.ts'
import type { CgroupHierarchy } from '../plan.ts'
import type { MountOptions } from './mount-options.ts'

export function cgroupMount(
  container: Container,
  target: string,
  options: MountOptions,
  steps: MountSteps,
): void {
  const { set: attributes } = options.attributes
  const { cgroup } = container.options.host
  steps.targets.push({ path: target, kind: 'directory', bind: false })
  if (cgroup.version === 2) {
    const { rootless, namespaces } = container
    // From inside a user namespace the kernel mounts it for a cgroup namespace that this one owns.
    if (rootless && namespaces.origin.cgroup === 'host')
      return bindOwn(container, target, cgroup.mount, options, steps)
    addFilesystem(container, `cgroup:${steps.targets.length}`, steps, {
      type: 'cgroup2',
      source: 'cgroup',
      target,
      attributes,
      options: options.data,
      ...(options.propagation && { propagation: options.propagation }),
    })
    return
  }
  if (options.data.length > 0)
    throw invalid('mounts', 'has options for a cgroup mount that cgroup v1 does not know')
  const { readonly, ...ofTmpfs } = attributes
  steps.attached.push({
    do: 'mount',
    type: 'tmpfs',
    source: 'tmpfs',
    target,
    attributes: ofTmpfs,
    options: [['mode', '755']],
    ...(options.propagation && { propagation: options.propagation }),
  })
  for (const hierarchy of cgroup.hierarchies) mountHierarchy(container, target, hierarchy, options, steps)
  // At once: a later mount may hide it.
  const onceFilled = { set: { readonly: true }, clear: [] }
  if (readonly) steps.attached.push({ do: 'remount', target, attributes: onceFilled })
}

function bindOwn(
  container: Container,
  target: string,
  mount: string,
  options: MountOptions,
  steps: MountSteps,
): void {
  const as = `cgroup:${steps.targets.length}`
  const attributes = { set: options.attributes.set, clear: [] }
  steps.staged.push({
    do: 'stage-bind',
    as,
    source: ownDirectory(container, mount),
    recursive: false,
    attributes,
  })
  steps.attached.push({ do: 'attach', staged: as, target, kind: 'directory' })
}

/** On the host; of a container without a cgroup of its own its maker's. */
function ownDirectory({ options, cgroups }: Container, mount: string): string {
  return options.cgroups
    ? mount + (options.cgroups.within[mount] ?? '')
    : cgroups.find((each) => each.mount === mount)!.path
}

function mountHierarchy(
  container: Container,
  target: string,
  hierarchy: CgroupHierarchy,
  options: MountOptions,
  steps: MountSteps,
): void {
  const name = directoryName(hierarchy)
  const at = `${target}/${name}`
  const { set: attributes } = options.attributes
  if (container.namespaces.origin.cgroup === 'host') {
    // Without a cgroup namespace a mount would show the host's whole tree: only the container's part of it goes in.
    const as = `cgroup:${steps.targets.length}:${name}`
    steps.staged.push({
      do: 'stage-bind',
      as,
      source: ownDirectory(container, hierarchy.mount),
      recursive: false,
      attributes: { set: attributes, clear: [] },
    })
    steps.attached.push({ do: 'attach', staged: as, target: at, kind: 'directory' })
  } else {
    const unified = hierarchy.controllers.length === 0
    addFilesystem(container, `cgroup:${steps.targets.length}:${name}`, steps, {
      type: unified ? 'cgroup2' : 'cgroup',
      source: 'cgroup',
      target: at,
      attributes,
      options: unified ? [] : hierarchyOptions(hierarchy),
    })
  }
  if (hierarchy.controllers.length < 2) return
  for (const controller of hierarchy.controllers)
    steps.attached.push({ do: 'symlink', path: `${target}/${controller}`, target: name })
}

/** `name=systemd` has no controller, which the kernel wants said. */
function hierarchyOptions({ controllers }: CgroupHierarchy): [key: string, value?: string][] {
  return controllers.flatMap((controller): [string, string?][] =>
    controller.startsWith('name=') ? [['none'], ['name', controller.slice(5)]] : [[controller]],
  )
}

function directoryName({ controllers }: CgroupHierarchy): string {
  return controllers.length === 0
    ? 'unified'
    : controllers.map((each) => each.replace(/^name=/, '')).join(',')
}
