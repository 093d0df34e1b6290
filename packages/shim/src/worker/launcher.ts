/** Has jobs done for a shim: by a launch worker, or in this process where there is none. */
import { HoldfastError, hasCode, type ErrorJson } from '@holdfast/errors'
import { closeFd, connectUnix, peerCredentials, watchFd } from '@holdfast/core'
import { receiveJson, sendJson, type DescriptorMessage } from './descriptor-message.ts'
import { execJob, type ExecJob } from '../exec/exec-launch.ts'
import { clearJob, createJob, type CreateJob } from './launches.ts'
import { launchVersion, type LaunchRequest } from './launch-messages.ts'
import type { ContainerRecord } from '../launch/launched.ts'
import type { LaunchFacts, LaunchResult } from '../launch/launch-result.ts'

type OnBorn = (net: number) => void

export interface Launcher {
  /**
   * `lock`: of the directory, which is held for as long as anybody works on it. `onBorn` takes the container's own network
   * namespace; again, and another one, where a worker was killed and the create is done anew.
   */
  create(job: CreateJob, lock: number, onBorn: OnBorn): Promise<LaunchResult<ContainerRecord>>
  exec(job: ExecJob): Promise<LaunchResult>
  /** Removes what a `create` has left that was killed. */
  clear(job: CreateJob, lock: number): Promise<void>
}

export const ownLauncher: Launcher = {
  create: (job, _lock, onBorn) => createJob(job, { onBorn }),
  exec: (job) => execJob(job),
  clear: (job) => clearJob(job),
}

/**
 * `socket`: where workers listen. A job that no worker takes, or whose worker is killed, is done here: that costs this
 * process some memory, and the container nothing.
 */
export function workerLauncher(socket: string): Launcher {
  return {
    async create(job, lock, onBorn) {
      const answer = await ask(socket, { version: launchVersion, job: 'create', ...job }, { lock }, onBorn)
      if (typeof answer === 'object') return resultOf(answer) as LaunchResult<ContainerRecord>
      if (answer === 'lost') await clearJob(job)
      return createJob(job, { onBorn })
    },
    async exec(job) {
      const { init, root, ...rest } = job
      const answer = await ask(socket, { version: launchVersion, job: 'exec', ...rest }, { init, root })
      return typeof answer === 'object' ? resultOf(answer) : execJob(job)
    },
    async clear(job, lock) {
      const answer = await ask(socket, { version: launchVersion, job: 'clear', ...job }, { lock })
      if (typeof answer === 'string') await clearJob(job)
    },
  }
}

function resultOf({ body, fds }: DescriptorMessage): LaunchResult {
  return { facts: (body as { facts: LaunchFacts }).facts, fds }
}

/** `nobody`: no worker took it; `lost`: the one that did has gone. Throws what a worker answers. */
async function ask(
  path: string,
  request: LaunchRequest,
  fds: Readonly<Record<string, number>>,
  onBorn: OnBorn = closeFd,
): Promise<DescriptorMessage | 'nobody' | 'lost'> {
  const socket = connect(path)
  if (socket === undefined) return 'nobody'
  try {
    sendJson(socket, request, fds)
    const answer = await answerOn(socket, onBorn)
    if (answer === 'end') return 'lost'
    const { error } = answer.body as { error?: ErrorJson }
    if (error === undefined) return answer
    if (error.code === 'HF_PROTOCOL') return 'nobody' // a worker of another version
    throw HoldfastError.fromJSON(error)
  } catch (error) {
    if (hasCode(error, 'EPIPE', 'ECONNRESET')) return 'lost'
    throw error
  } finally {
    closeFd(socket)
  }
}

function connect(path: string): number | undefined {
  let socket: number
  try {
    socket = connectUnix(path)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ECONNREFUSED', 'EAGAIN')) return undefined
    throw error
  }
  if (peerCredentials(socket).uid === 0) return socket
  closeFd(socket)
  return undefined
}

function answerOn(socket: number, onBorn: OnBorn): Promise<DescriptorMessage | 'end'> {
  return new Promise((resolve, reject) => {
    const watch = watchFd(socket, { readable: true, hangup: true }, () => {
      try {
        const answer = receiveJson(socket)
        if (answer === undefined) return
        if (answer !== 'end' && 'born' in (answer.body as object)) return onBorn(answer.fds['net']!)
        watch.close()
        resolve(answer)
      } catch (error) {
        watch.close()
        reject(error)
      }
    })
  })
}
