import { describe, expect, it } from 'vitest'
import {
  addressBytes,
  addressFromBytes,
  contains,
  formatAddress,
  isLoopback,
  lastAddress,
  macBytes,
  macOf,
  overlaps,
  parseAddress,
  parsePrefix,
} from './address.ts'

const address = (text: string) => parseAddress(text, 'test')
const prefix = (text: string) => parsePrefix(text, 'test')

describe('addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['fd00:0:0:1::0001', 'fd00:0:0:1::1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1::1', '2001:0:0:1::1'],
    ['::ffff:10.1.2.3', '::ffff:10.1.2.3'],
    ['FD00::AB', 'fd00::ab'],
  ])('writes %s as %s, the canonical text of RFC 5952', (given, canonical) => {
    expect(formatAddress(address(given))).toBe(canonical)
    expect(formatAddress(addressFromBytes(addressBytes(address(given))))).toBe(canonical)
  })

  it.each(['', '10.0.0', '10.0.0.256', '1.2.3.4.5', 'fe80::1%eth0', '::g', 'localhost'])(
    'refuses %j',
    (text) => {
      expect(() => address(text)).toThrow(/is not an IP address/)
    },
  )

  it.each(['10.0.0.0', '10.0.0.0/33', '10.0.0.1/24', 'fd00::1/64', 'x/8'])(
    'refuses %j as a network',
    (text) => {
      expect(() => prefix(text)).toThrow()
    },
  )

  it('knows what lies in a network and where it ends', () => {
    expect(contains(prefix('10.1.0.0/16'), address('10.1.255.255'))).toBe(true)
    expect(contains(prefix('10.1.0.0/16'), address('10.2.0.0'))).toBe(false)
    expect(contains(prefix('::/0'), address('10.2.0.0'))).toBe(false)
    expect(overlaps(prefix('10.0.0.0/8'), prefix('10.9.0.0/24'))).toBe(true)
    expect(overlaps(prefix('10.9.0.0/24'), prefix('10.9.1.0/24'))).toBe(false)
    expect(lastAddress(prefix('10.1.2.0/24'))).toBe(address('10.1.2.255').value)
    expect(
      isLoopback(address('127.9.9.9')) && isLoopback(address('::1')) && !isLoopback(address('::2')),
    ).toBe(true)
  })

  it('makes a locally administered MAC address from an address', () => {
    expect(macOf(address('10.213.0.2'))).toBe('0a:68:0a:d5:00:02')
    expect(macBytes(macOf(address('fd00::5')), 'mac').toString('hex')).toBe('0a6800000005')
  })

  it.each(['', '0a:68:00:00:00', '01:00:5e:00:00:01', '00:00:00:00:00:00', '0a:68:0a:d5:00:0g'])(
    'refuses %j as the MAC address of an interface',
    (mac) => {
      expect(() => macBytes(mac, 'mac')).toThrow(/not a MAC address/)
    },
  )
})
