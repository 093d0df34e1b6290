/** Device nodes and the links in /dev: the specification's defaults (config-linux.md#default-devices) and the asked for. */
import { hostId } from '../id-maps.ts'
import { normalize } from '../paths.ts'
import type { OciDevice } from '../config/linux.ts'
import type { Container } from '../container.ts'
import type { DeviceRule } from '../plan.ts'
import type { MountSteps } from './mount-steps.ts'
import type { DeviceNumber, Step } from '../step.ts'

const character = (path: string, major: number, minor: number): OciDevice => ({
  type: 'c',
  path,
  major,
  minor,
  fileMode: 0o666,
})

/** /dev/ptmx is a link into the container's own devpts, and /dev/console a bind of its own terminal. */
const defaultDevices: OciDevice[] = [
  character('/dev/null', 1, 3),
  character('/dev/zero', 1, 5),
  character('/dev/full', 1, 7),
  character('/dev/random', 1, 8),
  character('/dev/urandom', 1, 9),
  character('/dev/tty', 5, 0),
]

const allow = (major: number, minor: number | '*'): DeviceRule => ({
  allow: true,
  type: 'c',
  major,
  minor,
  access: 'rwm',
})

/** What the default devices need, after the configuration's own rules: /dev/ptmx and the terminals behind it too. */
export const defaultDeviceRules: DeviceRule[] = [
  ...defaultDevices.map((device) => allow(device.major!, device.minor!)),
  allow(5, 2),
  allow(136, '*'),
]

export interface DeviceSteps {
  staged: Step[]
  made: Step[]
}

export function planDevices(container: Container, { targets }: MountSteps): DeviceSteps {
  const configured = container.config.linux?.devices ?? []
  // A /dev of the host's choosing is left as it is, but for what the configuration asks for by name.
  const ownDev = !targets.some((target) => target.bind && target.path === '/dev')
  const devices = new Map<string, { device: OciDevice; field?: string }>()
  for (const device of ownDev ? defaultDevices : []) devices.set(device.path, { device })
  configured.forEach((device, index) =>
    devices.set(normalize(device.path), { device, field: `linux.devices[${index}]` }),
  )
  devices.delete('/dev/ptmx')
  const steps: DeviceSteps = { staged: [], made: [] }
  for (const [path, { device, field }] of devices) {
    const own: DeviceSteps = { staged: [], made: [] }
    planDevice(container, path, device, { steps: own, number: steps.staged.length })
    for (const list of ['staged', 'made'] as const)
      steps[list].push(...own[list].map((step) => ({ ...step, ...(field && { field }) })))
  }
  if (ownDev) steps.made.push(...links)
  return steps
}

function planDevice(
  container: Container,
  path: string,
  device: OciDevice,
  { steps, number: count }: { steps: DeviceSteps; number: number },
): void {
  const { fileMode = 0o666, uid = 0, gid = 0 } = device
  const mode = fileMode & 0o7777 // some callers leave the file type's bits in
  const number = deviceNumber(device)
  if (container.rootless && number) {
    // Nobody there may make one, and the host's own do as well.
    const as = `device:${count}`
    const attributes = { set: {}, clear: [] }
    steps.staged.push({ do: 'stage-bind', as, source: path, recursive: false, attributes, expect: number })
    steps.made.push({ do: 'attach', staged: as, target: path, kind: 'file' })
    return
  }
  if (!container.confined || !number) {
    steps.made.push({ do: 'mknod', path, device: number ?? { type: 'p' }, mode, uid, gid })
    return
  }
  const { uidMappings, gidMappings } = container.config.linux ?? {}
  const as = `device:${count}` // a file name in the stage area: no slash
  steps.staged.push({
    do: 'stage-device',
    as,
    device: number,
    mode,
    uid: hostId(uidMappings, uid),
    gid: hostId(gidMappings, gid),
  })
  steps.made.push({ do: 'attach', staged: as, target: path, kind: 'file' })
}

/** undefined for a FIFO, which needs no rights. `u` is an unbuffered character device, as in mknod(1). */
function deviceNumber({ type, major = 0, minor = 0 }: OciDevice): DeviceNumber | undefined {
  return type === 'p' ? undefined : { type: type === 'b' ? 'b' : 'c', major, minor }
}

/** runtime-linux.md#dev-symbolic-links: "if the source exists after processing mounts". */
const links: Step[] = [
  // /proc/self is a link itself, and none is followed in /proc: another entry says whether procfs is there.
  { do: 'symlink', path: '/dev/fd', target: '/proc/self/fd', ifExists: '/proc/stat' },
  { do: 'symlink', path: '/dev/stdin', target: '/proc/self/fd/0', ifExists: '/proc/stat' },
  { do: 'symlink', path: '/dev/stdout', target: '/proc/self/fd/1', ifExists: '/proc/stat' },
  { do: 'symlink', path: '/dev/stderr', target: '/proc/self/fd/2', ifExists: '/proc/stat' },
  { do: 'symlink', path: '/dev/core', target: '/proc/kcore', ifExists: '/proc/kcore' },
  { do: 'symlink', path: '/dev/ptmx', target: 'pts/ptmx' },
]
