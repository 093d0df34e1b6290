import type { NamespaceType } from '@holdfast/core'

import type { Command, CommandContext } from '../command.ts'
import { usageError } from '../command-line.ts'
import { table } from '../render/table.ts'

interface NamespaceReport {
  container: { id: string; name: string }
  type: string
  ino: number
  origin: string
  sharedWith: string[]
  pids: number[]
  heldBy: string[]
}

export const list: Command = {
  name: 'ns ls',
  usage: '[OPTIONS] [CONTAINER...]',
  summary: 'Show the namespaces of every container: who is in them, who shares them, what holds them',
  completes: 'running',
  arguments: [0, Infinity],
  flags: [
    { name: 'json', kind: 'boolean', help: 'As JSON' },
    { name: 'type', kind: 'list', value: 'TYPE', help: 'Only this type (net, pid, …)' },
  ],
  async run(context, parsed) {
    const reports = await context.client.json<NamespaceReport[]>('GET', '/holdfast/namespaces')
    const wanted = parsed.arguments
    const wantedTypes = parsed.list('type')
    const shown = reports.filter(
      ({ container, type }) =>
        (wanted.length === 0 || wanted.some((name) => container.name === name || container.id.startsWith(name))) &&
        (wantedTypes.length === 0 || wantedTypes.includes(type)),
    )
    if (parsed.flag('json')) context.print(JSON.stringify(shown, null, 2))
    else {
      context.print(
        table(
          ['CONTAINER', 'TYPE', 'INODE', 'ORIGIN', 'SHARED WITH', 'PIDS', 'HELD BY'],
          shown.map((report) => [
            report.container.name, report.type, String(report.ino), report.origin,
            report.sharedWith.join(', ') || '-', pids(report.pids), report.heldBy.join(', '),
          ]),
        ),
      )
    }
    return 0
  },
}

function pids(all: number[]): string {
  return all.length > 4 ? `${all.slice(0, 4).join(',')} +${all.length - 4}` : all.join(',') || '-'
}

const types: NamespaceType[] = ['user', 'cgroup', 'ipc', 'uts', 'net', 'pid', 'time', 'mnt']

export const enter: Command = {
  name: 'ns enter',
  usage: 'CONTAINER [--net --mnt --pid …] -- COMMAND [ARG...]',
  summary: 'Run a program of the host in chosen namespaces of a container (all of them without a choice)',
  completes: 'running',
  stopAtFirstArgument: false,
  arguments: [2, Infinity],
  flags: types.map((type) => ({ name: type, kind: 'boolean', help: `Enter its ${type} namespace` })),
  async run(context, parsed) {
    // Loaded here: the other verbs start faster without the addon.
    const { closeFd, enterNamespaces, openNamespaceOf, pidfdOpen } = await import('@holdfast/core')
    const [container = '', ...args] = parsed.arguments
    const chosen = types.filter((type) => parsed.flag(type))
    const pid = await initPid(context, container)
    // Held over the opening of the namespaces, so that the pid can't become somebody else's in between.
    const pidfd = pidfdOpen(pid)
    const namespaces: Partial<Record<NamespaceType, number>> = {}
    try {
      for (const type of chosen.length > 0 ? chosen : types) namespaces[type] = openNamespaceOf(pid, type)
      const { exitCode, signal } = await enterNamespaces({ namespaces, args, env: environment() })
      return exitCode ?? 128 + signal
    } finally {
      for (const fd of [pidfd, ...Object.values(namespaces)]) closeFd(fd)
    }
  },
}

async function initPid({ client }: CommandContext, container: string): Promise<number> {
  const { State } = await client.json<{ State: { Pid: number; Status: string } }>(
    'GET', `/containers/${encodeURIComponent(container)}/json`,
  )
  if (State.Pid === 0) {
    throw usageError(`container ${container} is ${State.Status}: it has no namespaces to enter`, `Start it with \`hold start ${container}\`.`)
  }
  return State.Pid
}

function environment(): string[] {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value}`)
}
