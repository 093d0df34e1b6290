// Verbs that look: inspect, top, events, version, info.
import { hasCode } from '@holdfast/errors'

import type { Command, CommandContext } from '../command.ts'
import { usageError } from '../command-line.ts'
import { format } from '../render/format.ts'
import { labels } from '../render/labels.ts'
import { table } from '../render/table.ts'
import { instant } from '../run/instant.ts'
import { jsonLines } from '../run/json-lines.ts'
import { filters } from './list.ts'

const formatFlag = {
  name: 'format',
  short: 'f',
  kind: 'string',
  value: 'FORMAT',
  help: 'json, or a Go template',
} as const

export const inspect: Command = {
  name: 'inspect',
  usage: '[OPTIONS] NAME [NAME...]',
  summary: 'Show everything about containers or images',
  completes: 'container',
  arguments: [1, Infinity],
  flags: [
    formatFlag,
    { name: 'type', kind: 'string', value: 'TYPE', choices: ['container', 'image'], help: 'Only this kind' },
    { name: 'size', short: 's', kind: 'boolean', help: 'Sizes of containers too' },
  ],
  async run(context, parsed) {
    const type = parsed.text('type')
    if (type !== undefined && type !== 'container' && type !== 'image')
      throw usageError(`unknown type: "${type}"`, 'It is container or image.')
    const found: unknown[] = []
    let code = 0
    for (const name of parsed.arguments) {
      try {
        found.push(await lookUp(context, name, type, parsed.flag('size')))
      } catch (error) {
        if (!hasCode(error, 'HF_CONTAINER_NOT_FOUND', 'HF_IMAGE_NOT_FOUND')) throw error
        context.warn(`Error: No such object: ${name}`)
        code = 1
      }
    }
    const template = parsed.text('format')
    if (template === undefined) context.print(JSON.stringify(found, null, 4))
    else found.forEach((object) => context.print(format(template, object)))
    return code
  },
}

async function lookUp(
  { client }: CommandContext,
  name: string,
  type: string | undefined,
  size: boolean,
): Promise<unknown> {
  const encoded = encodeURIComponent(name)
  try {
    if (type !== 'image')
      return await client.json('GET', `/containers/${encoded}/json`, {
        query: { size: size ? 1 : undefined },
      })
  } catch (error) {
    if (type === 'container' || !hasCode(error, 'HF_CONTAINER_NOT_FOUND')) throw error
  }
  return await client.json('GET', `/images/${encoded}/json`)
}

export const top: Command = {
  name: 'top',
  usage: 'CONTAINER [PS OPTIONS]',
  summary: 'Show the processes of a container',
  completes: 'running',
  stopAtFirstArgument: true,
  arguments: [1, Infinity],
  flags: [],
  async run(context, parsed) {
    const [container = '', ...options] = parsed.arguments
    const { Titles, Processes } = await context.client.json<{ Titles: string[]; Processes: string[][] }>(
      'GET',
      `/containers/${encodeURIComponent(container)}/top`,
      { query: { ps_args: options.length > 0 ? options.join(' ') : undefined } },
    )
    context.print(table(Titles, Processes))
    return 0
  },
}

interface EngineEvent {
  Type: string
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
  timeNano: number
}

export const events: Command = {
  name: 'events',
  usage: '[OPTIONS]',
  summary: 'Follow what happens',
  arguments: [0, 0],
  flags: [
    { name: 'since', kind: 'string', value: 'TIME', help: 'From this moment on' },
    { name: 'until', kind: 'string', value: 'TIME', help: 'End at this moment' },
    { name: 'filter', short: 'f', kind: 'list', value: 'KEY=VALUE', help: 'Only what matches' },
    { ...formatFlag, short: '' },
  ],
  async run(context, parsed) {
    const [since, until] = [parsed.text('since'), parsed.text('until')]
    const response = await context.client.open('GET', '/events', {
      query: {
        filters: filters(parsed),
        since: since === undefined ? undefined : instant(since),
        until: until === undefined ? undefined : instant(until),
      },
    })
    const template = parsed.text('format')
    for await (const event of jsonLines<EngineEvent>(response))
      context.print(template === undefined ? eventLine(event) : format(template, event))
    return 0
  },
}

function eventLine({ Type, Action, Actor, timeNano }: EngineEvent): string {
  const attributes = labels(Actor.Attributes).join(', ')
  return `${new Date(timeNano / 1e6).toISOString()} ${Type} ${Action} ${Actor.ID} (${attributes})`
}

export const version: Command = {
  name: 'version',
  usage: '[OPTIONS]',
  summary: 'Show the versions of client and supervisor',
  arguments: [0, 0],
  flags: [formatFlag],
  async run(context, parsed) {
    const server = await context.client.json<Record<string, string>>('GET', '/version')
    const template = parsed.text('format')
    const both = { Client: { Version: server['Version'], NodeVersion: process.version }, Server: server }
    if (template !== undefined) context.print(format(template, both))
    else
      context.print(
        facts([
          ['Holdfast', server['Version']],
          ['API', `${server['ApiVersion']} (from ${server['MinAPIVersion']})`],
          ['Node', process.version],
          ['Kernel', server['KernelVersion']],
          ['Platform', `${server['Os']}/${server['Arch']}`],
        ]),
      )
    return 0
  },
}

export const info: Command = {
  name: 'info',
  usage: '[OPTIONS]',
  summary: 'Show facts about the supervisor',
  arguments: [0, 0],
  flags: [formatFlag],
  async run(context, parsed) {
    const engine = await context.client.json<Record<string, any>>('GET', '/info')
    const template = parsed.text('format')
    if (template !== undefined) context.print(format(template, engine))
    else
      context.print(
        facts([
          ['Name', engine['Name']],
          ['Version', engine['ServerVersion']],
          [
            'Containers',
            `${engine['Containers']} (${engine['ContainersRunning']} running, ${engine['ContainersPaused']} paused, ${engine['ContainersStopped']} stopped)`,
          ],
          ['Images', engine['Images']],
          ['Data root', engine['DockerRootDir']],
          ['Storage', engine['Driver']],
          ['Cgroup version', engine['CgroupVersion']],
          ['Kernel', engine['KernelVersion']],
          ['CPUs', engine['NCPU']],
          ['Memory', `${(Number(engine['MemTotal']) / 2 ** 30).toFixed(1)} GiB`],
        ]),
      )
    for (const warning of (engine['Warnings'] as string[] | null) ?? []) context.warn(warning)
    return 0
  },
}

function facts(rows: [string, unknown][]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 2
  return rows.map(([name, value]) => `${`${name}:`.padEnd(width)}${String(value)}`).join('\n')
}
