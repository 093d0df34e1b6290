/**
 * Has a front end launch what was planned: it starts the launcher, whose init becomes its own child and then its
 * caller's. The conversation is drawn in native/launch.c.
 */
import { closeFd, loadLauncher, memfdCreate, TableWriter, type PacketConnection } from '@holdfast/core'
import { HoldfastError } from '@holdfast/errors'
import type { Step } from '@holdfast/plan'
import { encodeStep, launchError } from '@holdfast/shim/library'
import { protocolError } from './protocol-error.ts'
import { FlatWriter } from './flat.ts'
import { writeHooks, type HookRun } from './hooks.ts'

export interface Launch {
  id: string
  /** What ps(1) shows of the launcher. */
  title: string
  steps: readonly Step[]
  /** The descriptors that the steps name, but for the front end's own. */
  fds: Readonly<Record<string, number>>
  /** Of `fds`, the cgroup v2 directory in which everything is born. */
  bornIn?: string | undefined
  terminal: boolean
  /** The front end leaves once the program runs. */
  detach: boolean
  /** Stops at the door, for `start` to open it. */
  door?: boolean
  /** An added process, not a container. */
  exec?: boolean
  /** `run` doesn't delete the container when it ends. */
  keep?: boolean
  pidFile?: string | undefined
  consoleSocket?: string | undefined
  /** Whom stdio is given to. */
  owner?: number | undefined
  hooks?: HookRun
}

export interface LaunchEvents {
  /** The seccomp notification descriptor, to be closed. Rejects where nobody takes it. */
  onListener(listener: number, pid: number): Promise<void>
  /** At the door: what is not to be lost must be written down now. */
  onReady(pid: number): void | Promise<void>
  /** The program runs. */
  onStarted(pid: number): Promise<void>
}

/** Resolves when the front end has done its part. Rejects with what failed; undoing is the caller's. */
export async function launchBy(
  connection: PacketConnection,
  launch: Launch,
  events: LaunchEvents,
): Promise<void> {
  sendLaunch(connection, launch)
  let pid = 0
  for (;;) {
    const packet = await connection.receive()
    switch (packet?.kind) {
      case undefined:
        throw new HoldfastError('HF_START_FAILED', 'the call was broken off')
      case 'b':
        pid = packet.body.readInt32LE(0)
        break
      case 'e':
        throw failure(packet.body, launch.steps)
      case 'f':
        throw new HoldfastError('HF_START_FAILED', packet.body.toString())
      case 'n':
        await events.onListener(packet.fds[0] ?? -1, pid)
        connection.send('o')
        break
      case 'c':
        await events.onReady(pid)
        connection.send('o')
        break
      case 's':
        await events.onStarted(pid)
        connection.send('o')
        return
      default:
        throw protocolError(`unexpected ${packet?.kind}`)
    }
  }
}

const flagBits = { terminal: 1, detach: 2, keep: 4, door: 8, exec: 16 } as const

function sendLaunch(connection: PacketConnection, launch: Launch): void {
  const table = new TableWriter()
  for (const step of launch.steps) encodeStep(table, step)
  const bytes = table.finish({ mode: 'direct', report: 'report' })
  const passed: number[] = []
  const pass = (fd: number): number => passed.push(fd) + 2 // behind program, table and description
  const sources = table.descriptors.map((name) => ownSource(name) ?? pass(given(launch.fds, name)))
  const cgroup = launch.bornIn === undefined ? -1 : pass(given(launch.fds, launch.bornIn))
  const memfds = [memfdCreate('table', bytes)]
  try {
    memfds.push(memfdCreate('launch', describe(launch, sources, cgroup)))
    connection.send('l', '', [loadLauncher(), ...memfds, ...passed])
  } finally {
    for (const fd of memfds) closeFd(fd)
  }
}

function describe(launch: Launch, sources: readonly number[], cgroup: number): Buffer {
  const flat = new FlatWriter()
  let flags = 0
  for (const [name, bit] of Object.entries(flagBits)) if (launch[name as keyof typeof flagBits]) flags |= bit
  flat
    .u32(flags)
    .u32(launch.owner ?? 0xffff_ffff)
    .u32(cgroup)
  flat
    .text(launch.id)
    .text(launch.title)
    .text(launch.pidFile ?? '')
    .text(launch.consoleSocket ?? '')
  flat.u32(sources.length)
  for (const source of sources) flat.u32(source)
  if (launch.hooks) writeHooks(flat, launch.hooks)
  else flat.u32(0).u32(0)
  return flat.finish()
}

const own: Readonly<Record<string, number>> = { stdin: -1, stdout: -2, stderr: -3, report: -4, door: -5 }
const firstPreserved = -100

/** The front end's own descriptors, by the numbers of native/launch.c. */
function ownSource(name: string): number | undefined {
  const preserved = /^preserved:(\d+)$/.exec(name)?.[1]
  return preserved === undefined ? own[name] : firstPreserved - Number(preserved)
}

function given(fds: Readonly<Record<string, number>>, name: string): number {
  const fd = fds[name]
  if (fd === undefined) throw new HoldfastError('HF_INTERNAL', `no descriptor is named ${name}`)
  return fd
}

/** u32 type, u32 step, i64 errno, system call NUL detail NUL. */
function failure(report: Buffer, steps: readonly Step[]): Error {
  const [syscall = '', detail = ''] = report.toString('utf8', 16).split('\0')
  const errno = Number(report.readBigInt64LE(8))
  return launchError({ kind: 'error', step: report.readUInt32LE(4), errno, syscall, detail }, steps)
}
