import { hasCode, HoldfastError } from '@holdfast/errors'
import { integer, text } from '../query.ts'
import type { Call, Route } from '../route.ts'

export const lifecycleRoutes: Route[] = [
  { method: 'POST', path: '/containers/{id}/start', handle: start },
  { method: 'POST', path: '/containers/{id}/stop', handle: stop },
  { method: 'POST', path: '/containers/{id}/restart', handle: restart },
  { method: 'POST', path: '/containers/{id}/kill', handle: kill },
  { method: 'POST', path: '/containers/{id}/pause', handle: pause },
  { method: 'POST', path: '/containers/{id}/unpause', handle: unpause },
  { method: 'POST', path: '/containers/{id}/wait', handle: wait },
]

async function start(call: Call): Promise<void> {
  if (text(call.query, 'checkpoint') !== '') {
    throw new HoldfastError('HF_UNSUPPORTED', 'checkpoints are not supported', {
      details: { field: 'checkpoint' },
    })
  }
  // Before 1.24 a HostConfig came with the start. What is longer than an empty object is not dropped silently.
  if (Number(call.header('content-length') ?? 0) > 7) {
    throw new HoldfastError(
      'HF_BAD_REQUEST',
      'starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24',
    )
  }
  call.empty((await call.engine.start(call.params['id'] ?? '')) ? 204 : 304)
}

async function stop(call: Call): Promise<void> {
  call.empty((await call.engine.stop(call.params['id'] ?? '', stopOptions(call))) ? 204 : 304)
}

async function restart(call: Call): Promise<void> {
  await call.engine.restart(call.params['id'] ?? '', stopOptions(call))
  call.empty(204)
}

function stopOptions(call: Call): { timeout?: number; signal?: string } {
  const timeout = integer(call.query, 't')
  const signal = call.api >= 42 ? text(call.query, 'signal') : ''
  return { ...(timeout === undefined ? {} : { timeout }), ...(signal === '' ? {} : { signal }) }
}

async function kill(call: Call): Promise<void> {
  const reference = call.params['id'] ?? ''
  try {
    await call.engine.kill(reference, text(call.query, 'signal') || 'SIGKILL')
  } catch (error) {
    if (!hasCode(error, 'HF_CONTAINER_NOT_FOUND', 'HF_CONTAINER_NOT_RUNNING')) throw error
    const { code, message } = error as HoldfastError
    throw new HoldfastError(code, `cannot kill container: ${reference}: ${message}`, { cause: error })
  }
  call.empty(204)
}

async function pause(call: Call): Promise<void> {
  await call.engine.pause(call.params['id'] ?? '')
  call.empty(204)
}

async function unpause(call: Call): Promise<void> {
  await call.engine.unpause(call.params['id'] ?? '')
  call.empty(204)
}

const conditions = ['not-running', 'next-exit', 'removed'] as const

async function wait(call: Call): Promise<void> {
  const asked = text(call.query, 'condition') || 'not-running'
  const condition = conditions.find((known) => known === asked)
  if (!condition) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid condition: "${asked}"`, {
      details: { field: 'condition' },
    })
  }
  const { exit } = await call.engine.wait(call.params['id'] ?? '', condition, call.gone)
  // docker starts the container only when it has seen these headers.
  const out = call.begin(200, 'application/json')
  let answer: { statusCode: number; error?: string }
  try {
    answer = await exit
  } catch (error) {
    if (call.gone.aborted) return
    throw error
  }
  const failure = answer.error === undefined ? null : { Message: answer.error }
  const body = {
    ...(failure === null && call.api >= 42 ? {} : { Error: failure }),
    StatusCode: answer.statusCode,
  }
  out.end(`${JSON.stringify(body)}\n`)
}
