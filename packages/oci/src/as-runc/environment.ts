/** What runc adds to a process's environment. */
import { closeSync, openSync, constants } from 'node:fs'
import { O_PATH } from '@holdfast/core'
import { hasCode } from '@holdfast/errors'
import { resolveUser } from '@holdfast/plan'
import { readContainerFile } from '@holdfast/shim/library'

/** The variables with HOME where there is none: of the user's entry in the container's /etc/passwd, else `/`. */
export function withHome(env: readonly string[], root: string, uid: number): string[] {
  if (env.some((variable) => /^HOME=./.test(variable))) return [...env]
  return [...env.filter((variable) => variable !== 'HOME='), `HOME=${homeOf(root, uid)}`]
}

function homeOf(root: string, uid: number): string {
  let fd: number
  try {
    fd = openSync(root, O_PATH | constants.O_DIRECTORY)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return '/' // the launch will say so
    throw error
  }
  try {
    return resolveUser(String(uid), readContainerFile(fd, 'etc/passwd'), null).home
  } catch (error) {
    if (hasCode(error, 'HF_BAD_REQUEST')) return '/' // an id beyond what Docker takes
    throw error
  } finally {
    closeSync(fd)
  }
}

/** Sockets that the caller was started with go first, with the two variables that sd_listen_fds(3) reads. */
export function withListenFds(env: readonly string[], listenFds: number): string[] {
  if (listenFds === 0) return [...env]
  const others = env.filter((variable) => !/^LISTEN_(FDS|PID)=/.test(variable))
  return [...others, `LISTEN_FDS=${listenFds}`, 'LISTEN_PID=1']
}
