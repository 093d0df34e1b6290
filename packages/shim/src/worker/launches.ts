/**
 * Everything of a container that is heavy and short: reading its configuration, planning, preparing, launching. It runs
 * in a launch worker, whose code is warm and whose memory may grow, or in the shim itself where there is none.
 */
import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs'
import { hasCode, SyscallError } from '@holdfast/errors'
import { closeFd, openNamespaceOfPidfd } from '@holdfast/core'
import type { ContainerPlan } from '@holdfast/plan'
import type { ShimSpec } from '@holdfast/protocol'
import { adoptionRecord } from '../launch/adopt.ts'
import { hostOwner, ociState, planBundle, readBundle, type Bundle } from '../bundle.ts'
import { cgroupProcesses, killCgroup, removeCgroups } from '../cgroup/cgroup.ts'
import { nowRfc3339 } from '../clock.ts'
import { createContainer } from '../launch/executor.ts'
import { runHooks, runPoststop } from '../launch/hooks.ts'
import type { ContainerRecord, LaunchedContainer } from '../launch/launched.ts'
import { describeLaunch, type LaunchResult } from '../launch/launch-result.ts'
import { handOverListener } from '../launch/seccomp-listener.ts'
import { makeVaultEnds, splitVault } from '../network/socket-vault.ts'
import { closeAll, keeperCopies, makeStdio } from '../stdio/stdio.ts'

export interface CreateJob {
  dir: string
  spec: ShimSpec
}

export interface JobOptions {
  /** Gives the job up, and nothing is left of it. */
  signal?: AbortSignal
  /** Takes the container's own network namespace, where it has one, as soon as that exists. */
  onBorn?: (net: number) => void
  /** The container's configuration, where it was read before. */
  bundle?: Bundle
  /** Hands a container on; where it throws, nothing is left. */
  deliver?: (result: LaunchResult<ContainerRecord>) => void
}

/** OCI's `create` for what lies in a shim's directory. The descriptors of the result are the caller's. */
export async function createJob(
  { dir, spec }: CreateJob,
  { signal, onBorn, deliver }: JobOptions = {},
): Promise<LaunchResult<ContainerRecord>> {
  const bundle = readBundle(dir, spec)
  const plan = planBundle(bundle)
  const stdio = makeStdio({ terminal: plan.terminal, stdin: spec.stdin.open, owner: hostOwner(bundle) })
  const vault = plan.namespaces.net === 'host' ? undefined : makeVaultEnds()
  let hooksBegan = false
  try {
    let result: LaunchResult<ContainerRecord> | undefined
    const { userns, namespaces } = await createContainer(plan, {
      name: spec.name,
      directory: dir,
      stdio: stdio.child,
      keep: { ...keeperCopies(stdio), ...vault },
      recordName: 'exit.json',
      signal,
      onBorn: ({ pidfd, pid }) => {
        if (plan.namespaces.net === 'new') tellOfNetwork({ pidfd, pid }, onBorn)
      },
      onListener: (listener, pid) => handOverListener(bundle, listener, pid),
      onCreateRuntime: (pid) => {
        hooksBegan = true
        return runHooks('createRuntime', plan.hooks.createRuntime, ociState(bundle, 'creating', pid))
      },
      onReady: async (launched) => {
        result = containerResult(plan, launched, stdio.keep)
        deliver?.(result)
      },
    })
    if (userns !== undefined && userns !== namespaces.user) closeFd(userns)
    return result!
  } catch (error) {
    closeAll(stdio.keep)
    // runtime.md, lifecycle steps 4 to 6: after a hook that failed everything is undone, poststop hooks included.
    if (hooksBegan || isHookFailure(error)) await poststop(plan, bundle)
    throw error
  } finally {
    closeAll({ ...stdio.child, ...vault })
  }
}

function isHookFailure(error: unknown): boolean {
  return error instanceof SyscallError && error.step?.startsWith('hook(') === true
}

/** What fails is written where the shim writes, which is nobody's to tell yet. */
export function poststop(plan: ContainerPlan, bundle: Bundle): Promise<void> {
  return runPoststop(plan.hooks.poststop, ociState(bundle, 'stopped', 0), (message) => {
    const line = { time: nowRfc3339(), level: 'warn', shim: bundle.spec.name, message }
    appendFileSync(`${bundle.dir}/shim.log`, JSON.stringify(line) + '\n')
  })
}

function containerResult(
  plan: ContainerPlan,
  launched: LaunchedContainer,
  stdio: Readonly<Record<string, number>>,
): LaunchResult<ContainerRecord> {
  const { namespaces, hooks, startable, warnings = [] } = plan
  const record = {
    ...adoptionRecord(launched),
    ...splitVault(launched.keeperFds),
    namespaces,
    startable,
    hooks: hooks.poststart.length + hooks.poststop.length > 0,
  }
  return {
    facts: { record, warnings },
    fds: describeLaunch(launched, stdio),
  }
}

/**
 * Undoes a `create` that was killed before anybody could write down what it had made: all of that lives in the
 * container's cgroup, or is held by what lives there.
 */
export async function clearJob({ dir, spec }: CreateJob): Promise<void> {
  const { preparations } = planBundle(readBundle(dir, spec))
  const directories = preparations.flatMap((each) => (each.do === 'make-cgroup' ? each.directories : []))
  const left = directories.filter(({ path }) => existsSync(path))
  // What we left there stands at the door. Anything else is somebody's whose cgroup we were given by mistake.
  if (cgroupProcesses(left).some((pid) => !isLaunching(pid))) return
  killCgroup(left)
  await removeCgroups(left)
  rmSync(`${dir}/exit.json`, { force: true })
}

function isLaunching(pid: number): boolean {
  try {
    return /^(holdfast|hf-)/.test(readFileSync(`/proc/${pid}/comm`, 'latin1'))
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return true // it has just ended
    throw error
  }
}

/** An init that has ended already has no namespace: the report that comes next says of what it ended. */
function tellOfNetwork({ pidfd, pid }: { pidfd: number; pid: number }, onBorn: JobOptions['onBorn']): void {
  let net: number
  try {
    net = openNamespaceOfPidfd(pidfd, 'net', pid)
  } catch (error) {
    if (hasCode(error, 'ESRCH', 'ENOENT')) return
    throw error
  }
  onBorn?.(net)
}
