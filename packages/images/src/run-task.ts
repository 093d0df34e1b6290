/** Runs a task in a worker thread and feeds it. The messages are drawn in task.ts. */
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { HoldfastError, hasCode } from '@holdfast/errors'
import { reviveFailure } from './failure.ts'
import { window, type FromWorker, type ReadyImage, type Task, type ToWorker } from './task.ts'

const program = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)

/** Rejects with the worker's error. `source` is read to its end, or destroyed where the task fails before. */
export async function runTask(task: Task, source?: Readable): Promise<ReadyImage[]> {
  const worker = new Worker(fileURLToPath(program), {
    workerData: task,
    name: `images: ${task.kind}`,
    env: {},
    // In a checkout the sources run; a worker has only the conditions that it is given.
    execArgv: program.pathname.endsWith('.ts') ? ['--conditions=@holdfast/source'] : [],
    // Data is in buffers, outside the heap: what needs more heap than this is an attack.
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  })
  const feed = source && new Feed(worker, source)
  try {
    return await outcome(worker, feed)
  } finally {
    source?.destroy()
    await worker.terminate()
  }
}

function outcome(worker: Worker, feed: Feed | undefined): Promise<ReadyImage[]> {
  return new Promise((resolve, reject) => {
    worker.on('message', (message: FromWorker) => {
      switch (message.type) {
        case 'taken':
          return feed?.taken()
        case 'done':
          return resolve(message.images)
        case 'failed':
          return reject(feed?.error ?? reviveFailure(message.error))
      }
    })
    worker.on('error', (error) => {
      if (!hasCode(error, 'ERR_WORKER_OUT_OF_MEMORY')) return reject(error)
      const options = { cause: error }
      reject(new HoldfastError('HF_CORRUPT_LAYER', 'the archive needs more memory than any image does', options))
    })
    worker.on('exit', (code) => reject(new HoldfastError('HF_INTERNAL', `the image worker ended with code ${code}`)))
    feed?.start()
  })
}

/** Sends a stream's chunks, a few ahead of the worker. */
class Feed {
  error: Error | undefined
  readonly #worker: Worker
  readonly #source: Readable
  #onTheWay = 0

  constructor(worker: Worker, source: Readable) {
    this.#worker = worker
    this.#source = source
  }

  start(): void {
    this.#source.on('data', (chunk: Buffer) => {
      // Copied, not transferred: a chunk may be a part of a larger buffer that others still read.
      this.#send({ type: 'chunk', data: chunk })
      if (++this.#onTheWay >= window) this.#source.pause()
    })
    this.#source.on('end', () => this.#send({ type: 'end' }))
    this.#source.on('error', (error) => this.#abort(error))
    this.#source.on('close', () => {
      if (!this.#source.readableEnded) this.#abort(new HoldfastError('HF_BAD_REQUEST', 'the archive was cut off'))
    })
  }

  taken(): void {
    if (--this.#onTheWay < window / 2) this.#source.resume()
  }

  #abort(error: Error): void {
    this.error ??= error
    this.#send({ type: 'abort', message: error.message })
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message)
  }
}
