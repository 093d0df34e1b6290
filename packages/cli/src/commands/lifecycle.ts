// Verbs over one or several containers that are one request each.
import { forEach, type Command, type CommandContext } from '../command.ts'
import { usageError, type Flag } from '../command-line.ts'
import { copyStreams, exitCodeOf, proxySignals } from '../run/attach.ts'
import { detachKeysOf } from '../run/detach-keys.ts'

interface Verb {
  name: string
  summary: string
  flags?: Flag[]
  query?: (parsed: Parameters<Command['run']>[1]) => Record<string, string | number | boolean | undefined>
  completes?: 'container' | 'running'
}

const time: Flag = { name: 'time', short: 't', kind: 'number', value: 'SECONDS', help: 'Wait before killing' }
const timeout: Flag = { ...time, name: 'timeout' }
const signal: Flag = { name: 'signal', short: 's', kind: 'string', value: 'SIGNAL', help: 'Signal to send' }

/** POST /containers/NAME/VERB, then the name. */
function simple({ name, summary, flags = [], query, completes = 'running' }: Verb): Command {
  return {
    name,
    summary,
    flags,
    completes,
    usage: '[OPTIONS] CONTAINER [CONTAINER...]',
    arguments: [1, Infinity],
    run: (context, parsed) =>
      forEach(context, parsed.arguments, async (container) => {
        await context.client.json('POST', `/containers/${encodeURIComponent(container)}/${name}`, {
          query: query?.(parsed) ?? {},
        })
        context.print(container)
      }),
  }
}

export const stop = simple({
  name: 'stop',
  summary: 'Stop containers',
  flags: [time, timeout, signal],
  query: (parsed) => ({
    t: parsed.number('time') ?? parsed.number('timeout'),
    signal: parsed.text('signal'),
  }),
})
export const restart = simple({
  name: 'restart',
  summary: 'Restart containers',
  flags: [time, timeout, signal],
  completes: 'container',
  query: (parsed) => ({
    t: parsed.number('time') ?? parsed.number('timeout'),
    signal: parsed.text('signal'),
  }),
})
export const kill = simple({
  name: 'kill',
  summary: 'Send a signal to containers',
  flags: [signal],
  query: (parsed) => ({ signal: parsed.text('signal') }),
})
export const pause = simple({ name: 'pause', summary: 'Freeze all processes of containers' })
export const unpause = simple({ name: 'unpause', summary: 'Let frozen containers go on' })

export const start: Command = {
  name: 'start',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Start containers',
  completes: 'container',
  arguments: [1, Infinity],
  flags: [
    { name: 'attach', short: 'a', kind: 'boolean', help: 'Attach to its output and pass signals on' },
    { name: 'interactive', short: 'i', kind: 'boolean', help: 'Attach to its standard input' },
    { name: 'detach-keys', kind: 'string', value: 'KEYS', help: 'Keys that detach' },
  ],
  async run(context, parsed) {
    const [container = ''] = parsed.arguments
    if (parsed.flag('attach') || parsed.flag('interactive')) {
      if (parsed.arguments.length > 1)
        throw usageError('you cannot start and attach multiple containers at once', 'Name one of them.')
      return await attachTo(context, container, {
        stdin: parsed.flag('interactive'),
        start: true,
        logs: false,
        proxy: true,
        detachKeys: detachKeysOf(parsed),
      })
    }
    return await forEach(context, parsed.arguments, async (name) => {
      await context.client.json('POST', `/containers/${encodeURIComponent(name)}/start`)
      context.print(name)
    })
  },
}

export const attach: Command = {
  name: 'attach',
  usage: '[OPTIONS] CONTAINER',
  summary: 'Attach the terminal to a running container',
  completes: 'running',
  arguments: [1, 1],
  flags: [
    { name: 'no-stdin', kind: 'boolean', help: 'Leave standard input alone' },
    { name: 'sig-proxy', kind: 'boolean', default: true, help: 'Pass signals on to the process' },
    { name: 'detach-keys', kind: 'string', value: 'KEYS', help: 'Keys that detach' },
  ],
  run: (context, parsed) =>
    attachTo(context, parsed.arguments[0] as string, {
      stdin: !parsed.flag('no-stdin'),
      start: false,
      logs: false,
      proxy: parsed.flag('sig-proxy'),
      detachKeys: detachKeysOf(parsed),
    }),
}

interface AttachTo {
  stdin: boolean
  start: boolean
  logs: boolean
  proxy: boolean
  detachKeys: string
}

async function attachTo(context: CommandContext, container: string, options: AttachTo): Promise<number> {
  const { client } = context
  const name = encodeURIComponent(container)
  const { Id, Config } = await client.json<{ Id: string; Config: { Tty: boolean; OpenStdin: boolean } }>(
    'GET',
    `/containers/${name}/json`,
  )
  const stdin = options.stdin && Config.OpenStdin
  const { socket, head } = await client.hijack(`/containers/${Id}/attach`, {
    query: {
      stream: 1,
      stdin: Number(stdin),
      stdout: 1,
      stderr: 1,
      detachKeys: options.detachKeys || undefined,
    },
  })
  const waiting = await client.open('POST', `/containers/${Id}/wait`, {
    query: options.start ? { condition: 'next-exit' } : {},
  })
  if (options.start) await client.json('POST', `/containers/${Id}/start`)
  const stopProxy = options.proxy && !Config.Tty ? proxySignals(client, Id) : () => {}
  const end = await copyStreams({
    client,
    socket,
    head,
    tty: Config.Tty,
    stdin,
    detachKeys: options.detachKeys,
    resizePath: `/containers/${Id}/resize`,
  })
  stopProxy()
  if (end === 'detached') {
    waiting.destroy()
    return 0
  }
  return await exitCodeOf(waiting)
}

export const wait: Command = {
  name: 'wait',
  usage: 'CONTAINER [CONTAINER...]',
  summary: 'Wait until containers end, and print their exit codes',
  completes: 'running',
  arguments: [1, Infinity],
  flags: [],
  run: (context, parsed) =>
    forEach(context, parsed.arguments, async (container) => {
      const { StatusCode } = await context.client.json<{ StatusCode: number }>(
        'POST',
        `/containers/${encodeURIComponent(container)}/wait`,
      )
      context.print(String(StatusCode))
    }),
}

export const rename: Command = {
  name: 'rename',
  usage: 'CONTAINER NEW_NAME',
  summary: 'Rename a container',
  completes: 'container',
  arguments: [2, 2],
  flags: [],
  async run({ client }, parsed) {
    const [container = '', name] = parsed.arguments
    await client.json('POST', `/containers/${encodeURIComponent(container)}/rename`, { query: { name } })
    return 0
  },
}

export const rm: Command = {
  name: 'rm',
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  summary: 'Remove containers',
  completes: 'container',
  arguments: [1, Infinity],
  flags: [
    { name: 'force', short: 'f', kind: 'boolean', help: 'Kill it first if it runs' },
    { name: 'volumes', short: 'v', kind: 'boolean', help: 'Remove its anonymous volumes too' },
  ],
  run: (context, parsed) =>
    forEach(context, parsed.arguments, async (container) => {
      await context.client.json('DELETE', `/containers/${encodeURIComponent(container)}`, {
        query: { force: Number(parsed.flag('force')), v: Number(parsed.flag('volumes')) },
      })
      context.print(container)
    }),
}
