/**
 * The warm helper behind the front end (front/ask.c has the messages): answers the calls of any number of callers that
 * share its mount, pid and user namespaces. Each sends its network namespace along; the helper was started in one of its
 * own, so that it holds nobody's.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { closeFd, serveFrontEnds, type Packet, type PacketConnection } from '@holdfast/core'
import { answer, type Answer } from './call.ts'
import type { Caller, PluginOutcome } from './caller.ts'
import type { Command } from './environment.ts'

/** Beyond the jobs that run each hour, and who works by hand: who comes later starts one, which takes ten times the call. */
const idleMs = 3_900_000
/** Somebody asked for VERSION, and then for nothing. */
const unaskedMs = 60_000
/** It keeps the mount namespace alive that it shares with its callers. */
const idleInForeignMountsMs = 60_000
const protocol = '1'
/** A packet of the front end has 4096 bytes. */
const maxWarning = 4_000

export async function serveCalls(args: readonly string[]): Promise<number> {
  process.title = `holdfast-bridge: helper ${args[1] ?? ''}`
  const asked = livesInHostsMounts() ? idleMs : idleInForeignMountsMs
  let stay = unaskedMs
  await serveFrontEnds({
    args,
    idleMs: () => stay,
    async serve(connection) {
      if (await serve(connection)) stay = asked
    },
  })
  return 0
}

/** Init's: nobody waits for its mounts to go. */
function livesInHostsMounts(): boolean {
  try {
    return readlinkSync('/proc/1/ns/mnt') === readlinkSync('/proc/self/ns/mnt')
  } catch {
    return false // no /proc, or none that shows init
  }
}

/** Whether there was a call: a front end that answers VERSION looks in to have a helper for what comes next. */
async function serve(connection: PacketConnection): Promise<boolean> {
  if (!connection.send('h')) return false
  const packet = await connection.receive()
  if (!packet) return false
  try {
    await serveRequest(connection, packet)
  } catch (error) {
    // The front end finds no answer, and has Node answer directly.
    process.stderr.write(`holdfast-bridge: ${String(error)}\n`)
  } finally {
    for (const fd of packet.fds) closeFd(fd)
  }
  return true
}

async function serveRequest(connection: PacketConnection, { kind, fds }: Packet): Promise<void> {
  const [memfd, hostNetns] = fds
  if (kind !== 'q' || memfd === undefined || hostNetns === undefined) throw new Error('no request')
  const { env, config } = readRequest(readFileSync(`/proc/self/fd/${memfd}`))
  const call = { env, readInput: () => config, caller: callerBehind(connection), hostNetns }
  const given = await answer(call)
  if (send(connection, given) || env['CNI_COMMAND'] !== 'ADD' || given.status !== 0) return
  // The caller was killed. It knows of no attachment, and nobody might ever ask for its end.
  await answer({ ...call, env: { ...env, CNI_COMMAND: 'DEL' } })
}

function send(connection: PacketConnection, { status, text }: Answer): boolean {
  return connection.sendTexts('x', Buffer.of(status), text === '' ? [] : [text])
}

/** Texts ended by NUL: the protocol, variables, an empty one; then the configuration. */
export function readRequest(bytes: Buffer): { env: NodeJS.ProcessEnv; config: Buffer } {
  const texts: string[] = []
  for (let at = 0; ;) {
    const end = bytes.indexOf(0, at)
    if (end < 0) throw new Error('a request is cut short')
    const text = bytes.toString('utf8', at, end)
    at = end + 1
    if (text !== '') {
      texts.push(text)
      continue
    }
    const [version, ...variables] = texts
    if (version !== protocol) throw new Error(`protocol ${version}, not ${protocol}`)
    const pairs = variables.map((each) => {
      const equals = each.indexOf('=')
      return [each.slice(0, equals), each.slice(equals + 1)]
    })
    return { env: Object.fromEntries(pairs), config: bytes.subarray(at) }
  }
}

/** One plugin at a time: a connection has one reader. */
function callerBehind(connection: PacketConnection): Caller {
  return {
    async runPlugin(program: string, command: Command): Promise<PluginOutcome> {
      connection.send('d', `${program}\0${command}\0`)
      const packet = await connection.receive()
      if (packet?.kind !== 'r') return failed('the caller is gone')
      const [memfd] = packet.fds
      if (packet.body[0] !== 1 || memfd === undefined) return failed(packet.body.toString('utf8', 1))
      try {
        return outcome(packet.body.readUInt32LE(1), readFileSync(`/proc/self/fd/${memfd}`))
      } finally {
        closeFd(memfd)
      }
    },
    warn(message) {
      connection.send('w', Buffer.from(`holdfast-bridge: ${message}`).subarray(0, maxWarning))
    },
  }
}

function failed(error: string): PluginOutcome {
  return { status: null, signal: null, stdout: Buffer.alloc(0), error }
}

/** A wait status (wait(2)). */
function outcome(status: number, stdout: Buffer): PluginOutcome {
  const number = status & 0x7f
  if (number === 0) return { status: (status >> 8) & 0xff, signal: null, stdout }
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0]
  return { status: null, signal: name ?? String(number), stdout }
}
