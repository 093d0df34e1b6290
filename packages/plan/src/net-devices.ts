/** OCI `linux.netDevices`: devices of the host that become the container's (config-linux.md#network-devices). */
import { invalid } from './config/reader.ts'
import type { Container } from './container.ts'
import type { NetDevice } from './plan.ts'

/** Names are checked as the kernel's dev_valid_name() does. One `%d` in the new name stands for the first free number. */
export function netDevices({ config, namespaces }: Container): NetDevice[] {
  const devices = Object.entries(config.linux?.netDevices ?? {}).map(([from, { name }]) => {
    const field = `linux.netDevices.${from}`
    if (!isDeviceName(from)) throw invalid(field, 'is no name of a network device')
    if (name && !isDeviceName(name.replace('%d', '0')))
      throw invalid(`${field}.name`, `is no name of a network device: ${JSON.stringify(name)}`)
    return { from, to: name || from, field }
  })
  if (devices.length > 0 && namespaces.origin.net === 'host')
    throw invalid(
      'linux.netDevices',
      'needs a network namespace in linux.namespaces: there is nowhere to move to',
    )
  devices.forEach(({ to, field }, index) => {
    if (!to.includes('%') && devices.findIndex((other) => other.to === to) < index)
      throw invalid(`${field}.name`, `repeats ${to}`)
  })
  return devices
}

function isDeviceName(name: string): boolean {
  return name.length <= 15 && /^[^/:%\s]+$/.test(name) && name !== '.' && name !== '..'
}
