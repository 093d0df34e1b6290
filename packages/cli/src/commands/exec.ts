import type { Command } from '../command.ts'
import { usageError } from '../command-line.ts'
import { copyStreams } from '../run/attach.ts'
import { detachKeysOf } from '../run/detach-keys.ts'
import { readEnvironment } from '../run/environment.ts'

export const exec: Command = {
  name: 'exec',
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  summary: 'Run a command in a running container',
  stopAtFirstArgument: true,
  completes: 'running',
  arguments: [2, Infinity],
  flags: [
    { name: 'interactive', short: 'i', kind: 'boolean', help: 'Keep standard input open' },
    { name: 'tty', short: 't', kind: 'boolean', help: 'Give the command a terminal' },
    { name: 'detach', short: 'd', kind: 'boolean', help: 'Run it in the background' },
    { name: 'env', short: 'e', kind: 'list', value: 'KEY=VALUE', help: 'Set a variable' },
    { name: 'env-file', kind: 'list', value: 'FILE', help: 'Read variables from a file' },
    { name: 'user', short: 'u', kind: 'string', value: 'USER[:GROUP]', help: 'User by name or number' },
    {
      name: 'workdir',
      short: 'w',
      kind: 'string',
      value: 'DIR',
      help: 'Working directory inside the container',
    },
    { name: 'privileged', kind: 'boolean', help: 'Give the command all that can be given' },
    { name: 'detach-keys', kind: 'string', value: 'KEYS', help: 'Keys that detach' },
  ],
  async run({ client }, parsed) {
    const [container = '', ...command] = parsed.arguments
    const [tty, stdin, detach] = [parsed.flag('tty'), parsed.flag('interactive'), parsed.flag('detach')]
    if (tty && stdin && !detach && !process.stdin.isTTY) {
      throw usageError('the input device is not a terminal', 'Leave -t away, or run it from a terminal.')
    }
    const detachKeys = detachKeysOf(parsed)
    const { Id } = await client.json<{ Id: string }>(
      'POST',
      `/containers/${encodeURIComponent(container)}/exec`,
      {
        body: {
          Cmd: command,
          Tty: tty,
          AttachStdin: stdin && !detach,
          AttachStdout: !detach,
          AttachStderr: !detach,
          Env: readEnvironment(parsed.list('env-file'), parsed.list('env')),
          User: parsed.text('user') ?? '',
          WorkingDir: parsed.text('workdir') ?? '',
          Privileged: parsed.flag('privileged'),
          DetachKeys: detachKeys,
        },
      },
    )
    if (detach) {
      await client.json('POST', `/exec/${Id}/start`, { body: { Detach: true, Tty: tty } })
      return 0
    }
    const { socket, head } = await client.hijack(`/exec/${Id}/start`, { body: { Detach: false, Tty: tty } })
    const end = await copyStreams({
      client,
      socket,
      head,
      tty,
      stdin,
      detachKeys,
      resizePath: `/exec/${Id}/resize`,
    })
    if (end === 'detached') return 0
    return (await client.json<{ ExitCode: number | null }>('GET', `/exec/${Id}/json`)).ExitCode ?? 0
  },
}
