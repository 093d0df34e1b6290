import type { NamespaceType } from '@holdfast/core'

import { forEach, type Command, type CommandContext } from '../command.ts'
import { usageError } from '../command-line.ts'
import { table } from '../render/table.ts'

interface NamedNamespace {
  type: string
  name: string
  path: string
  ino: number
  owner: string
}

interface NamespaceReport {
  /** null: a named namespace that no container is in. */
  container: { id: string; name: string } | null
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
        (wanted.length === 0 ||
          wanted.some((name) => container?.name === name || container?.id.startsWith(name))) &&
        (wantedTypes.length === 0 || wantedTypes.includes(type)),
    )
    // Named ones that a container is in are shown with it.
    const named = (await context.client.json<NamedNamespace[]>('GET', '/holdfast/namespaces/named')).filter(
      ({ type, ino }) =>
        wanted.length === 0 &&
        (wantedTypes.length === 0 || wantedTypes.includes(type)) &&
        !reports.some((report) => report.type === type && report.ino === ino),
    )
    if (parsed.flag('json')) context.print(JSON.stringify([...shown, ...named.map(unused)], null, 2))
    else {
      context.print(
        table(
          ['CONTAINER', 'TYPE', 'INODE', 'ORIGIN', 'SHARED WITH', 'PIDS', 'HELD BY'],
          [...shown, ...named.map(unused)].map((report) => [
            report.container?.name ?? '-',
            report.type,
            String(report.ino),
            report.origin,
            report.sharedWith.join(', ') || '-',
            pids(report.pids),
            report.heldBy.join(', '),
          ]),
        ),
      )
    }
    return 0
  },
}

function unused({ type, ino, name, path }: NamedNamespace): NamespaceReport {
  return { container: null, type, ino, origin: name, sharedWith: [], pids: [], heldBy: [`file ${path}`] }
}

export const createNamed: Command = {
  name: 'ns create',
  usage: '[OPTIONS] TYPE/NAME',
  summary: 'Make a namespace with a name, for containers to join with --network ns:NAME, --ipc ns:NAME, …',
  arguments: [1, 1],
  flags: [
    {
      name: 'owner',
      kind: 'string',
      value: 'NAME',
      help: 'The named user namespace that it belongs to, and its members join',
    },
  ],
  async run(context, parsed) {
    const [Type, Name] = typeAndName(parsed.arguments[0] as string)
    const { path } = await context.client.json<NamedNamespace>('POST', '/holdfast/namespaces', {
      body: { Type, Name, Owner: parsed.text('owner') ?? '' },
    })
    context.print(path)
    return 0
  },
}

export const removeNamed: Command = {
  name: 'ns rm',
  usage: 'TYPE/NAME [TYPE/NAME...]',
  summary: 'Remove named namespaces that no container needs',
  arguments: [1, Infinity],
  flags: [],
  async run(context, parsed) {
    return await forEach(context, parsed.arguments, async (argument) => {
      const [type, name] = typeAndName(argument)
      await context.client.json(
        'DELETE',
        `/holdfast/namespaces/${encodeURIComponent(type)}/${encodeURIComponent(name)}`,
      )
      context.print(argument)
    })
  },
}

/** `net/shop`. */
function typeAndName(argument: string): [string, string] {
  const [type = '', name = '', ...rest] = argument.split('/')
  if (type === '' || name === '' || rest.length > 0) {
    throw usageError(
      `invalid namespace "${argument}": TYPE/NAME is expected`,
      'For example net/shop or ipc/team.',
    )
  }
  return [type, name]
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
    'GET',
    `/containers/${encodeURIComponent(container)}/json`,
  )
  if (State.Pid === 0) {
    throw usageError(
      `container ${container} is ${State.Status}: it has no namespaces to enter`,
      `Start it with \`hold start ${container}\`.`,
    )
  }
  return State.Pid
}

function environment(): string[] {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value}`)
}
