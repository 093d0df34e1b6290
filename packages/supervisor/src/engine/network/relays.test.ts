import { expect, it } from 'vitest'
import { relaysOf } from './relays.ts'

const v4 = { address: '10.0.0.2', prefixLength: 24, gateway: '10.0.0.1' }
const v6 = { address: 'fd00::2', prefixLength: 64, gateway: 'fd00::1' }
const port = (hostIp: string, relay?: boolean) => ({
  protocol: 'tcp' as const,
  containerPort: 80,
  hostPort: 8080,
  hostIp,
  ...(relay !== undefined && { relay }),
})

it('relays the ports that need it, to the address of their family where there is one', () => {
  const listen = { address: '::', port: 8080 }
  expect(relaysOf({ addresses: [v4], ports: [port('0.0.0.0'), port('::', true)] })).toEqual([
    { protocol: 'tcp', listen, target: { address: '10.0.0.2', port: 80 } },
  ])
  expect(relaysOf({ addresses: [v4, v6], ports: [port('::', true)] })[0]?.target.address).toBe('fd00::2')
})

it('refuses sctp', () => {
  const ports = [{ ...port('::1', true), protocol: 'sctp' as const }]
  expect(() => relaysOf({ addresses: [v4], ports })).toThrow(/sctp ports cannot be published on ::1/)
})
