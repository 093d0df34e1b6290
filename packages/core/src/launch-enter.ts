/**
 * Runs a program inside namespaces that are given by descriptor, on the caller's terminal: nsenter(1)'s work. The
 * launcher joins them, so this process with its threads enters nothing.
 */
import { closeFd } from './descriptor.ts'
import { launch } from './launch.ts'
import { receiveReport, type LaunchReport } from './launch-report.ts'
import { TableWriter } from './launch-table.ts'
import { namespaceFlags, type NamespaceType } from './namespace.ts'
import { syscallError } from './native.ts'
import { pidfdWait, type ProcessExit } from './pidfd.ts'
import { socketpair } from './socket.ts'
import { watchFd } from './watch.ts'

/** A program to run in namespaces that are there already. */
export interface EnterOptions {
  /** Descriptors of the namespaces to join. */
  namespaces: Partial<Record<NamespaceType, number>>
  /** Looked up along PATH of `env`, in the mount namespace that was joined. */
  args: readonly string[]
  env: readonly string[]
  /** In the mount namespace that was joined; `/` unless given. */
  cwd?: string
  /** Ids in the user namespace that was joined; left as they are unless given. */
  uid?: number
  gid?: number
}

/**
 * Those whose owner is the user namespace to be joined need its rights; those of another owner need ours. Joining it
 * first covers the container's own; what is left afterwards would be refused, so it goes last where we are root.
 */
const joinOrder: readonly NamespaceType[] = ['cgroup', 'ipc', 'uts', 'net', 'pid', 'time', 'mnt', 'user']

/**
 * Resolves with how the program ended. Rejects with a SyscallError when a namespace can't be joined, or the program
 * not executed (`syscall: 'execve'`).
 */
export async function enterNamespaces(options: EnterOptions): Promise<ProcessExit> {
  const { args, env, namespaces } = options
  const table = new TableWriter()
  for (const type of joinOrder) {
    if (namespaces[type] !== undefined) table.step('join').fd(type).u32(namespaceFlags[type])
  }
  // Root of the user namespace, or this process has no id in it that anything may be done with.
  if (namespaces.user !== undefined) table.step('become_root')
  // A pid namespace is entered by children only.
  table.step('clone').u32(0).fd(undefined)
  // By name beneath the new root; never a directory of ours that stayed open.
  table
    .step('chdir')
    .text(options.cwd ?? '/')
    .flag(false)
  if (options.uid !== undefined || options.gid !== undefined) {
    table
      .step('user')
      .u32(options.uid ?? 0)
      .u32(options.gid ?? options.uid ?? 0)
      .bytes(Buffer.alloc(0))
  }
  table.step('exec').flag(false).texts(args).texts(env)
  const [ours, theirs] = socketpair('seqpacket')
  try {
    const launcher = startEntering(table, { ...namespaces, report: theirs })
    return await waitFor(launcher.pidfd, ours)
  } finally {
    closeFd(ours)
  }
}

function startEntering(table: TableWriter, fds: Record<string, number>) {
  try {
    return launch({
      table,
      header: { mode: 'enter', report: 'report' },
      fds,
      title: 'holdfast: ns enter',
      stdio: [0, 1, 2],
    })
  } finally {
    closeFd(fds['report']!)
  }
}

async function waitFor(pidfd: number, channel: number): Promise<ProcessExit> {
  try {
    await new Promise<void>((resolve) => {
      const watch = watchFd(pidfd, { readable: true }, () => {
        watch.close()
        resolve()
      })
    })
    const exit = pidfdWait(pidfd)
    const failure = firstError(channel)
    if (failure !== undefined)
      throw syscallError(failure.errno, failure.syscall, { path: failure.detail || undefined })
    return exit ?? { exitCode: 0 }
  } finally {
    closeFd(pidfd)
  }
}

function firstError(channel: number): Extract<LaunchReport, { kind: 'error' }> | undefined {
  for (;;) {
    const report = receiveReport(channel)
    if (report === undefined || report.kind === 'end') return undefined
    if (report.kind === 'error') return report
    if ('pidfd' in report) closeFd(report.pidfd)
  }
}
