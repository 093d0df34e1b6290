/** What a runtime says in the environment: which command, for which container. */
import { CniError, cniCodes } from './error.ts'

export const commands = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const
export type Command = (typeof commands)[number]

export interface Environment {
  command: Command
  containerId: string
  /** DEL alone may come without. */
  netns: string
  interface: string
  /** CNI_ARGS by name. */
  args: Record<string, string>
  /** Directories of plugins. */
  path: string[]
}

/** What each command needs of the environment; STATUS, GC and VERSION know no container. */
const required: Record<Command, string[]> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  GC: [],
  STATUS: [],
  VERSION: [],
}

export function readEnvironment(env: NodeJS.ProcessEnv): Environment {
  const command = env['CNI_COMMAND'] ?? ''
  if (!isCommand(command)) {
    const message = command === '' ? 'CNI_COMMAND is missing' : `CNI_COMMAND '${command}' is not known`
    throw new CniError(cniCodes.environment, message, `It is one of ${commands.join(', ')}.`)
  }
  const missing = required[command].filter((name) => (env[name] ?? '') === '')
  if (missing.length > 0) {
    throw new CniError(cniCodes.environment, `${missing.join(', ')} must be set for ${command}`)
  }
  const path = (env['CNI_PATH'] ?? '').split(':').filter((directory) => directory !== '')
  return {
    command,
    containerId: env['CNI_CONTAINERID'] ?? '',
    netns: env['CNI_NETNS'] ?? '',
    interface: env['CNI_IFNAME'] ?? '',
    args: readArgs(env['CNI_ARGS'] ?? ''),
    path,
  }
}

/** `A=1;B=2`. What we don't know is passed over where IgnoreUnknown says so, else refused. */
function readArgs(text: string): Record<string, string> {
  const args: Record<string, string> = {}
  for (const pair of text.split(';').filter((each) => each !== '')) {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new CniError(cniCodes.environment, `CNI_ARGS: '${pair}' is not like NAME=VALUE`)
    args[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  const ignores = /^(true|1)$/i.test(args['IgnoreUnknown'] ?? '')
  const unknown = Object.keys(args).filter((name) => !['IgnoreUnknown', 'IP', 'MAC'].includes(name))
  if (ignores || unknown.length === 0) return args
  throw new CniError(
    cniCodes.environment,
    `CNI_ARGS: ${unknown.join(', ')} ${unknown.length === 1 ? 'is' : 'are'} not known`,
    'Known are IP and MAC; IgnoreUnknown=1 has others passed over.',
  )
}

function isCommand(text: string): text is Command {
  return commands.includes(text as Command)
}
