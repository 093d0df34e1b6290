/**
 * Moves network devices of the host into a container's network namespace (config-linux.md#network-devices). MTU and MAC
 * come along by themselves; addresses the kernel drops, so the global permanent ones are put back. Nothing is moved
 * back: a physical device returns when the namespace ends, any other ends with it.
 */
import {
  closeFd,
  netlinkAttribute as attribute,
  netlinkAttributes,
  NLM_F_CREATE,
  NLM_F_EXCL,
  openNamespace,
  openNamespaceOf,
} from '@holdfast/core'
import { hasCode, SyscallError } from '@holdfast/errors'
import type { NetDevice } from '@holdfast/plan'
import { RouteSocket, RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_SETLINK } from './route-socket.ts'

const IFLA_IFNAME = 3
const IFLA_NET_NS_FD = 28
const IFLA_NEW_IFINDEX = 49
const IFF_UP = 1
const IFA_FLAGS = 8
const IFA_F_PERMANENT = 0x80
/** Address, local address, broadcast: what is left out are lifetimes, and a label that bears the old name. */
const keptOfAddress = [1, 2, 4]
const linkBytes = 16
const addressBytes = 8

/** `pid`: the host's number of a process in the container. Throws SyscallError with the field of the device. */
export function moveNetDevices(devices: readonly NetDevice[], pid: number): void {
  if (devices.length === 0) return
  const own = openNamespace('/proc/thread-self/ns/net')
  const theirs = openNamespaceOf(pid, 'net')
  const host = new RouteSocket(own)
  const inside = new RouteSocket(theirs)
  try {
    for (const device of devices) named(device, () => move(device, { host, inside, theirs }))
  } finally {
    host.close()
    inside.close()
    closeFd(own)
    closeFd(theirs)
  }
}

interface Between {
  host: RouteSocket
  inside: RouteSocket
  theirs: number
}

function move({ from, to }: NetDevice, { host, inside, theirs }: Between): void {
  const [found] = host.acknowledged(RTM_GETLINK, 0, link(0, [name(from)]), from)
  const index = found!.readInt32LE(4)
  const kept = addressesOf(host, index)
  const target = freeIndex(inside, index)
  const netns = Buffer.alloc(4)
  netns.writeUInt32LE(theirs)
  const request = [attribute(IFLA_NET_NS_FD, netns), attribute(IFLA_NEW_IFINDEX, int(target))]
  host.acknowledged(RTM_SETLINK, 0, link(index, to === from ? request : [...request, name(to)]), from)
  for (const address of kept) {
    address.writeUInt32LE(target, 4)
    inside.acknowledged(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address, `${to} address`)
  }
  inside.acknowledged(RTM_SETLINK, 0, link(target, [], IFF_UP), to)
}

/** Its number in the container: the host's, or the next that is free. By number it is found, whatever its name becomes. */
function freeIndex(inside: RouteSocket, wanted: number): number {
  for (let index = wanted; ; index++) {
    try {
      inside.acknowledged(RTM_GETLINK, 0, link(index, []), `device ${index}`)
    } catch (error) {
      if (hasCode(error, 'ENODEV')) return index
      throw error
    }
  }
}

/** Global permanent ones, as requests to make them again. */
function addressesOf(host: RouteSocket, index: number): Buffer[] {
  return host.dump(RTM_GETADDR, Buffer.alloc(addressBytes), 'addresses').flatMap((reply) => {
    const found = netlinkAttributes(reply.subarray(addressBytes))
    const flags = found.get(IFA_FLAGS)?.readUInt32LE(0) ?? reply.readUInt8(2)
    const global = reply.readUInt8(3) === 0
    if (reply.readUInt32LE(4) !== index || !global || (flags & IFA_F_PERMANENT) === 0) return []
    const head = Buffer.from(reply.subarray(0, addressBytes))
    head.writeUInt8(0, 2)
    const kept = keptOfAddress.flatMap((type) => {
      const data = found.get(type)
      return data ? [attribute(type, data)] : []
    })
    return [Buffer.concat([head, ...kept])]
  })
}

/** struct ifinfomsg and attributes. */
function link(index: number, rest: Buffer[], up = 0): Buffer {
  const head = Buffer.alloc(linkBytes)
  head.writeInt32LE(index, 4)
  head.writeUInt32LE(up, 8)
  head.writeUInt32LE(up, 12)
  return Buffer.concat([head, ...rest])
}

function name(value: string): Buffer {
  return attribute(IFLA_IFNAME, Buffer.from(`${value}\0`))
}

function int(value: number): Buffer {
  const data = Buffer.alloc(4)
  data.writeInt32LE(value)
  return data
}

const hints: Partial<Record<string, string>> = {
  ENODEV: 'This host has no network device of this name.',
  EEXIST: 'The container has a network device of this name already.',
  EINVAL: 'This device cannot leave its network namespace.',
}

function named({ from, to, field }: NetDevice, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error
    const { errno, code, syscall, path } = error
    throw new SyscallError({
      errno,
      code,
      syscall,
      path,
      field,
      step: `move-net-device(${JSON.stringify(from)}, ${JSON.stringify(to)})`,
      hint: hints[code],
    })
  }
}
