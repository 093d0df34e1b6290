/** A launch worker: does the jobs of shims that connect to its socket (`launch-messages.ts`), many at once. */
import { HoldfastError, hasCode } from '@holdfast/errors'
import { acceptUnix, closeFd, dupCloexec, peerCredentials, watchFd, type Watch } from '@holdfast/core'
import { errorToJson } from '@holdfast/protocol'
import { receiveJson, sendJson, type DescriptorMessage } from './descriptor-message.ts'
import { execJob } from '../exec/exec-launch.ts'
import { launchVersion, type LaunchRequest } from './launch-messages.ts'
import { clearJob, createJob } from './launches.ts'
import type { LaunchResult } from '../launch/launch-result.ts'
import { reap } from '../launch/process-end.ts'
import { closeAll } from '../stdio/stdio.ts'

export class LaunchWorker {
  readonly #listener: number
  readonly #watch: Watch
  readonly #onIdle: () => void
  #jobs = 0

  /** `listener` stays the caller's. `onIdle` is called whenever the last job that was at work is done. */
  constructor(listener: number, onIdle: () => void = () => {}) {
    this.#listener = listener
    this.#onIdle = onIdle
    this.#watch = watchFd(listener, { readable: true }, () => this.#accept())
  }

  get busy(): boolean {
    return this.#jobs > 0
  }

  /** Takes no more jobs; those at work go on. */
  close(): void {
    this.#watch.close()
  }

  #accept(): void {
    for (let socket = acceptUnix(this.#listener); socket !== undefined; socket = acceptUnix(this.#listener)) {
      if (peerCredentials(socket).uid === 0) void this.#serve(socket)
      else closeFd(socket)
    }
  }

  async #serve(socket: number): Promise<void> {
    this.#jobs++
    try {
      const message = await firstMessage(socket)
      if (message !== undefined) await work(socket, message)
    } catch (error) {
      if (!hasCode(error, 'EPIPE', 'ECONNRESET')) throw error // it has gone
    } finally {
      closeFd(socket)
      if (--this.#jobs === 0) this.#onIdle()
    }
  }
}

async function firstMessage(socket: number): Promise<DescriptorMessage | undefined> {
  let message = receiveJson(socket)
  if (message === undefined) {
    await new Promise<void>((resolve) => {
      const watch = watchFd(socket, { readable: true, hangup: true }, () => {
        watch.close()
        resolve()
      })
    })
    message = receiveJson(socket)
  }
  return message === 'end' ? undefined : message
}

async function work(socket: number, { body, fds }: DescriptorMessage): Promise<void> {
  const gone = new AbortController()
  const watch = watchFd(socket, { hangup: true }, () => {
    watch.update({})
    gone.abort()
  })
  try {
    await carryOut(socket, body as LaunchRequest, fds, gone.signal)
  } catch (error) {
    if (!gone.signal.aborted) sendJson(socket, { error: errorToJson(error) })
  } finally {
    watch.close()
    closeAll(fds)
  }
}

async function carryOut(
  socket: number,
  request: LaunchRequest,
  fds: Readonly<Record<string, number>>,
  signal: AbortSignal,
): Promise<void> {
  if (request.version !== launchVersion)
    throw new HoldfastError('HF_PROTOCOL', `this worker speaks version ${launchVersion}`)
  const deliver = ({ facts, fds: launched }: LaunchResult): void => sendJson(socket, { facts }, launched)
  switch (request.job) {
    case 'create':
      letGo(await createJob(request, { signal, onBorn: (net) => sendBorn(socket, net), deliver }))
      return
    case 'exec': {
      const result = await execJob({ ...request, init: fds['init']!, root: fds['root']! }, { signal })
      try {
        deliver(result)
      } finally {
        letGo(result) // where nobody took it, that ends it: its door is closed, and its keeper not entrusted
      }
      return
    }
    case 'clear':
      await clearJob(request)
      sendJson(socket, {})
      return
    default:
      return request satisfies never
  }
}

function sendBorn(socket: number, net: number): void {
  try {
    sendJson(socket, { born: true }, { net })
  } finally {
    closeFd(net)
  }
}

/** The shim has its own copies; the keeper is a child of this process. */
function letGo({ fds }: LaunchResult): void {
  const keeper = dupCloexec(fds['keeper']!)
  const watch = watchFd(keeper, { readable: true }, () => {
    watch.close()
    reap(keeper)
  })
  closeAll(fds)
}
