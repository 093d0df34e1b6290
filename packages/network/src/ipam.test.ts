import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { formatAddress, parseAddress, parsePrefix } from './address.ts'
import { Ipam, type Range } from './ipam.ts'

let directory: string
let open: Ipam[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-ipam-'))
  open = []
})

afterEach(() => {
  for (const ipam of open) ipam.close()
  rmSync(directory, { recursive: true })
})

function ipam(): Ipam {
  const made = new Ipam('test', directory)
  open.push(made)
  return made
}

function range(subnet: string, first: string, last: string, gateway: string): Range {
  const value = (text: string) => parseAddress(text, 'test').value
  return {
    subnet: parsePrefix(subnet, 'test'),
    first: value(first),
    last: value(last),
    gateway: parseAddress(gateway, 'test'),
  }
}

const small = range('10.1.2.0/29', '10.1.2.1', '10.1.2.6', '10.1.2.1')
const owner = (name: string) => ({ id: `id-${name}`, interface: 'eth0', link: `hf${name}` })
const wish = (text: string) => [parseAddress(text, 'test')]

function lease(from: Ipam, name: string, wishes = wish('10.1.2.9').slice(1)): string {
  return formatAddress(from.lease([small], owner(name), wishes)[0]!)
}

describe('leases', () => {
  it('go out in order, never the gateway, and end with a clear error', () => {
    const pool = ipam()
    expect(['a', 'b', 'c', 'd', 'e'].map((name) => lease(pool, name))).toEqual([
      '10.1.2.2',
      '10.1.2.3',
      '10.1.2.4',
      '10.1.2.5',
      '10.1.2.6',
    ])
    expect(() => lease(pool, 'f')).toThrow(expect.objectContaining({ code: 'HF_ADDRESS_POOL_EXHAUSTED' }))
  })

  it('come back only when their link is gone, and the longest free one goes out first', () => {
    const pool = ipam()
    for (const name of ['a', 'b', 'c', 'd', 'e']) lease(pool, name)
    pool.leave(owner('d'))
    expect(() => lease(pool, 'f')).toThrow(/no free address/)
    pool.free('hfd', [small])
    pool.leave(owner('a'))
    pool.free('hfa', [small])
    expect([lease(pool, 'f'), lease(pool, 'g')]).toEqual(['10.1.2.5', '10.1.2.2'])
  })

  it('prefer an address that was never used to one that was', () => {
    const pool = ipam()
    lease(pool, 'a')
    pool.leave(owner('a'))
    pool.free('hfa', [small])
    expect(lease(pool, 'b')).toBe('10.1.2.3')
  })

  it('can be asked for, once', () => {
    const pool = ipam()
    expect(lease(pool, 'a', wish('10.1.2.3'))).toBe('10.1.2.3')
    expect(() => lease(pool, 'b', wish('10.1.2.3'))).toThrow(
      expect.objectContaining({ hint: 'It belongs to id-a.' }),
    )
    expect([lease(pool, 'b'), lease(pool, 'c')]).toEqual(['10.1.2.2', '10.1.2.4'])
  })

  it.each(['10.1.2.0', '10.1.2.1', '10.1.2.7', '10.1.3.1', 'fd00::1'])('cannot be had of %s', (text) => {
    expect(() => lease(ipam(), 'a', wish(text))).toThrow(expect.objectContaining({ code: 'HF_BAD_REQUEST' }))
  })

  it('are all or none over several families', () => {
    const pool = ipam()
    const single = range('fd00::/126', 'fd00::1', 'fd00::2', 'fd00::1')
    pool.lease([single], owner('x'), [])
    expect(() => pool.lease([small, single], owner('a'), [])).toThrow(/no free address/)
    expect(pool.leases().map(({ address }) => address)).toEqual(['fd00::2'])
  })

  it('survive a process that ends without a word, and are shared with another one', () => {
    const first = ipam()
    lease(first, 'a')
    const second = ipam() // no close() in between, as after kill -9
    expect(lease(second, 'b')).toBe('10.1.2.3')
    expect(lease(first, 'c')).toBe('10.1.2.4')
    expect(second.leases().map(({ id, state }) => [id, state])).toEqual([
      ['id-a', 'held'],
      ['id-b', 'held'],
      ['id-c', 'held'],
    ])
  })

  it('of an earlier boot are dropped', () => {
    writeFileSync(join(directory, 'leases-00000000-0000-0000-0000-000000000000.db'), 'torn')
    writeFileSync(join(directory, 'leases-00000000-0000-0000-0000-000000000000.db-wal'), 'torn')
    ipam()
    expect(readdirSync(directory).filter((name) => name.includes('00000000-0000'))).toEqual([])
  })

  it('of a large IPv6 network leave no trace once they are free', () => {
    const pool = ipam()
    const large = range('fd00::/64', 'fd00::1', 'fd00::ffff:ffff:ffff:ffff', 'fd00::1')
    for (const name of ['a', 'b', 'c']) {
      pool.lease([large], owner(name), [])
      pool.leave(owner(name))
      pool.free(`hf${name}`, [large])
    }
    expect(formatAddress(pool.lease([large], owner('d'), [])[0]!)).toBe('fd00::5')
    expect(pool.leases()).toHaveLength(1)
  })
})
