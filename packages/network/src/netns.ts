/**
 * Work inside another network namespace (network_namespaces(7)).
 *
 * /proc/sys/net and a new child process belong to the namespace of the *thread* that opens or forks. Node's
 * main thread may therefore enter one and come back within one synchronous call, in which nothing else can
 * run; the threads of the pool never see it.
 */
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { setns } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'

/** `netns`: a descriptor; undefined is the namespace we are in. `work` must be synchronous. */
export function inNetns<T>(netns: number | undefined, work: () => T): T {
  if (netns === undefined) return work()
  const home = openSync('/proc/thread-self/ns/net', 'r')
  try {
    setns(netns, 'net')
    try {
      return work()
    } finally {
      leave(home)
    }
  } finally {
    closeSync(home)
  }
}

/** Going on in the wrong namespace would do to the host what was meant for a container. */
function leave(home: number): void {
  try {
    setns(home, 'net')
  } catch (error) {
    process.stderr.write(`holdfast: cannot leave a network namespace: ${String(error)}\n`)
    process.abort()
  }
}

/**
 * Writes keys below /proc/sys/net, `ipv6/conf/eth0/accept_ra`, where the value differs. To be called inside
 * `inNetns`. Keys that this kernel lacks are skipped when `optional`.
 */
export function writeSysctl(key: string, value: string, optional = false): void {
  const path = `/proc/sys/net/${key}`
  try {
    if (readFileSync(path, 'latin1').trim() === value) return
    const fd = openSync(path, 'w')
    try {
      writeSync(fd, value)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (!(optional && hasCode(error, 'ENOENT'))) throw error
  }
}

/** A key's value below /proc/sys/net, without its line's end; undefined: this kernel lacks it. */
export function readSysctl(key: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/net/${key}`, 'latin1').trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** What lies in a directory below /proc/sys/net. */
export function listSysctls(directory: string): string[] {
  return readdirSync(`/proc/sys/net/${directory}`)
}
