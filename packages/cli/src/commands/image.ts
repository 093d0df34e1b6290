import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

import { HoldfastError } from '@holdfast/errors'

import type { Query } from '../engine-client.ts'
import { forEach, type Command, type CommandContext } from '../command.ts'
import { usageError } from '../command-line.ts'
import { jsonLines } from '../run/json-lines.ts'

export const load: Command = {
  name: 'load',
  usage: '[OPTIONS]',
  summary: 'Load images from an archive of `docker save` or an OCI layout',
  arguments: [0, 0],
  flags: [
    {
      name: 'input',
      short: 'i',
      kind: 'string',
      value: 'FILE',
      help: 'Read from a file instead of standard input',
    },
    { name: 'quiet', short: 'q', kind: 'boolean', help: 'Only the result' },
  ],
  async run(context, parsed) {
    const stream = await input(parsed.text('input') ?? '-')
    await progress(context, '/images/load', { quiet: Number(parsed.flag('quiet')) }, stream)
    return 0
  },
}

export const importImage: Command = {
  name: 'import',
  usage: '[OPTIONS] FILE|- [REPOSITORY[:TAG]]',
  summary: 'Make an image of one layer from a tar of a root file system',
  arguments: [1, 2],
  flags: [
    {
      name: 'change',
      short: 'c',
      kind: 'list',
      value: 'INSTRUCTION',
      help: "Dockerfile instruction: CMD ['sh']",
    },
    { name: 'message', short: 'm', kind: 'string', value: 'TEXT', help: "Comment in the image's history" },
    { name: 'platform', kind: 'string', value: 'OS/ARCH', help: 'Platform to record' },
  ],
  async run(context, parsed) {
    const [file = '-', reference] = parsed.arguments
    const query = {
      fromSrc: '-',
      repo: reference,
      message: parsed.text('message'),
      platform: parsed.text('platform'),
      changes: parsed.list('change'),
    }
    await progress(context, '/images/create', query, await input(file))
    return 0
  },
}

async function input(path: string): Promise<NodeJS.ReadableStream> {
  if (path === '-') {
    if (process.stdin.isTTY)
      throw usageError('refusing to read an archive from a terminal', 'Name a file, or redirect its content.')
    return process.stdin
  }
  await stat(path)
  return createReadStream(path)
}

/** Sends a tar and prints the engine's JSON lines as they come. */
async function progress(
  context: CommandContext,
  path: string,
  query: Query,
  stream: NodeJS.ReadableStream,
): Promise<void> {
  const response = await context.client.open('POST', path, { query, stream })
  for await (const message of jsonLines<Progress>(response)) {
    if (message.error !== undefined) throw new HoldfastError('HF_INTERNAL', message.error)
    const text = (message.stream ?? message.status ?? '').trimEnd()
    if (text !== '') context.print(text)
  }
}

interface Progress {
  stream?: string
  status?: string
  error?: string
}

export const tag: Command = {
  name: 'tag',
  usage: 'SOURCE TARGET[:TAG]',
  summary: 'Give an image another name',
  completes: 'image',
  arguments: [2, 2],
  flags: [],
  async run({ client }, parsed) {
    const [source = '', target = ''] = parsed.arguments
    const colon = target.lastIndexOf(':')
    const hasTag = colon > target.lastIndexOf('/')
    await client.json('POST', `/images/${encodeURIComponent(source)}/tag`, {
      query: {
        repo: hasTag ? target.slice(0, colon) : target,
        tag: hasTag ? target.slice(colon + 1) : 'latest',
      },
    })
    return 0
  },
}

export const rmi: Command = {
  name: 'rmi',
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  summary: 'Remove images',
  completes: 'image',
  arguments: [1, Infinity],
  flags: [
    {
      name: 'force',
      short: 'f',
      kind: 'boolean',
      help: 'Also where several names or stopped containers use it',
    },
    { name: 'no-prune', kind: 'boolean', help: 'Keep untagged parents' },
  ],
  run: (context, parsed) =>
    forEach(context, parsed.arguments, async (image) => {
      const removed = await context.client.json<Record<string, string>[]>(
        'DELETE',
        `/images/${encodeURIComponent(image)}`,
        {
          query: { force: Number(parsed.flag('force')), noprune: Number(parsed.flag('no-prune')) },
        },
      )
      for (const item of removed)
        for (const [what, id] of Object.entries(item)) context.print(`${what}: ${id}`)
    }),
}
