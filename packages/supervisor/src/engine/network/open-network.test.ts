import { expect, it } from 'vitest'
import { subnetAndFirst, subnetAround } from './open-network.ts'

it('takes the address of --bip as the gateway of the subnet around it', () => {
  expect(subnetAround('10.213.4.9/24')).toEqual({ subnet: '10.213.4.0/24', gateway: '10.213.4.9' })
  expect(subnetAround('192.168.255.130/25')).toEqual({
    subnet: '192.168.255.128/25',
    gateway: '192.168.255.130',
  })
})

it('gives a chosen subnet its first address as the gateway', () => {
  expect(subnetAndFirst('192.168.255.0/25')).toEqual({ subnet: '192.168.255.0/25', gateway: '192.168.255.1' })
})
