import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatAddress, parseAddress, parsePrefix } from '../address.ts'
import type { Range } from '../ipam.ts'
import { LeaseFiles } from './lease-files.ts'

let dir: string
let leases: LeaseFiles

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'hf-leases-'))
  leases = new LeaseFiles(dir)
})

afterEach(() => rmSync(dir, { recursive: true }))

const owner = (containerId: string) => ({ containerId, interface: 'eth0' })

function range(subnet: string, first: bigint, last: bigint): Range {
  const prefix = parsePrefix(subnet, 'subnet')
  const { family, value } = prefix
  return { subnet: prefix, first: value + first, last: value + last, gateway: { family, value: value + 1n } }
}

function take(id: string, sets: Range[][], more: { reserved?: string[]; wishes?: string[] } = {}): string[] {
  const reserved = (more.reserved ?? []).map((text) => parsePrefix(text, 'reserved'))
  const wishes = (more.wishes ?? []).map((text) => parseAddress(text, 'ips'))
  return leases.take(owner(id), { sets, reserved, wishes }).map(({ address }) => formatAddress(address))
}

describe('leases', () => {
  it('are symbolic links to their owners', () => {
    expect(take('a', [[range('10.1.0.0/24', 1n, 9n)], [range('fd00::/64', 1n, 9n)]])).toEqual([
      '10.1.0.2',
      'fd00::2',
    ])
    expect(readlinkSync(join(dir, 'fd00::2'))).toBe('a/eth0')
    leases.releaseAll(owner('a'))
    expect(leases.all()).toEqual([])
  })

  it('go on behind the last one, around the gateway and reservations, and begin again at the end', () => {
    const sets = [[range('10.1.0.0/29', 1n, 6n)]]
    const next = (id: string) => take(id, sets, { reserved: ['10.1.0.4/31'] })[0]
    expect([next('a'), next('b'), next('c')]).toEqual(['10.1.0.2', '10.1.0.3', '10.1.0.6'])
    leases.release(owner('b'), '10.1.0.3')
    leases.release(owner('a'), '10.1.0.2')
    expect([next('d'), next('e')]).toEqual(['10.1.0.2', '10.1.0.3'])
    expect(() => next('f')).toThrow(/no free address/)
  })

  it('pass over a reservation of any size in one step', () => {
    expect(take('a', [[range('fd00::/64', 1n, (1n << 64n) - 1n)]], { reserved: ['fd00::/65'] })).toEqual([
      'fd00::8000:0:0:0',
    ])
  })

  it('are all had or none', () => {
    const full = [range('10.1.0.0/30', 1n, 2n)]
    take('a', [full])
    expect(() => take('b', [[range('10.2.0.0/24', 1n, 9n)], full])).toThrow(/no free address/)
    expect(leases.addressesOf(owner('b'))).toEqual([])
  })

  it('say whose an address is that is wished for', () => {
    const sets = [[range('10.1.0.0/24', 1n, 9n)]]
    expect(take('a', sets, { wishes: ['10.1.0.200'] })).toEqual(['10.1.0.200']) // outside of the range, inside the subnet
    expect(() => take('b', sets, { wishes: ['10.1.0.200'] })).toThrow(
      expect.objectContaining({
        code: 'HF_ADDRESS_IN_USE',
        details: { address: '10.1.0.200', holder: 'a/eth0' },
      }),
    )
    for (const wish of ['10.1.0.0', '10.1.0.1', '10.1.0.255', '10.9.0.1'])
      expect(() => take('c', sets, { wishes: [wish] })).toThrow(wish)
  })

  it('are given back by their owner alone', () => {
    take('a', [[range('10.1.0.0/24', 1n, 9n)]])
    leases.release(owner('b'), '10.1.0.2')
    expect(leases.ownerOf('10.1.0.2')).toBe('a/eth0')
  })

  it('survive a damaged hint of where to go on', () => {
    const sets = [[range('10.1.0.0/24', 1n, 9n)]]
    take('a', sets)
    rmSync(join(dir, '.last-0'))
    expect(take('b', sets)).toEqual(['10.1.0.3'])
  })
})
