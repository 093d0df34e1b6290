/** A container's place on the bridge network. */
import { closeFd, fstat, pidfdGetfd, pidfdOpen } from '@holdfast/core'
import { hasCode, HoldfastError } from '@holdfast/errors'
import type { Attachment } from '@holdfast/network'
import { networkEvent } from '../events/container-event.ts'
import { announceRelease } from '../events/use-events.ts'
import type { Container, LiveShim } from '../container.ts'
import type { ContainerConfig, HostConfig, NetworkingConfig } from '../container-config.ts'
import type { ContainerRecord, EndpointRecord } from '../container-record.ts'
import type { EngineContext } from '../context.ts'
import { egressOf } from './egress.ts'
import type { NamespaceChoices } from '../namespaces/namespace-modes.ts'
import { newId } from '../names.ts'
import { networkIdOf } from './network-id.ts'
import { parseContainerPorts, portMappings } from './ports.ts'

/** `Networks` of inspect before the start, and after the end. */
export function emptyNetworks(
  context: EngineContext,
  choices: NamespaceChoices,
  networking: NetworkingConfig,
): Record<string, EndpointRecord> {
  if (choices.network === 'shared') return {}
  const endpoint = networking.EndpointsConfig[choices.network] ?? networking.EndpointsConfig['default']
  return {
    [choices.network]: {
      ...emptyEndpoint(networkIdOf(context, choices.network)),
      aliases: endpoint?.Aliases ?? [],
    },
  }
}

/** A shim, as far as it holds namespaces. */
type NamespaceHolder = Pick<LiveShim, 'pid' | 'namespaces'>

function emptyEndpoint(networkId: string): EndpointRecord {
  return {
    networkId,
    endpointId: '',
    gateway: '',
    ipAddress: '',
    ipPrefixLen: 0,
    ipv6Gateway: '',
    globalIPv6Address: '',
    globalIPv6PrefixLen: 0,
    macAddress: '',
    aliases: [],
    ports: {},
  }
}

/** The interface, address and ports, in the network namespace that the shim made. Leaves nothing when it fails. */
export async function connectNetwork(
  context: EngineContext,
  container: Container,
  shim: NamespaceHolder,
): Promise<{ attachment: Attachment; networks: Record<string, EndpointRecord> }> {
  const { record } = container
  const { config, hostConfig, networking } = record
  const wanted = networking.EndpointsConfig['bridge'] ?? networking.EndpointsConfig['default']
  const mac = config.MacAddress || wanted?.MacAddress
  const egress = egressOf(config)
  const netns = takeNamespace(shim, 'net')
  try {
    const attachment = await context.network.attach({
      id: container.id,
      netns,
      interface: 'eth0',
      ports: portMappings(config, hostConfig, []),
      ...(mac && { mac }),
      ...(egress && { egress }),
    })
    networkEvent(context, container, 'bridge', 'connect')
    return { attachment, networks: { bridge: endpointOf(context, record, attachment) } }
  } finally {
    closeFd(netns)
  }
}

/** Idempotent: what is left of an attachment is taken down, and the record says so. */
export async function disconnectNetwork(context: EngineContext, container: Container): Promise<void> {
  const { attachment } = container.book
  if (attachment) {
    await context.network.detach(attachment)
    forgetAttachment(container)
    networkEvent(context, container, 'bridge', 'disconnect')
  }
  announceRelease(context, container)
}

/** The record no longer says that the container has addresses. */
export function forgetAttachment(container: Container): void {
  const networks = Object.fromEntries(
    Object.entries(container.record.networks).map(([name, { networkId, aliases }]) => [
      name,
      { ...emptyEndpoint(networkId), aliases },
    ]),
  )
  container.update({}, { networks }, { attachment: null })
}

/**
 * A descriptor of one of the container's namespaces, taken out of its shim. Throws HF_SHIM_LOST where the shim was killed,
 * and HF_NAMESPACE_NOT_FOUND where it has let go of the namespace: the container has ended.
 */
export function takeNamespace(
  shim: NamespaceHolder,
  type: 'net' | 'ipc' | 'uts' | 'pid' | 'user' | 'cgroup' | 'time' | 'mnt',
): number {
  const handle = shim.namespaces[type]
  if (!handle) throw notHeld(type)
  let fd: number
  try {
    fd = descriptorOf(shim.pid, handle.fd)
  } catch (cause) {
    if (hasCode(cause, 'ESRCH')) throw new HoldfastError('HF_SHIM_LOST', 'the shim was killed', { cause })
    if (hasCode(cause, 'EBADF')) throw notHeld(type, cause)
    throw cause
  }
  // The number of either, the process or the descriptor, may be another's by now.
  if (Number(fstat(fd).ino) === handle.ino) return fd
  closeFd(fd)
  throw notHeld(type)
}

function descriptorOf(pid: number, number: number): number {
  const pidfd = pidfdOpen(pid)
  try {
    return pidfdGetfd(pidfd, number)
  } finally {
    closeFd(pidfd)
  }
}

function notHeld(type: string, cause?: unknown): HoldfastError {
  return new HoldfastError('HF_NAMESPACE_NOT_FOUND', `the container has no ${type} namespace that is held`, {
    cause,
  })
}

function endpointOf(context: EngineContext, record: ContainerRecord, attachment: Attachment): EndpointRecord {
  const v4 = attachment.addresses.find(({ address }) => !address.includes(':'))
  const v6 = attachment.addresses.find(({ address }) => address.includes(':'))
  return {
    ...emptyEndpoint(context.networkId),
    endpointId: newId(),
    gateway: v4?.gateway ?? '',
    ipAddress: v4?.address ?? '',
    ipPrefixLen: v4?.prefixLength ?? 0,
    ipv6Gateway: v6?.gateway ?? '',
    globalIPv6Address: v6?.address ?? '',
    globalIPv6PrefixLen: v6?.prefixLength ?? 0,
    macAddress: attachment.mac,
    aliases: record.networks['bridge']?.aliases ?? [],
    ports: portsOf(record.config, record.hostConfig, attachment),
  }
}

function portsOf(config: ContainerConfig, host: HostConfig, attachment: Attachment): EndpointRecord['ports'] {
  const ports: EndpointRecord['ports'] = {}
  for (const key of [...Object.keys(config.ExposedPorts), ...Object.keys(host.PortBindings)]) {
    for (const { port, protocol } of parseContainerPorts(key)) ports[`${port}/${protocol}`] = null
  }
  for (const { protocol, containerPort, hostIp, hostPort } of attachment.ports) {
    const key = `${containerPort}/${protocol}`
    ports[key] = [...(ports[key] ?? []), { HostIp: hostIp, HostPort: String(hostPort) }]
  }
  return ports
}
