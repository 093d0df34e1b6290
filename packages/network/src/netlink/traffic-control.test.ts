import { describe, expect, it } from 'vitest'
import { redirectIngress, tokenBucket } from './traffic-control.ts'

const hex = (parts: Uint8Array[]): string => Buffer.concat(parts).toString('hex')

describe('traffic control', () => {
  it('asks for a token bucket as tc does', () => {
    // tc qdisc replace dev … root handle 1: tbf rate 40mbit burst 50000 limit 175000
    expect(hex(tokenBucket(7, { rate: 5_000_000, burst: 50_000 }).payload)).toBe(
      '00000000' +
        '07000000' +
        '00000100' +
        'ffffffff' +
        '00000000' + // struct tcmsg
        '08000100' +
        '74626600' + // TCA_KIND tbf
        '34000280' + // TCA_OPTIONS
        '28000100' +
        '00010000' +
        '00000000' +
        '404b4c00' +
        '00000000'.repeat(3) +
        '98ab0200' +
        '00000000'.repeat(2) +
        '08000600' +
        '50c30000', // TCA_TBF_BURST
    )
  })

  it('says rates above 4 GiB/s in 64 bits', () => {
    expect(hex(tokenBucket(7, { rate: 5_000_000_000, burst: 1 }).payload)).toContain(
      '0c000400' + '00f2052a01000000',
    )
  })

  it('redirects all that a link receives', () => {
    const [queue, filter] = redirectIngress(7, 9)
    expect(hex(queue!.payload)).toBe(
      '00000000' + '07000000' + '0000ffff' + 'f1ffffff' + '00000000' + '0c000100' + '696e677265737300',
    )
    expect(hex(filter!.payload)).toContain('6d697272656400') // mirred
    expect(hex(filter!.payload)).toContain('04000000' + '00000000'.repeat(2) + '01000000' + '09000000') // stolen, egress, to 9
  })
})
