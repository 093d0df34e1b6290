/** What a front end asks for: its memfd of NUL-ended texts (native/ask.c). */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { protocolError } from './protocol-error.ts'

export interface Request {
  /** Names this call among all others. */
  call: string
  /** Of the caller: relative paths start here. */
  cwd: string
  /** The runtime root, absolute. */
  root: string
  /** Numbers of the caller's bounding set. */
  capabilities: number[]
  /** $LISTEN_FDS of the caller: how many sockets from 3 on it hands to the container; 0 for none. */
  listenFds: number
  debug: boolean
  systemdCgroup: boolean
  /** As runc's: whether a cgroup that can't be made is done without. */
  rootless: 'true' | 'false' | 'auto'
  /** Of the front end, in this planner's pid namespace. */
  pid: number
  verb: string
  /** The verb's own options and arguments. */
  args: string[]
}

const protocol = '3'

export function readRequest(fd: number): Request {
  const texts = readFileSync(`/proc/self/fd/${fd}`, 'utf8').split('\0').slice(0, -1)
  const [
    version,
    call = '',
    cwd = '/',
    root = '',
    pid = '',
    capabilities = '0',
    listenFds = '',
    ,
    ...commandLine
  ] = texts
  if (version !== protocol) throw protocolError(`protocol ${version}, not ${protocol}`)
  const mask = BigInt(`0x${capabilities}`)
  const globals = readGlobals(commandLine)
  return {
    ...globals,
    call,
    cwd,
    root: resolve(cwd, root),
    pid: Number(pid),
    capabilities: Array.from({ length: 64 }, (_, number) => number).filter(
      (number) => ((mask >> BigInt(number)) & 1n) === 1n,
    ),
    listenFds: /^[1-9]\d{0,2}$/.test(listenFds) ? Number(listenFds) : 0,
  }
}

const withValue = new Set(['root', 'log', 'log-format', 'criu', 'rootless'])

/** The front end has checked them; here they are read past. */
function readGlobals(
  commandLine: readonly string[],
): Pick<Request, 'debug' | 'systemdCgroup' | 'rootless' | 'verb' | 'args'> {
  const result = { debug: false, systemdCgroup: false, rootless: 'auto' as Request['rootless'] }
  let at = 0
  for (; commandLine[at]?.startsWith('-'); at++) {
    const [, name = '', value] = /^--?([^=]*)(?:=(.*))?$/s.exec(commandLine[at]!) ?? []
    const given = withValue.has(name) ? (value ?? commandLine[++at] ?? '') : value
    if (name === 'rootless') result.rootless = given === 'auto' ? 'auto' : isOn(given) ? 'true' : 'false'
    if (name === 'debug') result.debug = isOn(given)
    if (name === 'systemd-cgroup') result.systemdCgroup = isOn(given)
  }
  return { ...result, verb: commandLine[at] ?? '', args: commandLine.slice(at + 1) }
}

export function isOn(value: string | undefined): boolean {
  return value === undefined || value === 'true' || value === '1'
}
