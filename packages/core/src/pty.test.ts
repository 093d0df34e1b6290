import { readlinkSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { closeFd, readFd, writeFd } from './descriptor.ts'
import { getWindowSize, openPty, passOutputThrough, setWindowSize } from './pty.ts'

describe('openPty', () => {
  it('gives both sides of one terminal', () => {
    const { master, peer, index } = openPty()
    expect(readlinkSync(`/proc/self/fd/${peer}`)).toBe(`/dev/pts/${index}`)
    writeFd(peer, 'out\n')
    expect(readFd(master, 100)?.toString()).toBe('out\r\n')
    setWindowSize(master, 40, 132)
    expect(getWindowSize(peer)).toEqual({ rows: 40, cols: 132 })
    expect(() => setWindowSize(master, 65536, 1)).toThrow(/rows/)
    closeFd(peer)
    closeFd(master)
  })
})

describe('passOutputThrough', () => {
  it('leaves line feeds as they are', () => {
    const { master, peer } = openPty()
    passOutputThrough(peer)
    writeFd(peer, 'out\n')
    expect(readFd(master, 100)?.toString()).toBe('out\n')
    closeFd(peer)
    closeFd(master)
    expect(() => passOutputThrough(peer)).toThrow(/tcsetattr/)
  })
})
