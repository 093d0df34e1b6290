import { HoldfastError } from '@holdfast/errors'
import type { Writable } from 'node:stream'
import { errorAnswer } from '../error-answer.ts'
import { text } from '../query.ts'
import type { Call, Route } from '../route.ts'

export const imageTransferRoutes: Route[] = [
  { method: 'POST', path: '/images/create', handle: create },
  { method: 'POST', path: '/images/load', handle: load },
]

async function create(call: Call): Promise<void> {
  const source = text(call.query, 'fromSrc')
  if (source === '-') await importRootfs(call)
  else if (source !== '') {
    throw new HoldfastError('HF_UNSUPPORTED', `importing from ${source} is not supported`, {
      hint: 'Fetch it and send it in the body: docker import - NAME < file.tar',
      details: { field: 'fromSrc' },
    })
  } else refusePull(call)
}

/** docker shows this message and ends `run` with 125, as for any image that can't be had. */
function refusePull(call: Call): void {
  const name = text(call.query, 'fromImage')
  if (name === '') throw new HoldfastError('HF_BAD_REQUEST', 'neither fromImage nor fromSrc was given')
  const tag = text(call.query, 'tag')
  const reference = tag === '' ? name : `${name}${tag.includes(':') ? '@' : ':'}${tag}`
  throw new HoldfastError(
    'HF_NOT_IMPLEMENTED',
    `cannot pull ${reference}: pulling from registries is not built yet`,
    {
      hint: 'Bring the image with docker load or docker import.',
    },
  )
}

async function importRootfs(call: Call): Promise<void> {
  const repository = text(call.query, 'repo')
  const tag = text(call.query, 'tag')
  const reference = repository !== '' && tag !== '' ? `${repository}:${tag}` : repository
  const message = text(call.query, 'message') || 'Imported from -'
  const platform = text(call.query, 'platform')
  const id = await call.engine.images.import(call.stream(), {
    changes: call.query.getAll('changes'),
    message,
    ...(reference === '' ? {} : { reference }),
    ...(platform === '' ? {} : { platform }),
  })
  progress(call.begin(200, 'application/json'), { status: id }).end()
}

async function load(call: Call): Promise<void> {
  // Begun with the first progress: until then a failure is an answer of its own.
  let out: Writable | undefined
  const report = (line: object) => {
    out ??= call.begin(200, 'application/json')
    progress(out, line)
  }
  try {
    // `quiet` leaves out the progress of layers alone: there is none here, and the names are always told.
    await call.engine.images.load(call.stream(), (message) => report({ stream: `${message}\n` }))
  } catch (error) {
    if (!out) throw error
    const { message } = errorAnswer(error).body
    report({ errorDetail: { message }, error: message })
  }
  const stream = out ?? call.begin(200, 'application/json')
  stream.end()
}

function progress(out: Writable, line: object): Writable {
  out.write(`${JSON.stringify(line)}\r\n`)
  return out
}
