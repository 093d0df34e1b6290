/**
 * Results in the shape of each version of the specification. Before 1.0.0 an address says its family; from 1.1.0
 * on interfaces and routes say more.
 */
import { Fields, invalid } from '../attachment/fields.ts'
import type { Result, ResultAddress, ResultInterface } from '../attachment/network-config.ts'
import { validateDns } from '../attachment/validate-runtime.ts'
import { validateRoute } from '../attachment/validate-ipam.ts'
import { isAtLeast, type Version } from './version.ts'

export function encodeResult({ interfaces, ips, routes, dns }: Result, version: Version): object {
  if (!isAtLeast(version, '0.3.0')) return encodeFamilies({ ips, routes, dns }, version)
  const detailed = isAtLeast(version, '1.1.0')
  const named = !isAtLeast(version, '1.0.0')
  return {
    cniVersion: version,
    ...(interfaces.length > 0 && {
      interfaces: interfaces.map(({ name, mac, mtu, sandbox, socketPath, pciID }) => ({
        name,
        ...(mac !== undefined && { mac }),
        ...(detailed && mtu !== undefined && { mtu }),
        ...(sandbox !== undefined && { sandbox }),
        ...(detailed && { socketPath, pciID }),
      })),
    }),
    ...(ips.length > 0 && {
      ips: ips.map(({ address, gateway, interface: index }) => ({
        ...(named && { version: address.includes(':') ? '6' : '4' }),
        ...(index !== undefined && { interface: index }),
        address,
        ...(gateway !== undefined && { gateway }),
      })),
    }),
    ...(routes.length > 0 && {
      routes: routes.map(({ dst, gw, ...metrics }) => ({
        dst,
        ...(gw !== undefined && { gw }),
        ...(detailed && metrics),
      })),
    }),
    dns,
  }
}

/** Before 0.3.0 a result is about one interface, which it doesn't name, and has an address of each family. */
function encodeFamilies({ ips, routes, dns }: Omit<Result, 'interfaces'>, version: Version): object {
  const family = (isOne: (text: string) => boolean) => {
    const first = ips.find(({ address }) => isOne(address))
    if (!first) return undefined
    const ways = routes
      .filter(({ dst }) => isOne(dst))
      .map(({ dst, gw }) => ({ dst, ...(gw !== undefined && { gw }) }))
    return {
      ip: first.address,
      ...(first.gateway !== undefined && { gateway: first.gateway }),
      ...(ways.length > 0 && { routes: ways }),
    }
  }
  const ip4 = family((text) => !text.includes(':'))
  const ip6 = family((text) => text.includes(':'))
  return { cniVersion: version, ...(ip4 && { ip4 }), ...(ip6 && { ip6 }), dns }
}

/** A result of any supported version; `path` for what is said about it. */
export function decodeResult(json: unknown, path: string): Result {
  const fields = new Fields(json, path)
  const interfaces = fields.list('interfaces', decodeInterface)
  const families = ['ip4', 'ip6'].flatMap((key) => fields.object(key) ?? [])
  return {
    interfaces,
    ips: [
      ...fields.list('ips', (value, at) => decodeAddress(value, at, interfaces.length)),
      ...families.flatMap(decodeFamily),
    ],
    routes: [
      ...fields.list('routes', validateRoute),
      ...families.flatMap((family) => family.list('routes', validateRoute)),
    ],
    dns: validateDns(fields.object('dns')),
  }
}

function decodeInterface(value: unknown, path: string): ResultInterface {
  const fields = new Fields(value, path)
  const texts = (['mac', 'sandbox', 'socketPath', 'pciID'] as const).flatMap((key) => {
    const text = fields.text(key)
    return text === undefined ? [] : [[key, text] as const]
  })
  const mtu = fields.integer('mtu', 0, 0xffff_ffff)
  return { name: fields.text('name') ?? '', ...Object.fromEntries(texts), ...(mtu !== undefined && { mtu }) }
}

function decodeFamily(fields: Fields): ResultAddress {
  const [address, gateway] = [fields.text('ip'), fields.text('gateway')]
  if (address === undefined || !address.includes('/'))
    throw invalid(fields.at('ip'), 'must be like 10.1.2.3/24')
  return { address, ...(gateway !== undefined && { gateway }) }
}

function decodeAddress(value: unknown, path: string, interfaces: number): ResultAddress {
  const fields = new Fields(value, path)
  const address = fields.text('address')
  if (address === undefined || !address.includes('/'))
    throw invalid(fields.at('address'), 'must be like 10.1.2.3/24')
  const gateway = fields.text('gateway')
  const index = fields.integer('interface', -1, Math.max(interfaces - 1, 0))
  return {
    address,
    ...(gateway !== undefined && { gateway }),
    ...(index !== undefined && index >= 0 && { interface: index }),
  }
}
