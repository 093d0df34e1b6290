#!/usr/bin/env -S node --
import { hasCode, HoldfastError } from '@holdfast/errors'

import { describeError, type Command, type CommandContext } from './command.ts'
import { parseCommandLine, usageError, type Flag } from './command-line.ts'
import { complete } from './commands/completion.ts'
import { withoutGroup } from './commands/groups.ts'
import { commands } from './commands/index.ts'
import { EngineClient } from './engine-client.ts'
import { commandHelp, overview } from './help.ts'

const globalFlags: Flag[] = [
  { name: 'host', short: 'H', kind: 'string', value: 'SOCKET', help: 'The supervisor’s socket' },
  { name: 'help', kind: 'boolean', help: 'Show help' },
  { name: 'version', short: 'v', kind: 'boolean', help: 'Show the version' },
]

async function main(argv: string[]): Promise<number> {
  const global = parseCommandLine(argv, globalFlags, { stopAtFirstArgument: true })
  const client = new EngineClient(
    global.text('host') ??
      process.env['HOLDFAST_HOST'] ??
      process.env['DOCKER_HOST'] ??
      'unix:///run/holdfast/holdfast.sock',
  )
  const context: CommandContext = {
    client,
    terminal: process.stdout.isTTY === true,
    print: (text) => process.stdout.write(`${text}\n`),
    warn: (text) => process.stderr.write(`${text}\n`),
  }
  const given = global.arguments
  if (given[0] === '__complete') {
    const offers = await complete(given.slice(given[1] === '--' ? 2 : 1), commands, names(client))
    context.print(offers.join('\n'))
    return 0
  }
  if (global.flag('version')) return await runCommand(context, find('version'), [])
  if (given.length === 0 || given[0] === 'help' || global.flag('help')) {
    context.print(overview(commands))
    return 0
  }
  const words = withoutGroup(given)
  const command = commandOf(words)
  return await runCommand(context, command, words.slice(command.name.split(' ').length))
}

function find(name: string): Command {
  const command = commands.find((candidate) => candidate.name === name)
  if (!command) throw usageError(`'${name}' is not a hold command`, 'See `hold help`.')
  return command
}

/** `ns` has verbs of its own: two words. */
function commandOf(words: string[]): Command {
  if (words[0] !== 'ns') return find(words[0] as string)
  if (words[1] === undefined)
    throw usageError('hold ns needs a verb', '`hold ns ls`, `hold ns enter`, `hold ns create`, `hold ns rm`.')
  return find(`ns ${words[1]}`)
}

async function runCommand(context: CommandContext, command: Command, argv: string[]): Promise<number> {
  if (command.name === 'supervisor') return await command.run(context, parseCommandLine([], []))
  if (argv[0] === '--help' || (!command.stopAtFirstArgument && argv.includes('--help'))) {
    context.print(commandHelp(command))
    return 0
  }
  const parsed = parseCommandLine(argv, command.flags, {
    stopAtFirstArgument: command.stopAtFirstArgument ?? false,
  })
  const [least, most] = command.arguments
  const count = parsed.arguments.length
  if (count < least || count > most) {
    const wanted =
      least === most ? `exactly ${least}` : count < least ? `at least ${least}` : `at most ${most}`
    throw usageError(
      `"hold ${command.name}" takes ${wanted} argument${least === 1 && count < 1 ? '' : 's'}`,
      `Usage: hold ${command.name} ${command.usage}`,
    )
  }
  return await command.run(context, parsed)
}

function names(client: EngineClient): Parameters<typeof complete>[2] {
  return {
    containers: async (onlyRunning) =>
      (
        await client.json<{ Names: string[] }[]>('GET', '/containers/json', {
          query: { all: Number(!onlyRunning) },
        })
      ).flatMap(({ Names }) => Names.map((name) => name.replace(/^\//, ''))),
    images: async () =>
      (await client.json<{ RepoTags: string[] | null }[]>('GET', '/images/json')).flatMap(
        ({ RepoTags }) => RepoTags ?? [],
      ),
  }
}

/** The shell's and docker's exit codes: 127 not found, 126 not executable, 125 the engine's own failure, or a wrong flag. */
function exitCode(error: unknown, verb: string | undefined): number {
  if (hasCode(error, 'HF_COMMAND_NOT_FOUND')) return 127
  if (hasCode(error, 'HF_COMMAND_NOT_EXECUTABLE')) return 126
  if (error instanceof HoldfastError && error.details?.['flag'] !== undefined) return 125
  return verb === 'run' || verb === 'start' ? 125 : 1
}

// A reader that goes away (`hold logs x | head`) ends the program quietly.
process.stdout.on('error', (error) => {
  if (hasCode(error, 'EPIPE')) process.exit(0)
  throw error
})

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`hold: ${describeError(error)}\n`)
  process.exitCode = exitCode(
    error,
    process.argv.find((word) => !word.startsWith('-') && commands.some(({ name }) => name === word)),
  )
}
// Standard input may still be open: nothing more is read of it.
process.exit()
