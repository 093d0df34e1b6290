/** `exec`: one more process in a running container. */
import { openSync, constants } from 'node:fs'
import { resolve } from 'node:path'
import { closeFd, O_PATH } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import {
  planExec,
  readProcess,
  sessionKeyring,
  type ExecPlan,
  type OciConfig,
  type OciProcess,
} from '@holdfast/plan'
import {
  birthCgroup,
  handOverListener,
  openMemberDirectory,
  openProcs,
  type CgroupHandle,
} from '@holdfast/shim/library'
import { ExitError, type Call } from '../front-end/call.ts'
import { readCallerFile } from '../front-end/caller-file.ts'
import { ownerOf } from './create.ts'
import { directSteps } from '../direct-steps.ts'
import { openInit } from '../ending.ts'
import { withHome, withListenFds } from '../as-runc/environment.ts'
import { messageOf } from '../front-end/error-text.ts'
import { execCgroups } from './exec-cgroup.ts'
import { execProcess, withDefaults } from './exec-process.ts'
import { launchBy } from '../front-end/launch.ts'
import { numberOption, parseOptions, usage, type Options } from '../front-end/options.ts'
import { planHost } from '../plan-host.ts'
import { withRightsOf } from '../rootless.ts'
import * as store from '../store.ts'

const spec = {
  switches: ['tty', 'detach', 'no-new-privs', 'ignore-paused', 'no-subreaper'],
  values: [
    'console-socket',
    'cwd',
    'user',
    'process',
    'pid-file',
    'process-label',
    'apparmor',
    'preserve-fds',
    'pidfd-socket',
  ],
  lists: ['env', 'additional-gids', 'cap', 'cgroup'],
  aliases: { t: 'tty', d: 'detach', e: 'env', u: 'user', p: 'process', g: 'additional-gids', c: 'cap' },
  stopsAtArgument: true,
}

/** runc's status where the process could not be started. */
const notStarted = 255

export async function exec(call: Call): Promise<void> {
  const options = parseOptions(call.request.args, spec)
  const [id, ...args] = options.args
  if (id === undefined) throw usage('"exec" requires a minimum of 1 argument: a container id')
  try {
    await start(call, options, id, args)
  } catch (error) {
    throw new ExitError(notStarted, `exec failed: ${messageOf(error)}`)
  }
}

async function start(call: Call, options: Options, id: string, args: string[]): Promise<void> {
  const { request } = call
  const record = store.load(request.root, id)
  checkStatus(store.statusOf(request.root, record), options)
  const config = store.loadConfig(request.root, id)
  const process = withSurroundings(await processOf(call, options, config, args), call, record, config)
  checkConsole(process, options)
  await launch(call, { options, record, config, process })
}

function checkStatus(status: store.Status, { on }: Options): void {
  if (status === 'stopped' || status === 'creating')
    throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'cannot exec in a stopped container')
  if (status === 'paused' && !on.has('ignore-paused'))
    throw new HoldfastError(
      'HF_CONTAINER_PAUSED',
      'cannot exec in a paused container (use --ignore-paused to override)',
    )
}

async function processOf(
  call: Call,
  options: Options,
  config: OciConfig,
  args: string[],
): Promise<OciProcess> {
  const file = options.value['process']
  if (file === undefined) {
    if (args.length === 0) throw usage('process args cannot be empty')
    return execProcess(config.process, args, options)
  }
  let json: unknown
  try {
    json = JSON.parse(await readCallerFile(call, file))
  } catch (error) {
    throw usage(`process file ${file}: ${(error as Error).message}`)
  }
  const process = withDefaults(readProcess(json, 'process'), config.process)
  if (!process.args?.length) throw usage('process args cannot be empty')
  return options.on.has('tty') ? { ...process, terminal: true } : process
}

function withSurroundings(
  process: OciProcess,
  { request, warn }: Call,
  record: store.ContainerRecord,
  config: OciConfig,
): OciProcess {
  const env = withHome(process.env ?? [], resolve(record.bundle, config.root!.path), process.user?.uid ?? 0)
  return withRightsOf(request, { ...process, env: withListenFds(env, request.listenFds) }, warn)
}

function checkConsole({ terminal }: OciProcess, { on, value }: Options): void {
  const socket = value['console-socket'] ?? ''
  if (terminal && on.has('detach') && socket === '')
    throw usage('cannot allocate tty if holdfast-oci will detach without setting console socket')
  if (!terminal && socket !== '')
    throw usage('cannot use console socket if holdfast-oci will not detach or allocate tty')
}

interface Exec {
  options: Options
  record: store.ContainerRecord
  config: OciConfig
  process: OciProcess
}

async function launch(call: Call, { options, record, config, process }: Exec): Promise<void> {
  const pidfd = openInit(record)
  if (pidfd === undefined)
    throw new HoldfastError('HF_CONTAINER_NOT_RUNNING', 'cannot exec in a stopped container')
  const opened: number[] = [pidfd]
  try {
    const cgroups = execCgroups(record, options.list['cgroup'] ?? []).map(opener(opened))
    const birth = birthCgroup(cgroups)
    const plan = planFor(call, { record, config, process })
    const others = cgroups.filter((cgroup) => cgroup !== birth)
    const fds: Record<string, number> = { pidfd, ...openProcs(plan.steps, others) }
    if (birth) fds[birth.as] = memberDirectory(birth, record, options)
    if (record.planted) fds['root'] = openSync(`/proc/${record.pid}/root`, O_PATH | constants.O_DIRECTORY)
    opened.push(...Object.values(fds).filter((fd) => fd !== pidfd))
    const { value, on } = options
    await launchBy(
      call.connection,
      {
        id: record.id,
        title: `holdfast-oci: exec ${record.id}`,
        steps: directSteps(plan.steps, {
          bornIn: birth?.as,
          listen: false,
          keyring: true,
          preserve: call.request.listenFds + numberOption(options, 'preserve-fds', 0),
        }),
        fds,
        bornIn: birth?.as,
        terminal: plan.terminal,
        detach: on.has('detach'),
        exec: true,
        pidFile: value['pid-file'],
        consoleSocket: value['console-socket'],
        owner: plan.terminal ? undefined : ownerOf(config, process.user),
      },
      {
        onListener: (listener, pid) => handOverListener(ociBundle(record, config), listener, pid),
        onReady: () => {},
        onStarted: () => Promise.resolve(),
      },
    )
  } finally {
    for (const fd of opened) closeFd(fd)
  }
}

const ociBundle = ({ id, bundle }: store.ContainerRecord, config: OciConfig) => ({
  dir: bundle,
  spec: { id },
  config,
})

function opener(opened: number[]): (cgroup: store.Cgroup) => CgroupHandle {
  return (cgroup) => {
    const dirFd = openSync(cgroup.path, constants.O_RDONLY | constants.O_DIRECTORY)
    opened.push(dirFd)
    return { ...cgroup, dirFd }
  }
}

/** The container's own, or where its init has moved to; one that was named is taken as it is. */
function memberDirectory(birth: CgroupHandle, { pid }: store.ContainerRecord, options: Options): number {
  if ((options.list['cgroup'] ?? []).length > 0)
    return openSync(birth.path, constants.O_RDONLY | constants.O_DIRECTORY)
  return openMemberDirectory(birth, pid)
}

function planFor(call: Call, { record, config, process }: Omit<Exec, 'options'>): ExecPlan {
  const seccomp = config.linux?.seccomp
  const plan = planExec(process, {
    namespaces: record.namespaces,
    pidfd: 'pidfd',
    cgroupProcs: record.cgroups.map(({ as }) => `${as}:procs`),
    ...(seccomp && { seccomp }),
    ...(record.planted && { root: 'root' }),
    ...(record.keyring && { keyring: sessionKeyring(record.id) }),
    host: planHost(call.request),
  })
  for (const warning of plan.warnings ?? []) call.warn(warning)
  return plan
}
