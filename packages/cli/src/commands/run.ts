import { existsSync, writeFileSync } from 'node:fs'

import { hasCode } from '@holdfast/errors'

import type { Command, CommandContext } from '../command.ts'
import { usageError, type Parsed } from '../command-line.ts'
import { copyStreams, exitCodeOf, proxySignals } from '../run/attach.ts'
import { attached, createBody } from '../run/create-body.ts'
import { detachKeysOf } from '../run/detach-keys.ts'
import { createFlags, runFlags } from '../run/flags.ts'

const shared = {
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  stopAtFirstArgument: true,
  completes: 'image',
} as const

export const create: Command = {
  ...shared,
  name: 'create',
  summary: 'Create a container without starting it',
  flags: createFlags,
  arguments: [1, Infinity],
  async run(context, parsed) {
    context.print(await createContainer(context, parsed))
    return 0
  },
}

export const run: Command = {
  ...shared,
  name: 'run',
  summary: 'Create a container and run it',
  flags: [...createFlags, ...runFlags],
  arguments: [1, Infinity],
  async run(context, parsed) {
    if (parsed.flag('tty') && parsed.flag('interactive') && !parsed.flag('detach') && !process.stdin.isTTY) {
      throw usageError('the input device is not a terminal', 'Leave -t away, or run it from a terminal.')
    }
    const detachKeys = detachKeysOf(parsed)
    const id = await createContainer(context, parsed)
    if (parsed.flag('detach')) {
      await startContainer(context, id)
      context.print(id)
      return 0
    }
    return await runAttached(context, parsed, { id, detachKeys })
  },
}

async function createContainer(context: CommandContext, parsed: Parsed): Promise<string> {
  const body = createBody(parsed)
  const cidfile = parsed.text('cidfile')
  if (cidfile !== undefined && existsSync(cidfile)) {
    throw usageError(
      `the container id file ${cidfile} is there already`,
      'Remove it if its container is not in use any more.',
    )
  }
  const pulls = parsed.text('pull') ?? 'missing'
  if (!['always', 'missing', 'never'].includes(pulls))
    throw usageError(`invalid pull option: '${pulls}'`, 'It is one of always, missing and never.')
  if (pulls === 'always') await pull(context, String(body['Image']))
  try {
    const { Id, Warnings } = await context.client.json<{ Id: string; Warnings: string[] | null }>(
      'POST',
      '/containers/create',
      { query: { name: parsed.text('name'), platform: parsed.text('platform') }, body },
    )
    for (const warning of Warnings ?? []) context.warn(`WARNING: ${warning}`)
    if (cidfile !== undefined) writeFileSync(cidfile, Id, { flag: 'wx' })
    return Id
  } catch (error) {
    if (hasCode(error, 'HF_IMAGE_NOT_FOUND') && pulls !== 'never') {
      context.warn(`Unable to find image '${withTag(String(body['Image']))}' locally`)
      await pull(context, String(body['Image']))
    }
    throw error
  }
}

/** The engine says why it can't. */
async function pull({ client }: CommandContext, image: string): Promise<void> {
  await client.json('POST', '/images/create', { query: { fromImage: image } })
}

/** As docker names an image that it looks for: with the tag that it took. */
function withTag(image: string): string {
  return /@|:[^/]*$/.test(image) ? image : `${image}:latest`
}

async function startContainer(context: CommandContext, id: string): Promise<void> {
  await context.client.json('POST', `/containers/${id}/start`)
}

/** The order is docker's: attach, wait, start; so that no output and no exit code is missed. */
async function runAttached(
  context: CommandContext,
  parsed: Parsed,
  { id, detachKeys }: { id: string; detachKeys: string },
): Promise<number> {
  const { client } = context
  const streams = attached(parsed)
  const tty = parsed.flag('tty')
  const { socket, head } = await client.hijack(`/containers/${id}/attach`, {
    query: {
      stream: 1,
      stdin: Number(streams.stdin),
      stdout: Number(streams.stdout),
      stderr: Number(streams.stderr),
      detachKeys: detachKeys || undefined,
    },
  })
  const waiting = await client.open('POST', `/containers/${id}/wait`, {
    query: { condition: parsed.flag('rm') ? 'removed' : 'next-exit' },
  })
  try {
    await startContainer(context, id)
  } catch (error) {
    waiting.destroy()
    socket.destroy()
    throw error
  }
  const stopProxy = parsed.flag('sig-proxy') && !tty ? proxySignals(client, id) : () => {}
  const end = await copyStreams({
    client,
    socket,
    head,
    tty,
    stdin: streams.stdin,
    detachKeys,
    resizePath: `/containers/${id}/resize`,
  })
  stopProxy()
  if (end === 'detached') return 0
  return await exitCodeOf(waiting)
}
