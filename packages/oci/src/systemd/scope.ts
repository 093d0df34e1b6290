/**
 * A container's cgroup as a transient scope of systemd's (systemd.scope(5)): `--systemd-cgroup`. systemd makes the
 * cgroup and knows its limits; what is in it is delegated, and ours.
 *
 * A scope is made around a process and goes with its last one, and the container's first is only born into it. Until
 * then a tenant keeps it: a `cat` that ends when this end of its input does, at the latest with the planner.
 */
import type { ChildProcess } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { DbusConnection, DbusError, type DbusCall } from './dbus-connection.ts'
import type { DbusValue } from './dbus-message.ts'
import type { Property } from './properties.ts'
import type { ScopeUnit } from './unit.ts'

export interface Tenant {
  pid: number
  /** Resolves when it has ended. */
  leave(): Promise<void>
}

/** sd_booted(3). */
export function refuseWithoutSystemd(): void {
  try {
    if (statSync('/run/systemd/system').isDirectory()) return
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error
  }
  throw new HoldfastError(
    'HF_UNSUPPORTED',
    '--systemd-cgroup needs systemd to run this host, and it does not',
    { hint: "Set the engine's cgroup driver to cgroupfs." },
  )
}

/** Throws HF_NAME_IN_USE where the unit is there, HF_START_FAILED where systemd won't. */
export async function startScope(
  unit: ScopeUnit,
  id: string,
  properties: readonly Property[],
): Promise<Tenant> {
  const tenant = await newTenant()
  try {
    await withSystemd(async (systemd) => {
      const all = [...ownProperties(unit, tenant.pid, id), ...properties]
      const start = (): Promise<void> => systemd.job(startCall(unit, all))
      try {
        await start()
      } catch (error) {
        if (!isError(error, 'UnitExists')) throw error
        // Perhaps only the memory of one that failed, which goes when it is told to.
        await systemd.reset(unit.name)
        await start()
      }
    })
    refuseElsewhere(unit, tenant.pid)
    return tenant
  } catch (error) {
    await tenant.leave()
    if (isError(error, 'UnitExists'))
      throw new HoldfastError('HF_NAME_IN_USE', `systemd has a unit ${unit.name} already`, { cause: error })
    if (!(error instanceof DbusError)) throw error
    throw new HoldfastError('HF_START_FAILED', `unable to start unit ${unit.name}: ${error.message}`, {
      cause: error,
    })
  }
}

/** Other limits; they are forgotten with the unit. */
export async function setScopeProperties(name: string, properties: readonly Property[]): Promise<void> {
  if (properties.length === 0) return
  await withSystemd((systemd) =>
    systemd.call({
      member: 'SetUnitProperties',
      signature: 'sba(sv)',
      body: [name, true, asBody(properties)],
    }),
  )
}

/** Ends it, and what systemd remembers of it. One that is gone is fine. */
export async function stopScope(name: string): Promise<void> {
  await withSystemd(async (systemd) => {
    try {
      await systemd.job({ member: 'StopUnit', signature: 'ss', body: [name, 'replace'] })
    } catch (error) {
      if (!isError(error, 'NoSuchUnit')) throw error
    }
    await systemd.reset(name)
  })
}

const startCall = (unit: ScopeUnit, properties: readonly Property[]): ManagerCall => ({
  member: 'StartTransientUnit',
  signature: 'ssa(sv)a(sa(sv))',
  body: [unit.name, 'replace', asBody(properties), []],
})

const asBody = (properties: readonly Property[]): DbusValue =>
  properties.map(([name, value]) => [name, value])

function ownProperties({ slice }: ScopeUnit, pid: number, id: string): Property[] {
  const on = { signature: 'b', value: true }
  return [
    ['Description', { signature: 's', value: `holdfast-oci container ${id}` }],
    ['Slice', { signature: 's', value: slice }],
    ['PIDs', { signature: 'au', value: [pid] }],
    ['Delegate', on],
    ['MemoryAccounting', on],
    ['CPUAccounting', on],
    ['IOAccounting', on],
    ['TasksAccounting', on],
    // No dependency on the targets of boot and shutdown: the engine's own unit has those.
    ['DefaultDependencies', { signature: 'b', value: false }],
  ]
}

/** systemd's tree might not be the one that we see. */
function refuseElsewhere({ name, path }: ScopeUnit, pid: number): void {
  const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'latin1')
  // Its hierarchy of v1, or v2's; a host that has the other too need not use it.
  const found = [...cgroup.matchAll(/^\d+:(?:name=systemd)?:(.*)$/gm)].map(([, each]) => each)
  if (found.includes(path)) return
  throw new HoldfastError('HF_START_FAILED', `unit ${name} has its cgroup at ${found.join()}, not at ${path}`)
}

async function newTenant(): Promise<Tenant> {
  const { spawn } = await import('node:child_process')
  const child: ChildProcess = spawn('cat', [], { stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  return {
    pid: child.pid!,
    leave: () => {
      child.stdin!.destroy()
      return ended
    },
  }
}

type ManagerCall = Pick<DbusCall, 'member' | 'signature' | 'body'>

interface Systemd {
  call(what: ManagerCall): Promise<DbusValue[]>
  /** A call that starts a job; resolves when that is done. */
  job(what: ManagerCall): Promise<void>
  reset(name: string): Promise<void>
}

const manager = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
}
const errorPrefix = 'org.freedesktop.systemd1.'

function isError(error: unknown, name: string): boolean {
  return error instanceof DbusError && error.name === errorPrefix + name
}

async function withSystemd<T>(work: (systemd: Systemd) => Promise<T>): Promise<T> {
  const connection = await DbusConnection.open()
  const call = (what: ManagerCall): Promise<DbusValue[]> => connection.call({ ...manager, ...what })
  try {
    if (connection.bus) await subscribe(connection)
    return await work({
      call,
      reset: (name) => reset(call, name),
      job: (what) => job(connection, call, what),
    })
  } finally {
    connection.close()
  }
}

async function subscribe(connection: DbusConnection): Promise<void> {
  const bus = {
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
  }
  const rule = `type='signal',sender='${manager.destination}',interface='${manager.interface}',member='JobRemoved'`
  await connection.call({ ...bus, member: 'AddMatch', signature: 's', body: [rule] })
  await connection.call({ ...manager, member: 'Subscribe' })
}

async function reset(call: Systemd['call'], name: string): Promise<void> {
  try {
    await call({ member: 'ResetFailedUnit', signature: 's', body: [name] })
  } catch (error) {
    if (!isError(error, 'NoSuchUnit')) throw error
  }
}

/** JobRemoved (u id, o job, s unit, s result) may come before the answer that names the job. */
async function job(connection: DbusConnection, call: Systemd['call'], what: ManagerCall): Promise<void> {
  const removed = new Map<DbusValue, DbusValue>()
  let awaited: DbusValue | undefined
  const done = connection.expect(`finish ${what.member}`, (message) => {
    if (message.type !== 'signal' || message.member !== 'JobRemoved') return false
    const [, path, , result] = message.body
    removed.set(path!, result!)
    return path === awaited
  })
  done.catch(() => {}) // whoever waits for it below hears of it
  ;[awaited] = await call(what)
  if (!removed.has(awaited!)) await done
  const result = removed.get(awaited!)
  if (result === 'done' || result === 'skipped') return
  throw new DbusError(`${errorPrefix}JobFailed`, `the job ended with ${JSON.stringify(result)}`)
}
