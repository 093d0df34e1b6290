/** Runs a task in a worker thread and feeds it. The messages are drawn in task.ts. */
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { reviveFailure } from './failure.ts'
import { window, type FromWorker, type ReadyImage, type Task, type ToWorker } from './task.ts'

const program = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/** A worker that has nothing to do ends after this time: loading its code is most of what a small task costs. */
const idleMs = 3000

let idle: { worker: Worker; timer: NodeJS.Timeout } | undefined

/**
 * Rejects with the worker's error. `source` is read to its end in any case: it may be a request's body, and who sends
 * one often reads the answer only when all is sent. Its owner may close it earlier.
 */
export async function runTask(task: Task, source?: Readable): Promise<ReadyImage[]> {
  const worker = takeWorker()
  const feed = source && new Feed(worker, source)
  try {
    const images = await outcome(worker, task, feed)
    keepWorker(worker)
    return images
  } catch (error) {
    // Chunks may still be on the way to it, and who knows what the archive did to its heap.
    await worker.terminate()
    throw error
  } finally {
    feed?.stop()
  }
}

function takeWorker(): Worker {
  if (idle) {
    const { worker, timer } = idle
    clearTimeout(timer)
    idle = undefined
    worker.ref()
    return worker
  }
  const worker = new Worker(fileURLToPath(program), {
    name: 'images',
    env: {},
    // In a checkout the sources run; a worker has only the conditions that it is given.
    execArgv: program.pathname.endsWith('.ts') ? ['--conditions=@holdfast/source'] : [],
    // Data is in buffers, outside the heap: what needs more heap than this is an attack.
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  })
  // An error of a worker without a task has nobody to go to, and must not end the process.
  worker.on('error', () => undefined)
  worker.on('exit', () => {
    if (idle?.worker !== worker) return
    clearTimeout(idle.timer)
    idle = undefined
  })
  return worker
}

function keepWorker(worker: Worker): void {
  worker.unref()
  if (idle) return void worker.terminate()
  const timer = setTimeout(() => {
    idle = undefined
    void worker.terminate()
  }, idleMs)
  timer.unref()
  idle = { worker, timer }
}

async function outcome(worker: Worker, task: Task, feed: Feed | undefined): Promise<ReadyImage[]> {
  const { promise, resolve, reject } = Promise.withResolvers<ReadyImage[]>()
  const onMessage = (message: FromWorker) => {
    switch (message.type) {
      case 'taken':
        return feed?.taken()
      case 'done':
        return resolve(message.images)
      case 'failed':
        return reject(feed?.error ?? reviveFailure(message.error))
    }
  }
  const onError = (error: Error) => {
    if (!hasCode(error, 'ERR_WORKER_OUT_OF_MEMORY')) return reject(error)
    const options = { cause: error }
    reject(
      new HoldfastError('HF_CORRUPT_LAYER', 'the archive needs more memory than any image does', options),
    )
  }
  const onExit = (code: number) =>
    reject(new HoldfastError('HF_INTERNAL', `the image worker ended with code ${code}`))
  worker.on('message', onMessage).on('error', onError).on('exit', onExit)
  try {
    const message: ToWorker = { type: 'task', task }
    worker.postMessage(message)
    feed?.start()
    return await promise
  } finally {
    worker.off('message', onMessage).off('error', onError).off('exit', onExit)
  }
}

/** Sends a stream's chunks, a few ahead of the worker. */
class Feed {
  error: Error | undefined
  readonly #worker: Worker
  readonly #source: Readable
  #onTheWay = 0
  #stopped = false

  constructor(worker: Worker, source: Readable) {
    this.#worker = worker
    this.#source = source
  }

  start(): void {
    this.#source.on('data', this.#onData)
    this.#source.on('end', () => this.#send({ type: 'end' }))
    this.#source.on('error', (error) => this.#abort(error))
    this.#source.on('close', () => {
      if (!this.#source.readableEnded)
        this.#abort(new HoldfastError('HF_BAD_REQUEST', 'the archive was cut off'))
    })
  }

  /** What comes from now on is thrown away. */
  stop(): void {
    this.#stopped = true
    this.#source.off('data', this.#onData)
    this.#source.resume()
  }

  taken(): void {
    if (--this.#onTheWay < window / 2) this.#source.resume()
  }

  #abort(error: Error): void {
    this.error ??= error
    this.#send({ type: 'abort', message: error.message })
  }

  #onData = (chunk: Buffer): void => {
    // Copied, not transferred: a chunk may be a part of a larger buffer that others still read.
    this.#send({ type: 'chunk', data: chunk })
    if (++this.#onTheWay >= window) this.#source.pause()
  }

  #send(message: ToWorker): void {
    if (this.#stopped) return
    this.#worker.postMessage(message)
  }
}
