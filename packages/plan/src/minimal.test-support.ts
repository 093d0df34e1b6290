/** A minimal valid world for tests: each shows only what differs from it. */
import { parseConfig, type OciConfig } from './config/config.ts'
import { planContainer } from './plan-container.ts'
import type { ContainerPlan, HostFacts, PlanOptions } from './plan.ts'
import type { Step } from './step.ts'

type Json = Record<string, unknown>

export function configJson(extra: Json = {}, linux: Json = {}, process: Json = {}): Json {
  return {
    ociVersion: '1.2.0',
    root: { path: 'rootfs' },
    process: { cwd: '/', args: ['/bin/true'], ...process },
    ...extra,
    linux: { namespaces: [{ type: 'mount' }, { type: 'pid' }], ...linux },
  }
}

export const hostV2: HostFacts = {
  cgroup: {
    version: 2,
    mount: '/sys/fs/cgroup',
    controllers: ['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb', 'rdma'],
  },
  overlayLowerFd: true,
  capabilities: [0, 5, 21], // CHOWN, KILL, SYS_ADMIN
  architecture: 'x86_64',
}

export const hostV1: HostFacts = {
  ...hostV2,
  cgroup: {
    version: 1,
    hierarchies: [
      ['cpu', 'cpuacct'],
      ['cpuset'],
      ['memory'],
      ['pids'],
      ['blkio'],
      ['hugetlb'],
      ['net_cls'],
      ['net_prio'],
      ['devices'],
      ['name=systemd'],
      [],
    ].map((controllers) => ({
      controllers,
      mount: `/sys/fs/cgroup/${controllers.join(',').replace('name=', '') || 'unified'}`,
    })),
  },
}

export function planOptions(extra: Partial<PlanOptions> = {}): PlanOptions {
  return {
    id: 'c1',
    bundle: '/bundle',
    stage: '/run/stage',
    init: false,
    cgroupParent: '/holdfast',
    pivot: 'pivot',
    host: hostV2,
    ...extra,
  }
}

export function plan(json: Json, options: Partial<PlanOptions> = {}): ContainerPlan {
  return planContainer(parseConfig(json) as OciConfig, planOptions(options))
}

/** With a user namespace of its own. */
export const ownUser: Json = {
  namespaces: ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'user'].map((type) => ({ type })),
  uidMappings: [{ containerID: 0, hostID: 1_879_048_192, size: 65_536 }],
  gidMappings: [{ containerID: 0, hostID: 1_879_048_192, size: 65_536 }],
}

/** Without the fields that they come from: those have a test of their own. */
export function stepsOf<K extends Step['do']>(steps: Step[], kind: K): Extract<Step, { do: K }>[] {
  return steps
    .filter((step): step is Extract<Step, { do: K }> => step.do === kind)
    .map(({ field: _from, ...step }) => step as unknown as Extract<Step, { do: K }>)
}

/** Where the first step of this kind stands. */
export function indexOf(steps: Step[], kind: Step['do']): number {
  const index = steps.findIndex((step) => step.do === kind)
  if (index < 0) throw new Error(`the plan has no ${kind}`)
  return index
}

/** The error that `work` throws, as what a caller can tell of it. */
export function refusal(work: () => unknown): { code: string; path: unknown; message: string } {
  try {
    work()
  } catch (error) {
    const { code, details, message } = error as {
      code: string
      details?: { path?: unknown }
      message: string
    }
    return { code, path: details?.path, message }
  }
  throw new Error('nothing was refused')
}
