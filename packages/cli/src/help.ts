import type { Command } from './command.ts'
import type { Flag } from './command-line.ts'
import { table } from './render/table.ts'

export function overview(commands: Command[]): string {
  const rows = commands.map((command) => [`  ${command.name}`, command.summary])
  return [
    'Usage: hold [-H unix:///path/to/socket] COMMAND',
    '',
    'Containers on Linux namespaces, with docker’s verbs and flags.',
    '',
    table(['Commands:', ''], rows),
    '',
    'hold COMMAND --help says more of each. docker’s groups are understood too: hold container ls, hold image rm, hold system info.',
  ].join('\n')
}

export function commandHelp(command: Command): string {
  const head = [`Usage: hold ${command.name} ${command.usage}`, '', `${command.summary}.`]
  if (command.flags.length === 0) return head.join('\n')
  const rows = [...command.flags]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => [flagForm(flag), flag.help])
  return [...head, '', table(['Options:', ''], rows)].join('\n')
}

function flagForm(flag: Flag): string {
  const short = flag.short ? `-${flag.short}, ` : '    '
  return `  ${short}--${flag.name}${flag.kind === 'boolean' ? '' : ` ${flag.value ?? 'VALUE'}`}`
}
