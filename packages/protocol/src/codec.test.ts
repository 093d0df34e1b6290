import { expect, it } from 'vitest'
import { HoldfastError } from '@holdfast/errors'
import { errorToJson, parseRequest, parseShimFrame, parseShimSpec } from './codec.ts'
import { checkAllowed, lifecycle, nextStatus } from './lifecycle.ts'
import type { Method, Status } from './messages.ts'

it('reads a request into an object of its own', () => {
  const frame = parseRequest(
    '{"id":3,"method":"kill","params":{"signal":9,"all":true,"x":1,"__proto__":{"y":1}}}',
  )
  expect(frame).toEqual({ id: 3, method: 'kill', params: { signal: 9, all: true } })
  expect((frame.params as { y?: number }).y).toBeUndefined()
  expect(parseRequest('{"id":1,"method":"state"}').params).toEqual({})
})

it.each([
  ['not JSON', '{', 'HF_PROTOCOL'],
  ['not an object', '[1]', 'HF_PROTOCOL'],
  ['no id', '{"method":"state"}', 'HF_PROTOCOL'],
  ['an unknown method', '{"id":1,"method":"constructor"}', 'HF_BAD_REQUEST'],
  ['a signal out of range', '{"id":1,"method":"kill","params":{"signal":65}}', 'HF_BAD_REQUEST'],
  ['a fraction', '{"id":1,"method":"kill","params":{"signal":1.5}}', 'HF_BAD_REQUEST'],
  ['a path as exec id', '{"id":1,"method":"exec.start","params":{"execId":"../x"}}', 'HF_BAD_REQUEST'],
])('refuses %s', (_name, text, code) => {
  expect(() => parseRequest(text)).toThrow(expect.objectContaining({ code }))
})

it('names the field of a bad request, and the request', () => {
  const text = '{"id":7,"method":"resize","params":{"rows":-1,"columns":80}}'
  expect(() => parseRequest(text)).toThrow(expect.objectContaining({ details: { field: 'rows', id: 7 } }))
})

it('carries errors across with code, hint and details', () => {
  const error = new HoldfastError('HF_PORT_IN_USE', 'taken', { hint: 'wait', details: { holder: 'x' } })
  const frame = parseShimFrame(JSON.stringify({ id: 1, error: errorToJson(error) }))
  expect(frame).toEqual({
    id: 1,
    error: { code: 'HF_PORT_IN_USE', message: 'taken', hint: 'wait', details: { holder: 'x' } },
  })
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' })
  expect(errorToJson(full)).toMatchObject({ code: 'HF_DISK_FULL', details: { code: 'ENOSPC' } })
})

it('reads shim.json, and names what is wrong in it', () => {
  const spec = {
    version: 2,
    id: 'a1',
    name: 'web',
    log: { driver: 'none' },
    stdin: { open: false, once: false },
    init: false,
    cgroupParent: '/holdfast',
    token: 'ab'.repeat(32),
  }
  expect(parseShimSpec(JSON.stringify(spec))).toEqual(spec)
  const bad = (change: object) => () => parseShimSpec(JSON.stringify({ ...spec, ...change }))
  expect(bad({ log: { driver: 'json-file', path: 'x', maxSize: -1, maxFile: 1 } })).toThrow('log.path')
  expect(bad({ version: 1 })).toThrow('version')
  expect(bad({ token: 'short' })).toThrow('token')
})

it('never leaves `stopped`, and reaches it from everywhere', () => {
  expect(lifecycle.stopped).toEqual({})
  for (const status of ['creating', 'created', 'running', 'paused'] as const) {
    expect(nextStatus(status, 'ended')).toBe('stopped')
  }
  expect(() => nextStatus('stopped', 'started')).toThrow('cannot become')
})

it('says why a request is refused in a state', () => {
  const refusal = (status: Status, method: Method) => {
    try {
      checkAllowed(method, status)
      return undefined
    } catch (error) {
      return (error as HoldfastError).code
    }
  }
  expect(refusal('paused', 'exec.start')).toBe('HF_CONTAINER_PAUSED')
  expect(refusal('stopped', 'kill')).toBe('HF_CONTAINER_NOT_RUNNING')
  expect(refusal('running', 'start')).toBe('HF_CONTAINER_RUNNING')
  expect(refusal('stopped', 'start')).toBe('HF_CONTAINER_STATE')
  expect(refusal('running', 'exec.start')).toBeUndefined()
})
