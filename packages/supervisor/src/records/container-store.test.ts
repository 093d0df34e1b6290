import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { DiskReserve } from '../engine/disk-reserve.ts'
import { emptyConfig, emptyHostConfig } from '../engine/empty-config.ts'
import { ContainerStore, emptyBookkeeping, type StoredContainer } from './container-store.ts'
import { openDatabase } from './database.ts'

let directory: string
beforeEach(() => {
  vi.useFakeTimers()
  directory = mkdtempSync(join(tmpdir(), 'hf-records-'))
})
afterEach(() => {
  vi.useRealTimers()
  rmSync(directory, { recursive: true })
})

function open() {
  const { database, setAside } = openDatabase(join(directory, 'holdfast.db'))
  return {
    database,
    setAside,
    store: new ContainerStore(database, join(directory, 'containers'), {
      reserve: new DiskReserve(join(directory, 'reserve')),
      onWarning: (error) => {
        throw error
      },
    }),
  }
}

function container(digit: string): StoredContainer {
  const id = digit.repeat(64)
  mkdirSync(join(directory, 'containers', id), { recursive: true })
  return {
    book: { ...emptyBookkeeping, anonymousVolumes: ['v'] },
    record: {
      id,
      name: `name-${digit}`,
      created: '2026-01-01T00:00:00Z',
      config: emptyConfig(),
      hostConfig: emptyHostConfig(),
      networking: { EndpointsConfig: {} },
      imageId: 'sha256:1',
      path: 'true',
      args: [],
      state: {
        status: 'running',
        pid: 7,
        exitCode: 0,
        error: '',
        oomKilled: false,
        startedAt: 's',
        finishedAt: '',
      },
      networks: {},
      mounts: [],
      logPath: '',
      resolvConfPath: '',
      hostnamePath: '',
      hostsPath: '',
      idRange: null,
      restartCount: 0,
      execIds: [],
      rootfs: null,
    },
  }
}

describe('the records', () => {
  it('come back as they were, oldest first, under their last names', () => {
    const { database, store } = open()
    const [a, b] = [container('a'), container('b')]
    store.insert(b)
    store.insert(a)
    store.rename(a.record.id, 'renamed')
    store.save({ ...a, record: { ...a.record, state: { ...a.record.state, status: 'exited', exitCode: 3 } } })
    database.close()
    const loaded = open().store.load()
    expect(loaded.map(({ record }) => record.name)).toEqual(['name-b', 'renamed'])
    expect(loaded[1]).toMatchObject({
      record: { state: { status: 'exited', exitCode: 3 } },
      book: { anonymousVolumes: ['v'] },
    })
    expect(loaded[0]).toEqual(b)
  })

  it('refuse a second container of one name', () => {
    const { store } = open()
    store.insert(container('a'))
    const twin = container('b')
    expect(() => store.insert({ ...twin, record: { ...twin.record, name: 'name-a' } })).toThrow('UNIQUE')
    expect(store.load()).toHaveLength(1)
  })

  it('show one that is damaged as dead, beside the others', () => {
    const { database, store } = open()
    store.insert(container('a'))
    store.insert(container('b'))
    database.prepare('UPDATE states SET state = ? WHERE id = ?').run('{"half', 'a'.repeat(64))
    const [a, b] = store.load()
    expect(a?.record).toMatchObject({ name: 'name-a', state: { status: 'dead' }, config: emptyConfig() })
    expect(a?.record.state.error).toContain('damaged')
    expect(b?.record.state.status).toBe('running')
  })

  it('are put aside whole when the file is damaged, and read from the copies', () => {
    const { database, store } = open()
    store.insert(container('a'))
    store.close()
    database.close()
    writeFileSync(join(directory, 'holdfast.db'), 'not a database at all, '.repeat(1000))
    rmSync(join(directory, 'holdfast.db-wal'), { force: true })
    const again = open()
    expect(again.setAside).toContain('damaged')
    expect(again.store.load()).toMatchObject([
      { record: { id: 'a'.repeat(64), state: { status: 'dead', error: 'its record was lost' } } },
    ])
  })

  it('have their copies once a container has been there for a moment, and after the next start at the latest', () => {
    const copy = (digit: string) =>
      existsSync(join(directory, 'containers', digit.repeat(64), 'container.json'))
    const { database, store } = open()
    store.insert(container('a'))
    store.insert(container('b'))
    store.delete('b'.repeat(64))
    expect(copy('a')).toBe(false)
    vi.advanceTimersByTime(1000)
    expect([copy('a'), copy('b')]).toEqual([true, false])
    store.insert(container('c'))
    database.close() // killed before its copy was due
    open().store.load()
    vi.advanceTimersByTime(1000)
    expect(copy('c')).toBe(true)
  })

  it('of the future are left alone', () => {
    const { database } = open()
    database.exec('PRAGMA user_version = 99')
    database.close()
    expect(() => open()).toThrow('written by a newer Holdfast')
  })
})
