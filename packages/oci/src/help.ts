/** `VERB --help`. */
import type { Call } from './call.ts'
import { usage } from './options.ts'

const lines: Readonly<Record<string, string>> = {
  create:
    'create [--bundle DIR] [--console-socket PATH] [--pid-file FILE] [--no-pivot] [--no-new-keyring] [--preserve-fds N] ID',
  run: 'run [--detach] [--keep] [the options of create] ID',
  start: 'start ID',
  state: 'state ID',
  kill: 'kill [--all] ID [SIGNAL]',
  delete: 'delete [--force] ID',
  exec: 'exec [--process FILE] [--tty] [--detach] [--cwd DIR] [--user UID[:GID]] [--env NAME=VALUE] [--cap CAP] [--cgroup PATH] [--pid-file FILE] [--console-socket PATH] [--preserve-fds N] [--additional-gids GID] [--no-new-privs] [--ignore-paused] ID [COMMAND [ARG...]]',
  list: 'list [--quiet] [--format table|json]',
  ps: 'ps [--format table|json] ID [PS OPTIONS]',
  pause: 'pause ID',
  resume: 'resume ID',
  update:
    'update [--resources FILE|-] [--memory BYTES] [--cpu-quota N] [--cpu-period N] [--cpu-share N] [--pids-limit N] … ID',
  events: 'events [--stats] [--interval DURATION] ID',
  features: 'features',
  spec: 'spec [--bundle DIR] [--rootless]',
}

export function help({ request, print }: Call): void {
  if (!request.args.some((arg) => arg === '--help' || arg === '-h')) {
    const bad = request.args.find((arg) => arg.startsWith('-')) ?? ''
    throw usage(`flag provided but not defined: -${bad.replace(/^--?/, '')}`)
  }
  print(`USAGE:\n   holdfast-oci ${lines[request.verb] ?? request.verb}\n`)
}
