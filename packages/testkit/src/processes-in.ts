import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * Processes of Holdfast's that hold a file beneath this directory, removed files and sockets bound there included. Their
 * titles (`holdfast: shim NAME`) hide the arguments that name it.
 */
export function processesIn(directory: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!processTitle(pid).startsWith('holdfast: ')) return false
    try {
      const links = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
      return (
        links.some((link) => link.startsWith(`${directory}/`)) ||
        socketsIn(pid, directory).some((inode) => links.includes(`socket:[${inode}]`))
      )
    } catch {
      return false // it ended, or closed a file, in the meantime
    }
  })
}

/** '' for what is no process, or has ended. */
export function processTitle(pid: string): string {
  try {
    return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() : ''
  } catch {
    return ''
  }
}

/** Inodes of the sockets that are bound to a path beneath it, in the process's network namespace. */
function socketsIn(pid: string, directory: string): string[] {
  return readFileSync(`/proc/${pid}/net/unix`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, , , , , , inode, path] = line.trim().split(/\s+/)
      return inode !== undefined && path?.startsWith(`${directory}/`) ? [inode] : []
    })
}
