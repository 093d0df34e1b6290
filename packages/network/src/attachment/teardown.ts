/** Detaches a container: everything of it goes, whatever has gone already. */
import { parseInterfaceAddress, formatAddress } from '../address.ts'
import { AttachmentFile } from './attachment-file.ts'
import { Host } from './host.ts'
import type { Result } from './network-config.ts'
import { findNetns, isHostNetns } from './netns-path.ts'
import { checkKey } from './setup.ts'
import { StateDir } from './state-dir.ts'
import { takeDown } from './take-down.ts'
import type { TeardownRequest } from './verbs.ts'

/**
 * Idempotent. When it resolves the host's end of the link is gone, and name and addresses are free. Works without
 * the network namespace, and from the kernel alone where the record is lost. Every step is tried; the first error
 * is thrown, with the others attached.
 */
export async function teardown(request: TeardownRequest): Promise<void> {
  const { network, previous } = request
  const key = checkKey(request)
  using host = new Host(network.hostNetns)
  const dir = new StateDir(network)
  using _ = await dir.enterToLeave()
  using file = await AttachmentFile.open(dir, key, false)
  const record = file?.read()
  // A path may by now be another namespace's: only what has no end on the host is looked for inside.
  using netns = findNetns(request.netns || record?.netns)
  const inside = netns && !isHostNetns(netns.fd, network.hostNetns) ? netns.fd : undefined
  await takeDown(host, dir, {
    key,
    file,
    record,
    addresses: ownAddresses(previous, key.interface),
    netns: inside,
  })
}

function ownAddresses(previous: Result | undefined, name: string): string[] {
  const index = previous?.interfaces.findIndex((each) => each.name === name && each.sandbox) ?? -1
  return (previous?.ips ?? [])
    .filter((each) => each.interface === undefined || each.interface === index)
    .map(({ address }) => formatAddress(parseInterfaceAddress(address, 'prevResult.ips')))
}
