import { describe, expect, it } from 'vitest'
import type { ContainerRecord, ContainerStatus } from './container-record.ts'
import { Waits } from './waits.ts'

const record = (status: ContainerStatus, exitCode = 0): ContainerRecord =>
  ({ state: { status, exitCode, error: '' } }) as ContainerRecord
const never = new AbortController().signal

describe('waiting for a container', () => {
  it('is over at once for one that does not run', async () => {
    expect(await new Waits().add('not-running', record('exited', 4), never)).toEqual({ statusCode: 4 })
  })

  it('for the next exit begins before the start', async () => {
    const waits = new Waits()
    const next = waits.add('next-exit', record('created'), never)
    waits.exited(record('exited', 7))
    expect(await next).toEqual({ statusCode: 7 })
  })

  it('for the removal outlasts the exit', async () => {
    const waits = new Waits()
    let gone = false
    const removed = waits.add('removed', record('running'), never).then((result) => {
      gone = true
      return result
    })
    waits.exited(record('exited', 7))
    await Promise.resolve()
    expect(gone).toBe(false)
    waits.removed(record('removing', 7))
    expect(await removed).toEqual({ statusCode: 7 })
  })

  it('ends with the container, whatever was waited for', async () => {
    const waits = new Waits()
    const next = waits.add('next-exit', record('created'), never)
    waits.removed(record('removing', 0))
    expect(await next).toEqual({ statusCode: 0 })
  })
})
