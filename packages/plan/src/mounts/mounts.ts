/** The configuration's mounts, in their order: what stage one prepares, and what the container's init attaches. */
import { invalid } from '../config/reader.ts'
import { unsupported } from '../config/unsupported.ts'
import { cgroupMount } from './cgroup-mount.ts'
import { contextOption } from '../labels.ts'
import { parseMountOptions, type MountOptions } from './mount-options.ts'
import { addFilesystem, emptyMountSteps, type MountSteps } from './mount-steps.ts'
import { fromBundle, normalize } from '../paths.ts'
import type { OciMount } from '../config/mounts.ts'
import type { Container } from '../container.ts'
import type { FdName, Step } from '../step.ts'

/** One of the configuration's mounts, read. */
interface Entry {
  mount: OciMount
  index: number
  /** Where it stands in the configuration, `mounts[3]`, for messages. */
  path: string
  /** In the container, normalized. */
  target: string
  options: MountOptions
}

export function planMounts(container: Container): MountSteps {
  const steps = emptyMountSteps()
  container.config.mounts?.forEach((mount, index) => {
    const own = emptyMountSteps()
    own.targets = steps.targets // earlier ones count: staged mounts are named by how many there are
    planMount(container, mount, index, own)
    for (const list of ['peers', 'staged', 'attached', 'late'] as const)
      steps[list].push(...own[list].map((step) => ({ ...step, field: `mounts[${index}]` })))
  })
  return steps
}

function planMount(container: Container, mount: OciMount, index: number, steps: MountSteps): void {
  const path = `mounts[${index}]`
  const target = normalize(mount.destination)
  if (target === '/') throw invalid(`${path}.destination`, 'must not be the root itself')
  const options = parseMountOptions(mount.type ?? '', mount.options ?? [], path)
  for (const option of new Set(options.ignored))
    container.warnings.push(
      `${path}.options: ${option} has no effect on ${options.bind === 'no' ? 'any mount' : 'a bind mount'}`,
    )
  if (mount.uidMappings?.length && options.bind === 'no')
    throw invalid(`${path}.uidMappings`, 'is for bind mounts alone')
  if (options.remount) {
    if (options.data.length > 0 || options.copyUp || options.idmap !== 'no')
      throw unsupported(`${path}.options`, 'a remount changes attributes, not file systems')
    steps.attached.push({
      do: 'remount',
      target,
      attributes: options.attributes,
      ...(options.propagation && { propagation: options.propagation }),
    })
  } else if (options.bind !== 'no') planBind(container, { mount, index, path, target, options }, steps)
  else if (mount.type === 'cgroup') cgroupMount(container, target, options, steps)
  else if (!mount.type || mount.type === 'none')
    throw invalid(`${path}.type`, 'is missing, and the options ask for no bind')
  else planFilesystem(container, { mount, index, path, target, options }, steps)
}

function planBind(container: Container, entry: Entry, steps: MountSteps): void {
  const { mount, index, path, target, options } = entry
  if (!mount.source) throw invalid(`${path}.source`, 'is missing: a bind mount needs one')
  const shared = options.propagation?.value === 'shared'
  // Copied into another user namespace, a shared mount becomes a slave: nothing mounted inside would reach the host.
  if (shared && container.confined)
    throw unsupported(
      `${path}.options`,
      'shared propagation cannot leave a user namespace',
      'Use the host user namespace.',
    )
  const as = `mount:${index}`
  const idmap = bindIdmap(container, entry)
  const stage: Step = {
    do: 'stage-bind',
    as,
    source: fromBundle(container.options.bundle, mount.source),
    ...(options.subdir !== undefined && { subdir: options.subdir }),
    recursive: options.bind === 'recursive',
    attributes: options.attributes,
    ...(idmap && { idmap, recursiveIdmap: options.idmap === 'recursive' }),
  }
  ;(shared ? steps.peers : steps.staged).push(stage)
  steps.attached.push({
    do: 'attach',
    staged: as,
    target,
    kind: 'source',
    ...(options.propagation && { propagation: options.propagation }),
  })
  steps.targets.push({ path: target, kind: 'source', source: as, bind: true })
}

/** The mount's own maps imply the option; the option alone means the container's maps. */
function bindIdmap(container: Container, { mount, options, path }: Entry): FdName | undefined {
  if (mount.uidMappings?.length && mount.gidMappings?.length)
    return container.maps.named(mount.uidMappings, mount.gidMappings)
  if (options.idmap === 'no') return undefined
  if (container.confined) return 'userns'
  throw invalid(`${path}.options`, 'has an id map, but neither the mount nor the container has mappings')
}

function planFilesystem(container: Container, entry: Entry, steps: MountSteps): void {
  const { mount, index, path, target, options } = entry
  const type = mount.type ?? ''
  const { origin } = container.namespaces
  if (type === 'proc' && origin.pid === 'joined' && origin.user === 'new')
    throw unsupported(
      `${path}.type`,
      'a new user namespace has no rights over the pid namespace that is joined',
      "Join the user namespace that owns the pid namespace too, or use the host's.",
    )
  if (options.attributes.recursive) {
    // Nothing lies beneath a new mount: recursive attributes are the plain ones.
    const { set, clear } = options.attributes.recursive
    for (const name of clear) delete options.attributes.set[name]
    Object.assign(options.attributes.set, set)
  }
  const attributes = { ...options.attributes.set }
  // Mount points and device nodes are still to be made inside.
  const readonlyLast = attributes.readonly === true && (type === 'tmpfs' || target === '/dev')
  if (readonlyLast) delete attributes.readonly
  addFilesystem(container, `mount:${index}`, steps, {
    type,
    source: mount.source || type,
    target,
    attributes,
    options: [...options.data, ...contextOption(container, type)],
    ...(options.propagation && { propagation: options.propagation }),
    ...(options.copyUp && { copyUp: true }),
    // Or /root would be open to everyone beneath a tmpfs, whose own default is 1777.
    ...(type === 'tmpfs' && !options.data.some(([key]) => key === 'mode') && { keepMode: true }),
  })
  if (readonlyLast)
    steps.late.push({ do: 'remount', target, attributes: { set: { readonly: true }, clear: [] } })
  steps.targets.push({ path: target, kind: 'directory', bind: false })
}
