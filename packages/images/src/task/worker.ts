/** The worker thread's program: does one task after another. The messages are drawn in task.ts. */
import { parentPort } from 'node:worker_threads'
import { closeFd, AT_FDCWD, O_DIRECTORY, openat2 } from '@holdfast/core'
import { nameDiskFull } from '@holdfast/errors'
import { ContentStore, digestOf, type Descriptor } from '../content.ts'
import { StoreDirectories } from '../directories.ts'
import { syncFileSystem } from '../durable.ts'
import { failureJson } from './failure.ts'
import { LayerStore } from '../layers.ts'
import { layerMediaTypes, type Stores } from '../load/assemble.ts'
import { loadArchive } from '../load/load.ts'
import { IngestFile } from '../ingest.ts'
import { emptyDirectory } from '../tree/remove-tree.ts'
import type { FromWorker, ImportTemplate, Input, ReadyImage, Task, ToWorker } from './task.ts'

const port = parentPort!
const send = (message: FromWorker) => port.postMessage(message)

/** What the store sent of an archive and the task has not read yet. */
const arrived: Input[] = []
let onArrival: (() => void) | undefined

port.on('message', (message: ToWorker) => {
  if (message.type === 'task') return void perform(message.task)
  arrived.push(message)
  onArrival?.()
})

async function perform(task: Task): Promise<void> {
  try {
    send({ type: 'done', images: await run(task) })
  } catch (error) {
    send({ type: 'failed', error: failureJson(nameDiskFull(error, task.root)) })
  }
}

async function run(task: Task): Promise<ReadyImage[]> {
  const directories = new StoreDirectories(task.root)
  if (task.kind === 'empty-trash') {
    emptyTrash(directories.trash)
    return []
  }
  const stores = { content: new ContentStore(directories), layers: new LayerStore(directories), directories }
  const images =
    task.kind === 'load'
      ? await loadArchive(input(), task.platform, stores)
      : [await importTar(input(), task.template, stores)]
  // One flush for all the files of all layers, before any record says that they are there.
  if (images.length > 0) syncFileSystem(task.root)
  return images
}

async function importTar(
  source: AsyncIterable<Buffer>,
  template: ImportTemplate,
  stores: Stores & { directories: StoreDirectories },
): Promise<ReadyImage> {
  const { content, layers, directories } = stores
  const archive = new IngestFile(directories)
  try {
    const unpacked = await layers.unpack(archive.tee(source), [])
    layers.commit(unpacked, undefined)
    const config = { ...template.config, rootfs: { type: 'layers', diff_ids: [unpacked.diffId] } }
    const document = Buffer.from(JSON.stringify(config))
    const layer: Descriptor = { mediaType: layerMediaTypes[unpacked.compression], ...archive.finish() }
    content.adopt(archive.path, layer.digest)
    content.add(document)
    return { id: digestOf(document), manifests: [], layers: [layer], references: [] }
  } finally {
    archive.close()
  }
}

/** What the store sends, until its `end`. */
async function* input(): AsyncGenerator<Buffer> {
  for (;;) {
    const message = arrived.shift()
    if (message === undefined) {
      await new Promise<void>((resolve) => (onArrival = resolve))
      continue
    }
    if (message.type === 'end') return
    if (message.type === 'abort') throw new Error(message.message)
    const { buffer, byteOffset, byteLength } = message.data
    send({ type: 'taken' })
    if (byteLength > 0) yield Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
  }
}

function emptyTrash(path: string): void {
  const fd = openat2(AT_FDCWD, path, { flags: O_DIRECTORY })
  try {
    for (const _ of emptyDirectory(fd));
  } finally {
    closeFd(fd)
  }
}
