import type { Command } from '../command.ts'
import { usageError } from '../command-line.ts'

/** Scripts for the shells; what they offer comes from `hold __complete`, and so from the table of commands. */
const scripts: Record<string, string> = {
  bash: `_hold() {
  local IFS=$'\\n'
  COMPREPLY=($(hold __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _hold hold`,
  zsh: `#compdef hold
_hold() {
  local -a offers
  offers=(\${(f)"$(hold __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  compadd -a offers
}
compdef _hold hold`,
  fish: `complete -c hold -f -a '(hold __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'`,
}

export const completion: Command = {
  name: 'completion',
  usage: 'bash|zsh|fish',
  summary: 'Print the completion script of a shell (source <(hold completion bash))',
  arguments: [1, 1],
  flags: [],
  async run(context, parsed) {
    const script = scripts[parsed.arguments[0] as string]
    if (script === undefined)
      throw usageError(`no completion for "${parsed.arguments[0]}"`, 'bash, zsh or fish.')
    context.print(script)
    return 0
  },
}

/** What may stand where the last word is being typed. */
export async function complete(words: string[], commands: Command[], names: NameSource): Promise<string[]> {
  const [current = ''] = words.slice(-1)
  const before = words.slice(0, -1)
  const command = commands
    .filter((candidate) => candidate.name.split(' ').every((part, index) => part === before[index]))
    .sort((a, b) => b.name.length - a.name.length)[0]
  const offers = command ? await offersOf(command, before, current, names) : verbs(commands, before)
  return offers.filter((offer) => offer.startsWith(current))
}

export interface NameSource {
  containers(onlyRunning: boolean): Promise<string[]>
  images(): Promise<string[]>
}

function verbs(commands: Command[], before: string[]): string[] {
  const next = commands
    .map((command) => command.name.split(' '))
    .filter((parts) => before.every((word, index) => parts[index] === word))
    .map((parts) => parts[before.length])
  return [...new Set(next.filter((word) => word !== undefined))].sort()
}

async function offersOf(
  command: Command,
  before: string[],
  current: string,
  names: NameSource,
): Promise<string[]> {
  const previous = command.flags.find(
    (flag) => before.at(-1) === `--${flag.name}` || before.at(-1) === `-${flag.short}`,
  )
  if (previous && previous.kind !== 'boolean') return previous.choices ?? []
  if (current.startsWith('-')) return command.flags.map((flag) => `--${flag.name}`).sort()
  if (command.completes === 'image') return await names.images()
  return command.completes ? await names.containers(command.completes === 'running') : []
}
