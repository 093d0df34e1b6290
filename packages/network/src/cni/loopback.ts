/**
 * The `loopback` plugin, for runtimes that call it by that name in a configuration of their own (containerd's CRI): a
 * link of that name to our executable answers it, and the reference plugins' package is not needed.
 */
import { formatPrefix } from '../address.ts'
import type { Result } from '../attachment/network-config.ts'
import { findNetns, isHostNetns, openNetns } from '../attachment/netns-path.ts'
import { openNetlink } from '../attachment/waiting.ts'
import { findLink } from '../netlink/find-link.ts'
import { NETLINK_ROUTE, type NetlinkSocket } from '../netlink/netlink.ts'
import { dumpAddresses, parseAddressReply } from '../netlink/address-requests.ts'
import { setLink } from '../netlink/rtnetlink.ts'
import type { Invocation, Verb } from './commands.ts'
import type { Command } from './environment.ts'
import { CniError, cniCodes } from './error.ts'
import { decodeResult, encodeResult } from './result-json.ts'
import { requireVersion } from './version.ts'

export const loopbackVerbs: Record<Exclude<Command, 'VERSION'>, Verb> = {
  ADD: add,
  DEL: del,
  CHECK: check,
  GC: nothing,
  STATUS: nothing,
}

const name = 'lo'

async function add({ environment, version, config }: Invocation): Promise<object> {
  using netns = openNetns(environment.netns)
  const socket = openNetlink(NETLINK_ROUTE, netns.fd)
  try {
    await socket.request([setLink({ link: name, up: true })])
    const { prevResult } = config as { prevResult?: unknown }
    if (prevResult) return encodeResult(decodeResult(prevResult, 'prevResult'), version)
    return encodeResult(await describe(socket, environment.netns), version)
  } finally {
    socket.close()
  }
}

async function describe(socket: NetlinkSocket, sandbox: string): Promise<Result> {
  const link = await findLink(socket, name)
  const addresses = (await socket.dump(dumpAddresses()))
    .map(parseAddressReply)
    .flatMap((each) =>
      each?.index === link?.index ? [formatPrefix({ ...each!.address, length: each!.prefixLength })] : [],
    )
  return {
    interfaces: [{ name, mac: link?.mac ?? '', sandbox }],
    ips: addresses.map((address) => ({ address, interface: 0 })),
    routes: [],
    dns: {},
  }
}

/** Nothing is to be undone where the namespace is gone; a path may by now be the host's. */
async function del({ environment, hostNetns }: Invocation): Promise<undefined> {
  using netns = findNetns(environment.netns)
  if (!netns || isHostNetns(netns.fd, hostNetns)) return
  const socket = openNetlink(NETLINK_ROUTE, netns.fd)
  try {
    await socket.request([setLink({ link: name, up: false })])
  } finally {
    socket.close()
  }
}

async function check({ environment, version }: Invocation): Promise<undefined> {
  requireVersion(version, '0.4.0', 'CHECK')
  using netns = openNetns(environment.netns)
  const socket = openNetlink(NETLINK_ROUTE, netns.fd)
  try {
    const link = await findLink(socket, name)
    if (!link?.up)
      throw new CniError(cniCodes.changed, 'the loopback is down', 'Attach the container again (DEL, ADD).')
  } finally {
    socket.close()
  }
}

function nothing(): Promise<undefined> {
  return Promise.resolve(undefined)
}
