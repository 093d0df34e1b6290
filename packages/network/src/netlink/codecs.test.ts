// Frames as `strace -xx nft …`, `ip …` and `conntrack …` show them on the wire (x86-64).
import { describe, expect, it } from 'vitest'
import { parseAddress } from '../address.ts'
import { bridgePortOf, filtersVlans, kindOf, vethInfo } from './link-info.ts'
import { type Request } from './netlink.ts'
import { attribute, attributesOf, nested, text, textOf } from './netlink-attributes.ts'
import { deleteConntrack, dumpConntrack } from './conntrack.ts'
import { messages } from './netlink-listener.ts'
import { addPortVlan, parsePortVlans } from './port-vlans.ts'
import { addElements, parseElements, portBytes } from './nfnetlink.ts'
import { addAddress } from './address-requests.ts'
import { deleteLink, parseLink, setLink } from './rtnetlink.ts'
import { parseRoute } from './route-requests.ts'

const hex = (bytes: string) => Buffer.from(bytes.replaceAll(/\s/g, ''), 'hex')
const payload = (request: Request) => Buffer.concat(request.payload).toString('hex')

describe('netlink attributes', () => {
  it('are padded to four bytes, and their length tells the unpadded size', () => {
    expect(attribute(3, text('hf0')).toString('hex')).toBe('08000300' + '68663000')
    expect(attribute(3, text('hf01')).toString('hex')).toBe('09000300' + '6866303100' + '000000')
    expect(nested(3, [attribute(1, Buffer.of(7))]).toString('hex')).toBe('0c000380' + '05000100' + '07000000')
  })

  it('are refused when longer than their length field can say', () => {
    expect(attribute(1, Buffer.alloc(65_531)).length).toBe(65_536)
    expect(() => attribute(1, Buffer.alloc(65_532))).toThrow(/length/)
  })

  it('are found by type, nesting flag or not', () => {
    const attributes = attributesOf(hex('09000300 6866303100 000000 08001280 01020304'))
    expect(textOf(attributes.get(3))).toBe('hf01')
    expect(attributes.get(0x12)?.toString('hex')).toBe('01020304')
  })

  it('that lie about their length are refused', () => {
    expect(() => attributesOf(hex('ff000300 68663000'))).toThrow()
    expect(() => attributesOf(hex('02000300'))).toThrow()
  })
})

describe('rtnetlink messages', () => {
  it('name a link, or give its index', () => {
    expect(payload(deleteLink('hf0'))).toBe('00'.repeat(16) + '08000300' + '68663000')
    expect(payload(setLink({ link: 7, up: true }))).toBe('00000000' + '07000000' + '01000000' + '01000000')
    expect(payload(setLink({ link: 7, up: false }))).toBe('00000000' + '07000000' + '00000000' + '01000000')
  })

  it('take a port off its bridge and turn hairpin mode on', () => {
    expect(payload(setLink({ link: 7, master: 0 }))).toBe(
      '00000000' + '07000000' + '00'.repeat(8) + '08000a00' + '00000000',
    )
    // IFLA_LINKINFO { IFLA_INFO_SLAVE_KIND "bridge", IFLA_INFO_SLAVE_DATA { IFLA_BRPORT_MODE 1 } }
    expect(payload(setLink({ link: 7, hairpin: true })).slice(32)).toBe(
      '1c001280' + '0b000400' + '6272696467650000' + '0c000580' + '05000400' + '01000000',
    )
  })

  it('tell the VLANs of a bridge’s port', () => {
    // ifinfomsg AF_BRIDGE, IFLA_AF_SPEC { flags, VLAN 1 egress untagged, VLAN 10 PVID and egress untagged, VLAN 20 }
    const data = hex(`07000000 05000000 00000000 00000000 24001a80
      06000000 01000000 08000200 04000100 08000200 06000a00 08000200 00001400`)
    expect(parsePortVlans({ type: 16, data })).toEqual({
      index: 5,
      vlans: [
        { id: 1, untagged: false },
        { id: 10, untagged: true },
        { id: 20, untagged: false },
      ],
    })
    // What is asked for is its own VLAN.
    expect(payload(addPortVlan(5, { id: 10, untagged: true })).slice(32)).toBe(
      '14001a80' + '0600000001000000' + '0800020006000a00',
    )
  })

  it('make a veth whose peer has a header and attributes of its own', () => {
    const info = Buffer.concat(vethInfo(Buffer.alloc(16), [attribute(3, text('eth0'))])).toString('hex')
    expect(info).toBe(
      '09000100' +
        '7665746800000000' +
        '24000280' +
        '20000180' +
        '00'.repeat(16) +
        '09000300' +
        '6574683000000000',
    )
    expect(kindOf(Buffer.from(info, 'hex'))).toBe('veth')
  })

  it('tell what a port of a bridge does with frames, and whether a bridge keeps VLANs apart', () => {
    const linkInfo = (state: number, ...more: Buffer[]) =>
      nested(18, [
        attribute(4, text('bridge')),
        nested(5, [attribute(1, Buffer.of(state)), attribute(4, Buffer.of(1)), ...more]),
      ]).subarray(4)
    expect([linkInfo(0), linkInfo(3, attribute(33, Buffer.of(1))), undefined].map(bridgePortOf)).toEqual([
      { forwarding: false, hairpin: true, isolated: false },
      { forwarding: true, hairpin: true, isolated: true },
      undefined,
    ])
    const bridge = nested(18, [attribute(1, text('bridge')), nested(2, [attribute(7, Buffer.of(1))])])
    expect([bridge.subarray(4), linkInfo(3)].map(filtersVlans)).toEqual([true, false])
  })

  it('add an address with its broadcast address and without duplicate address detection', () => {
    const address = { ...parseAddress('10.1.2.3', 'a'), length: 24 }
    expect(payload(addAddress(2, address))).toBe(
      '02180200' + '02000000' + '08000200' + '0a010203' + '08000100' + '0a010203' + '08000400' + '0a0102ff',
    )
  })

  it('are read', () => {
    const link = parseLink({
      type: 16,
      data: hex(`
      00000100 05000000 43100100 00000000 09000300 6866303100 000000 08000400 dc050000 08000500 02000000
      08000a00 03000000 0a000100 0a680ad50002 0000 0c001400 612062206300 0000`),
    })
    expect(link).toEqual({
      index: 5,
      name: 'hf01',
      up: true,
      kind: undefined,
      alias: 'a b c',
      mac: '0a:68:0a:d5:00:02',
      mtu: 1500,
      master: 3,
      peerIndex: 2,
      port: undefined,
      filtersVlans: false,
      promiscuous: false,
    })
    const route = parseRoute({
      type: 24,
      data: hex('02180000 fe02fd01 00000000 08000f00 fe000000 08000100 0ad50000 08000400 03000000'),
    })
    expect(route).toEqual({
      destination: { family: 4, value: 0x0ad50000n, length: 24 },
      table: 254,
      outputIndex: 3,
      priority: 0,
    })
  })
})

describe('nf_tables elements', () => {
  it('are framed by a batch, parts of key and data padded to four bytes', () => {
    const [begin, add, end] = addElements([
      {
        table: 'T',
        set: 'publish4',
        elements: [
          {
            key: [Buffer.of(17), hex('7f000001'), portBytes(8082)],
            data: [hex('0ad50002'), portBytes(80)],
          },
        ],
      },
    ])
    expect([begin!.type, end!.type]).toEqual([16, 17])
    expect(payload(begin!)).toBe('0000000a')
    expect(add!.type).toBe(0xa0c)
    expect(payload(add!)).toBe(
      '01000000' +
        '0600010054000000' +
        '0d0002007075626c6973683400000000' +
        '2c000380' +
        '28000180' +
        '14000180' +
        '10000100' +
        '11000000' +
        '7f000001' +
        '1f920000' +
        '10000280' +
        '0c000100' +
        '0ad50002' +
        '00500000',
    )
  })

  it('of one set share a message, as far as an attribute can hold', () => {
    const requests = Array.from({ length: 1000 }, (_, port) => ({
      table: 'T',
      set: port % 2 === 0 ? 'a' : 'b',
      elements: [{ key: [portBytes(port)], data: [Buffer.alloc(16), portBytes(80)] }],
    }))
    const messages = addElements(requests)
      .slice(1, -1)
      .map(({ payload: parts }) => Buffer.concat(parts))
    expect(messages).toHaveLength(4)
    expect(messages.reduce((count, data) => count + parseElements({ data }).length, 0)).toBe(1000)
  })

  it('are read from a dump', () => {
    const data = hex(`01000000 06000100 54000000 28000380 24000180 10000180 0c000100 11000000 1f920000
      10000280 0c000100 0ad50002 00500000`)
    expect(
      parseElements({ data }).map(({ key, data: value }) => [key.toString('hex'), value?.toString('hex')]),
    ).toEqual([['110000001f920000', '0ad5000200500000']])
    expect(parseElements({ data: hex('01000000 06000100 54000000') })).toEqual([])
  })
})

describe('conntrack', () => {
  it('is searched by the parts of the tuples that count', () => {
    const request = dumpConntrack({ protocol: 17, destinationPort: 53, answers: hex('0ad50002') })
    expect(request.type).toBe(0x101)
    expect(payload(request)).toBe(
      '02000000' +
        '18000180' +
        '14000280' +
        '05000100' +
        '11000000' +
        '06000300' +
        '00350000' +
        '10000280' +
        '0c000180' +
        '08000100' +
        '0ad50002' +
        '14001980' +
        '08000100' +
        '28000000' +
        '08000200' +
        '01000000',
    )
  })

  it('forgets an entry by the tuple and the id that the dump gave', () => {
    const request = deleteConntrack({
      type: 0x100,
      data: hex('02000000 08000180 aabbccdd 08000c00 00000007'),
    })
    expect(request.type).toBe(0x102)
    expect(payload(request)).toBe('02000000' + '08000180' + 'aabbccdd' + '08000c00' + '00000007')
  })
})

describe('notifications', () => {
  it('are taken out of a datagram one by one, or not at all where it is cut off', () => {
    const datagram = hex(`12000000 1000 0000 00000000 07000000 aabb 0000
      14000000 1100 0000 00000000 00000000 01020304`)
    expect(messages(datagram)?.map(({ type, port, data }) => [type, port, data.toString('hex')])).toEqual([
      [16, 7, 'aabb'],
      [17, 0, '01020304'],
    ])
    expect(messages(datagram.subarray(0, -2))).toBe(undefined)
    expect(messages(hex('02000000 1000 0000 00000000 00000000'))).toBe(undefined)
  })
})
