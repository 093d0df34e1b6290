import type { Command, CommandContext } from '../command.ts'
import { usageError, type Flag, type Parsed } from '../command-line.ts'
import { format } from '../render/format.ts'
import { labels } from '../render/labels.ts'
import { table } from '../render/table.ts'
import { ago, humanSize } from '../render/units.ts'

const listFlags: Flag[] = [
  { name: 'quiet', short: 'q', kind: 'boolean', help: 'Only ids' },
  { name: 'no-trunc', kind: 'boolean', help: 'Full ids and commands' },
  { name: 'filter', short: 'f', kind: 'list', value: 'KEY=VALUE', help: 'Only what matches' },
  { name: 'format', kind: 'string', value: 'FORMAT', help: 'json, table, or a Go template' },
]

/** `--filter key=value`, several times, as the API takes it. */
export function filters(parsed: Parsed): string | undefined {
  const map: Record<string, string[]> = {}
  for (const entry of parsed.list('filter')) {
    const equals = entry.indexOf('=')
    if (equals <= 0) throw usageError(`invalid filter "${entry}": KEY=VALUE is expected`)
    ;(map[entry.slice(0, equals)] ??= []).push(entry.slice(equals + 1))
  }
  return Object.keys(map).length > 0 ? JSON.stringify(map) : undefined
}

/** Rows as objects with docker's field names; printed as a table of `columns`, as JSON, or by a template. */
function printRows(
  context: CommandContext,
  parsed: Parsed,
  rows: Record<string, string>[],
  columns: [string, string][],
): void {
  const template = parsed.text('format')
  if (parsed.flag('quiet')) rows.forEach((row) => context.print(row['ID'] ?? ''))
  else if (template === undefined || template === 'table') {
    context.print(
      table(
        columns.map(([heading]) => heading),
        rows.map((row) => columns.map(([, key]) => row[key] ?? '')),
      ),
    )
  } else if (template.startsWith('table '))
    printTemplateTable(context, template, rows, new Map(columns.map(([heading, key]) => [key, heading])))
  else rows.forEach((row) => context.print(format(template, row)))
}

/** `table {{.ID}}\t{{.Names}}`: the headings come from the template itself, each field replaced by its column's. */
function printTemplateTable(
  context: CommandContext,
  template: string,
  rows: Record<string, string>[],
  headings: Map<string, string>,
): void {
  const heading = Object.fromEntries(
    [...headings.keys(), ...Object.keys(rows[0] ?? {})].map((key) => [key, headings.get(key) ?? spaced(key)]),
  )
  const [first = [], ...cells] = [heading, ...rows].map((row) => format(template, row).split('\t'))
  context.print(table(first, cells))
}

/** `CreatedAt` becomes `CREATED AT`. */
function spaced(key: string): string {
  return key.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toUpperCase()
}

interface ContainerSummary {
  Id: string
  Names: string[]
  Image: string
  ImageID: string
  Command: string
  Created: number
  Ports: { IP?: string; PrivatePort: number; PublicPort?: number; Type: string }[]
  Labels: Record<string, string>
  State: string
  Status: string
  Mounts: { Name?: string; Source: string; Destination: string; Driver?: string }[]
  NetworkSettings: { Networks: Record<string, unknown> }
  SizeRw?: number
  SizeRootFs?: number
}

export const ps: Command = {
  name: 'ps',
  usage: '[OPTIONS]',
  summary: 'List containers',
  arguments: [0, 0],
  flags: [
    { name: 'all', short: 'a', kind: 'boolean', help: 'Those that do not run, too' },
    { name: 'last', short: 'n', kind: 'number', value: 'N', help: 'The N newest' },
    { name: 'latest', short: 'l', kind: 'boolean', help: 'The newest' },
    { name: 'size', short: 's', kind: 'boolean', help: 'Show sizes' },
    ...listFlags,
  ],
  async run(context, parsed) {
    const limit = parsed.flag('latest') ? 1 : parsed.number('last')
    const list = await context.client.json<ContainerSummary[]>('GET', '/containers/json', {
      query: {
        all: Number(parsed.flag('all') || limit !== undefined),
        limit,
        filters: filters(parsed),
        size: parsed.flag('size') ? 1 : undefined,
      },
    })
    const rows = list.map((container) => containerRow(container, parsed.flag('no-trunc')))
    printRows(context, parsed, rows, [
      ['CONTAINER ID', 'ID'],
      ['IMAGE', 'Image'],
      ['COMMAND', 'Command'],
      ['CREATED', 'RunningFor'],
      ['STATUS', 'Status'],
      ['PORTS', 'Ports'],
      ['NAMES', 'Names'],
      ...(parsed.flag('size') ? [['SIZE', 'Size'] as [string, string]] : []),
    ])
    return 0
  },
}

function containerRow(container: ContainerSummary, full: boolean): Record<string, string> {
  const command =
    full || container.Command.length <= 20 ? container.Command : `${container.Command.slice(0, 19)}…`
  return {
    ID: full ? container.Id : container.Id.slice(0, 12),
    Image: container.Image,
    Command: JSON.stringify(command), // quoted as Go quotes it
    CreatedAt: new Date(container.Created * 1000).toISOString(),
    RunningFor: ago(container.Created),
    Status: container.Status,
    State: container.State,
    Ports: container.Ports.map(port).join(', '),
    Names: container.Names.map((name) => name.replace(/^\//, '')).join(','),
    Labels: labels(container.Labels).join(','),
    Mounts: container.Mounts.map((mount) => mount.Name ?? mount.Source).join(','),
    LocalVolumes: String(container.Mounts.filter(({ Driver }) => Driver === 'local').length),
    Networks: Object.keys(container.NetworkSettings.Networks).join(','),
    Size:
      container.SizeRw === undefined
        ? ''
        : `${humanSize(container.SizeRw)} (virtual ${humanSize(container.SizeRootFs ?? 0)})`,
  }
}

function port({ IP, PrivatePort, PublicPort, Type }: ContainerSummary['Ports'][number]): string {
  if (PublicPort === undefined) return `${PrivatePort}/${Type}`
  return `${IP?.includes(':') ? `[${IP}]` : IP}:${PublicPort}->${PrivatePort}/${Type}`
}

interface ImageSummary {
  Id: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  Created: number
  Size: number
}

export const images: Command = {
  name: 'images',
  usage: '[OPTIONS] [REPOSITORY[:TAG]]',
  summary: 'List images',
  arguments: [0, 1],
  completes: 'image',
  flags: [
    { name: 'all', short: 'a', kind: 'boolean', help: 'Intermediate images too' },
    { name: 'digests', kind: 'boolean', help: 'Show digests' },
    ...listFlags,
  ],
  async run(context, parsed) {
    const [reference] = parsed.arguments
    const given = JSON.parse(filters(parsed) ?? '{}') as Record<string, string[]>
    if (reference !== undefined) given['reference'] = [reference]
    const list = await context.client.json<ImageSummary[]>('GET', '/images/json', {
      query: {
        all: Number(parsed.flag('all')),
        filters: Object.keys(given).length > 0 ? JSON.stringify(given) : undefined,
      },
    })
    const rows = list.flatMap((image) => imageRows(image, parsed.flag('no-trunc')))
    printRows(context, parsed, rows, [
      ['REPOSITORY', 'Repository'],
      ['TAG', 'Tag'],
      ...(parsed.flag('digests') ? [['DIGEST', 'Digest'] as [string, string]] : []),
      ['IMAGE ID', 'ID'],
      ['CREATED', 'CreatedSince'],
      ['SIZE', 'Size'],
    ])
    return 0
  },
}

function imageRows(image: ImageSummary, full: boolean): Record<string, string>[] {
  const tags = image.RepoTags?.length ? image.RepoTags : ['<none>:<none>']
  return tags.map((tag) => {
    const colon = tag.lastIndexOf(':')
    const repository = tag.slice(0, colon)
    return {
      ID: full ? image.Id : image.Id.replace('sha256:', '').slice(0, 12),
      Repository: repository,
      Tag: tag.slice(colon + 1),
      Digest:
        image.RepoDigests?.find((digest) => digest.startsWith(`${repository}@`))?.split('@')[1] ?? '<none>',
      CreatedAt: new Date(image.Created * 1000).toISOString(),
      CreatedSince: ago(image.Created),
      Size: humanSize(image.Size),
    }
  })
}
