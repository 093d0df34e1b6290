import { cgroupPreparation } from './cgroup/cgroup.ts'
import { resolveContainer, type Container } from './container.ts'
import { planDevices } from './mounts/devices.ts'
import { containerHooks, shimHooks, syncForHost } from './hooks.ts'
import { keyLabel, programLabels } from './labels.ts'
import { planMounts } from './mounts/mounts.ts'
import { netDevices } from './net-devices.ts'
import {
  clonedNamespaces,
  enterUserNamespace,
  joinForeign,
  namespacePreparations,
  newTimeNamespace,
} from './namespaces.ts'
import {
  execute,
  hostRights,
  memoryAndPersonality,
  oomScore,
  pipes,
  raiseLimits,
  surroundings,
  terminal,
} from './process.ts'
import { enterRoot, leaveOldRoot, rootPath, stageMounts, stageRootfs } from './mounts/rootfs.ts'
import { dropPrivileges, hidePaths } from './security.ts'
import { sysctlNamespaces, sysctls } from './sysctl.ts'
import type { OciConfig } from './config/config.ts'
import type { ContainerPlan, PlanOptions } from './plan.ts'
import type { Step } from './step.ts'

/**
 * Everything that makes one container, decided and in order. Throws HF_INVALID_CONFIG or HF_UNSUPPORTED with the JSON
 * path of what can't be; nothing has been done by then.
 */
export function planContainer(config: OciConfig, options: PlanOptions): ContainerPlan {
  const container = resolveContainer(config, options)
  const tree = container.ownTree ? planTree(container) : existingTree
  const steps: Step[] = [
    ...stageOne(container, tree),
    { do: 'clone', namespaces: clonedNamespaces(container.namespaces), keep: [] },
    ...stageTwo(container, tree),
  ]
  return {
    preparations: [
      ...container.maps.preparations, // the layers of the root are mapped by the container's user namespace
      ...namespacePreparations(container.namespaces, sysctlNamespaces(container)),
      ...(options.cgroups ? [] : [cgroupPreparation(container)]),
    ],
    steps,
    namespaces: container.namespaces.origin,
    ...(container.namespaces.planted && { plantedAt: rootPath(container) }),
    terminal: config.process?.terminal === true,
    netDevices: netDevices(container),
    hooks: shimHooks(container),
    startable: config.process !== undefined,
    ...(container.warnings.length > 0 && { warnings: container.warnings }),
  }
}

/** The name of a container's session keyring, under which exec'd processes find it. */
export function sessionKeyring(id: string): string {
  return `_ses.${id}`
}

/** What concerns the file tree, theme by theme. */
interface Tree {
  /** Stage one, before foreign namespaces are joined: the host's mounts are in reach. */
  staged: Step[]
  /** Stage one, after: file systems that show what a namespace contains. */
  stagedInside: Step[]
  /** The init: enter the root, mount, make devices and links; the old root is still there. */
  made: Step[]
  /** The init: the old root goes; what must be read-only or hidden becomes so. */
  closed: Step[]
}

/** A mount namespace that is the host's or another's is taken as it stands. */
const existingTree: Tree = { staged: [], stagedInside: [], made: [], closed: [] }

function planTree(container: Container): Tree {
  const mounts = planMounts(container)
  const devices = planDevices(container, mounts)
  return {
    staged: stageRootfs(container, mounts, devices),
    stagedInside: stageMounts(container, mounts),
    made: [enterRoot(container), ...mounts.attached, ...devices.made],
    closed: [...leaveOldRoot(container, mounts), ...hidePaths(container)],
  }
}

/**
 * With the host's rights, up to the container's user namespace: from inside it none of this is possible. Who has no such
 * rights enters it first, and has at least those over the namespaces that come with it.
 */
function stageOne(container: Container, tree: Tree): Step[] {
  const { config, confined, namespaces, rootless } = container
  const { process } = config
  return [
    ...(rootless
      ? [...(process ? oomScore(process, rootless) : []), ...enterUserNamespace(namespaces, rootless)]
      : []),
    ...tree.staged,
    ...(confined && process ? [...raiseLimits(process), ...hostRights(process, 'process', container)] : []),
    ...joinForeign(namespaces),
    ...tree.stagedInside,
    ...(rootless ? [] : enterUserNamespace(namespaces, rootless)),
    ...newTimeNamespace(namespaces, config), // inside the user namespace, which then owns it
  ]
}

/** In the container's init, a process of the new namespaces. */
function stageTwo(container: Container, tree: Tree): Step[] {
  const { config, confined, namespaces, cgroups, ownTree } = container
  const { process, linux } = config
  return [
    { do: 'join-cgroups', procs: cgroups.map(({ as }) => `${as}:procs`) },
    // After joining the hierarchies: the namespace's root is where its maker is, and else the host's tree would show.
    ...(namespaces.origin.cgroup === 'new'
      ? [{ do: 'unshare' as const, namespaces: ['cgroup' as const] }]
      : []),
    ...(process && !confined ? hostRights(process, 'process', container) : []),
    { do: 'new-session' }, // no controlling terminal of ours
    ...keyLabel(process),
    // Nor keys: keyrings are inherited, not namespaced.
    ...(container.options.newKeyring === false
      ? []
      : [{ do: 'session-keyring' as const, name: sessionKeyring(container.options.id), findable: true }]),
    ...(namespaces.origin.net === 'new' ? [{ do: 'loopback-up' as const }] : []),
    ...(config.hostname ? [{ do: 'hostname' as const, name: config.hostname }] : []),
    ...(config.domainname ? [{ do: 'domainname' as const, name: config.domainname }] : []),
    ...tree.made, // proc, sysfs, …: refused by the kernel once the old root is gone
    ...sysctls(container), // a procfs handle is had on the same condition
    ...syncForHost(container),
    ...containerHooks(container, 'createContainer'), // their paths are the host's
    ...(process && ownTree ? terminal(process, true) : []), // binds /dev/console before anything turns read-only
    ...tree.closed,
    ...memoryAndPersonality(linux),
    ...(process && !ownTree ? terminal(process, false) : []),
    ...(process ? program(container) : [{ do: 'door' as const }]),
  ]
}

/** From root of the container to the waiting program. */
function program(container: Container): Step[] {
  const { config, options, warnings } = container
  const process = config.process!
  return [
    ...pipes(process),
    ...programLabels(process, options.host),
    ...surroundings(process, container.ownTree),
    ...dropPrivileges(process, config.linux?.seccomp, options.host, warnings),
    { do: 'door' }, // `create` ends here
    ...containerHooks(container, 'startContainer'), // their paths are the container's
    execute(process, options.init),
  ]
}
