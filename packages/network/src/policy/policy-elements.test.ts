import { describe, expect, it } from 'vitest'
import { formatAddress, formatPrefix, parseAddress } from '../address.ts'
import { concatenation } from '../netlink/nfnetlink.ts'
import { checkPolicy } from './egress-rule.ts'
import { elementsOfSubject, readElement, type Subject } from './policy-elements.ts'
import { packetOf } from './refusal-log.ts'

const place = { table: 'T', bridge: 'hf0' }
const none = () => []

function subject(change: Partial<Subject> = {}): Subject {
  return {
    policy: checkPolicy(
      { allow: [{ to: '192.0.2.0/24', protocol: 'tcp', port: [80, 90] }, { to: 'fd00::/16' }], deny: [{}] },
      'egress',
    ),
    adopted: [],
    ...change,
  }
}

const container = {
  link: 'hf1',
  addresses: [parseAddress('10.77.0.2', 'address'), parseAddress('fd00:77::2', 'address')],
}

describe('the elements of a policy', () => {
  it('of a container begin with its address, and guard its link', () => {
    const elements = elementsOfSubject(place, subject({ members: container }), none)
    expect([...elements.keys()].toSorted()).toEqual([
      'guarded 68663100000000000000000000000000 ',
      'owners4 686631000000000000000000000000000a4d0002 ',
      'owners6 68663100000000000000000000000000fd000077000000000000000000000002 ',
      'policy-hf0-container-allow-port4 0a4d000206000000c000020000500000 0a4d000206000000c00002ff005a0000',
      'policy-hf0-container-allow-to6 fd000077000000000000000000000002fd000000000000000000000000000000 fd000077000000000000000000000002fd00ffffffffffffffffffffffffffff',
      'policy-hf0-container-deny-to4 0a4d000200000000 0a4d0002ffffffff',
      'policy-hf0-container-deny-to6 fd00007700000000000000000000000200000000000000000000000000000000 fd000077000000000000000000000002ffffffffffffffffffffffffffffffff',
      'policy-hf0-limited4 0a4d0002 ',
      'policy-hf0-limited6 fd000077000000000000000000000002 ',
    ])
  })

  it('of a network name no source', () => {
    const elements = elementsOfSubject(place, subject(), none)
    expect([...elements.keys()]).toContain('limited 68663000000000000000000000000000 ')
    expect([...elements.keys()]).toContain('policy-hf0-network-deny-to4 0000000000000000 ff000000ffffffff')
    expect([...elements.keys()]).toContain(
      'policy-hf0-network-allow-port4 06000000c000020000500000 06000000c00002ff005a0000',
    )
  })

  it('are read back as what they were written from', () => {
    for (const members of [container, undefined]) {
      const elements = elementsOfSubject(place, subject(members ? { members } : {}), none)
      const read = [...elements.values()].flatMap((each) => {
        const key = [concatenation(each.element.key)]
        const found = {
          ...each,
          element: { key, ...(each.element.end && { end: [concatenation(each.element.end)] }) },
        }
        return readElement('hf0', found) ?? []
      })
      const text = read.map(
        ({ list, box, source }) =>
          `${source ? formatAddress(source) : '-'} ${list} ${formatPrefix(box.prefix)} ${box.protocol ?? 'any'} ${box.first}-${box.last}`,
      )
      const [v4, v6] = members ? ['10.77.0.2', 'fd00:77::2'] : ['-', '-']
      expect(text.toSorted()).toEqual(
        [
          `${v4} allow 192.0.2.0/24 6 80-90`,
          `${v4} deny 0.0.0.0/0 any 0-65535`,
          `${v6} allow fd00::/16 any 0-65535`,
          `${v6} deny ::/0 any 0-65535`,
        ].toSorted(),
      )
    }
  })
})

describe('a packet of the log', () => {
  const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')

  it('is read in both families', () => {
    const v4 = hex(
      '02000000 2c000900 4500002800000000 40060000 0a4d0002 c0000202 c350 01bb 0000000000000000 00000000 00000000',
    )
    expect(packetOf(v4)).toEqual({
      source: parseAddress('10.77.0.2', ''),
      destination: parseAddress('192.0.2.2', ''),
      protocol: 6,
      port: 443,
    })
    const v6 = hex(`0a000000 34000900 6000000000083a40 fd000077000000000000000000000002
      fd000002000000000000000000000002 8000000000000000`)
    expect(packetOf(v6)).toEqual({
      source: parseAddress('fd00:77::2', ''),
      destination: parseAddress('fd00:2::2', ''),
      protocol: 58,
    })
  })

  it('that is cut off is none', () => {
    expect(packetOf(hex('02000000 0c000900 4500002800000000'))).toBeUndefined()
    expect(
      packetOf(hex('0a000000 1c000900 600000000008 3a40 fd00007700000000 0000000000000002')),
    ).toBeUndefined()
    expect(packetOf(hex('02000000'))).toBeUndefined()
  })
})
