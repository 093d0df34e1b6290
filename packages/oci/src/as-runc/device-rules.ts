/** The device rules that runc adds to every container's: engines leave them out, since they have them from it. */
import type { OciConfig, OciDeviceRule } from '@holdfast/plan'

const added: OciDeviceRule[] = [
  // To make a node is not yet to open what it stands for: programs that unpack a file system make them all.
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  { allow: true, type: 'c', major: 10, minor: 200, access: 'rwm' }, // /dev/net/tun, for what the network namespace owns
]

/** Behind the configuration's own, and before those of the default devices. */
export function withAddedDeviceRules(config: OciConfig): OciConfig {
  const { linux } = config
  const devices = [...(linux?.resources?.devices ?? []), ...added]
  return { ...config, linux: { ...linux, resources: { ...linux?.resources, devices } } }
}
