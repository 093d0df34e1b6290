import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isDumpable, setDumpable, setProcessName } from './prctl.ts'
import { prlimit, RLIM_INFINITY } from './rlimit.ts'

describe('prlimit', () => {
  it("reads and lowers another process's limits, exactly", () => {
    const child = spawn('sleep', ['100'])
    const before = prlimit(child.pid!, 'RLIMIT_CORE')
    const wanted = before.hard === RLIM_INFINITY ? (1n << 60n) + 1n : before.hard
    expect(prlimit(child.pid!, 'RLIMIT_CORE', { soft: wanted, hard: wanted })).toEqual(before)
    expect(prlimit(child.pid!, 'RLIMIT_CORE')).toEqual({ soft: wanted, hard: wanted })
    child.kill()
  })

  it('refuses nonsense', () => {
    expect(() => prlimit(0, 'RLIMIT_LUCK' as 'RLIMIT_CPU')).toThrow(/resource/)
    expect(() => prlimit(0, 'RLIMIT_CPU', { soft: 2n, hard: 1n })).toThrow(/soft/)
    expect(() => prlimit(0, 'RLIMIT_CPU', { soft: 0n, hard: 1n << 64n })).toThrow(/hard/)
  })
})

describe('prctl', () => {
  it('names the process', () => {
    setProcessName('hf-core-test')
    expect(readFileSync('/proc/thread-self/comm', 'latin1')).toBe('hf-core-test\n')
    expect(() => setProcessName('sixteen letters!')).toThrow(/15/)
  })

  it('switches dumpability', () => {
    setDumpable(false)
    expect(isDumpable()).toBe(false)
    setDumpable(true)
    expect(isDumpable()).toBe(true)
  })
})
