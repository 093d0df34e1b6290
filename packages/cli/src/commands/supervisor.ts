import { fileURLToPath } from 'node:url'

import type { Command } from '../command.ts'

/** Its flags are the supervisor's own: they are passed on as they are. */
export const supervisor: Command = {
  name: 'supervisor',
  usage: '[FLAGS]',
  summary: 'Run the supervisor in the foreground (`hold supervisor --help` lists its flags)',
  arguments: [0, Infinity],
  flags: [],
  async run() {
    const program = fileURLToPath(import.meta.resolve('@holdfast/supervisor/main'))
    // The supervisor refuses an environment that injects code; here it is only not handed on.
    const {
      NODE_OPTIONS: _options,
      NODE_PATH: _path,
      NODE_EXTRA_CA_CERTS: _certificates,
      ...environment
    } = process.env
    const flags = process.argv.slice(process.argv.indexOf('supervisor') + 1)
    process.execve!(
      process.execPath,
      [process.execPath, ...process.execArgv, program, ...flags],
      environment as Record<string, string>,
    )
    return 0
  },
}
