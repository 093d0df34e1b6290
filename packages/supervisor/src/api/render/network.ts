import type { ContainerRecord } from '../../engine/container-record.ts'
import type { NetworkRecord } from '../../engine/engine.ts'

/** `GET /networks/{id}`; in the list, without the containers. */
export function renderNetwork(
  network: NetworkRecord,
  containers: ContainerRecord[] | undefined,
  api: number,
): unknown {
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: 'local',
    Driver: network.driver,
    ...(api >= 48 ? { EnableIPv4: true } : {}),
    EnableIPv6: network.enableIPv6,
    IPAM: {
      Driver: 'default',
      Options: null,
      Config: network.subnets.map(({ subnet, gateway }) => ({ Subnet: subnet, Gateway: gateway })),
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries((containers ?? []).flatMap((record) => member(record, network))),
    Options: network.options,
    Labels: {},
  }
}

function member(record: ContainerRecord, network: NetworkRecord): [string, unknown][] {
  const endpoint = record.networks[network.name]
  if (!endpoint || endpoint.endpointId === '') return []
  const { ipAddress, ipPrefixLen, globalIPv6Address, globalIPv6PrefixLen } = endpoint
  const rendered = {
    Name: record.name,
    EndpointID: endpoint.endpointId,
    MacAddress: endpoint.macAddress,
    IPv4Address: ipAddress === '' ? '' : `${ipAddress}/${ipPrefixLen}`,
    IPv6Address: globalIPv6Address === '' ? '' : `${globalIPv6Address}/${globalIPv6PrefixLen}`,
  }
  return [[record.id, rendered]]
}
