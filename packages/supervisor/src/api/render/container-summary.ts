import type { ContainerRecord, ContainerState, EndpointRecord } from '../../engine/container-record.ts'
import { unixSeconds } from '../go-time.ts'
import { humanDuration } from '../human-duration.ts'
import { renderEndpoint, renderMounts } from './container-inspect.ts'

export interface SummaryOptions {
  api: number
  /** Milliseconds since the epoch. */
  now: number
  /** The image that the container was made from still has the name that it was made by. */
  isNamed: boolean
  sizes?: { rw: number; rootFs: number } | undefined
}

/** One row of `GET /containers/json`. */
export function renderSummary(record: ContainerRecord, options: SummaryOptions): unknown {
  return {
    Id: record.id,
    Names: [`/${record.name}`],
    // A name that has gone, or on to another image, would tell of the wrong one.
    Image: options.isNamed ? record.config.Image : record.imageId,
    ImageID: record.imageId,
    Command: commandLine(record),
    Created: unixSeconds(record.created),
    Ports: Object.values(record.networks).flatMap(renderPorts),
    ...(options.sizes ? { SizeRw: options.sizes.rw, SizeRootFs: options.sizes.rootFs } : {}),
    Labels: record.config.Labels,
    State: record.state.status,
    Status: statusText(record.state, options.now),
    HostConfig: { NetworkMode: record.hostConfig.NetworkMode },
    NetworkSettings: {
      Networks: Object.fromEntries(
        Object.entries(record.networks).map(([name, endpoint]) => [
          name,
          renderEndpoint(endpoint, options.api),
        ]),
      ),
    },
    Mounts: renderMounts(record),
  }
}

/** As docker words it: an argument with a space in it stands in quotes. */
function commandLine(record: ContainerRecord): string {
  return [record.path, ...record.args].map((word) => (word.includes(' ') ? `'${word}'` : word)).join(' ')
}

/** "Up 3 seconds", "Up 2 minutes (Paused)", "Exited (0) 5 minutes ago", "Created". */
export function statusText(state: ContainerState, now: number): string {
  const since = (time: string) => humanDuration(Math.max(0, now - Date.parse(time)))
  switch (state.status) {
    case 'running':
      return `Up ${since(state.startedAt)}`
    case 'paused':
      return `Up ${since(state.startedAt)} (Paused)`
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`
    case 'created':
      return 'Created'
    case 'removing':
      return 'Removal In Progress'
    case 'dead':
      return 'Dead'
    case 'exited':
      return state.finishedAt === '' ? 'Created' : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`
  }
}

interface Port {
  IP?: string
  PrivatePort: number
  PublicPort?: number
  Type: string
}

function renderPorts(endpoint: EndpointRecord): Port[] {
  return Object.entries(endpoint.ports).flatMap(([key, bindings]): Port[] => {
    const [port = '0', type = 'tcp'] = key.split('/')
    const exposed = { PrivatePort: Number(port), Type: type }
    if (!bindings || bindings.length === 0) return [exposed]
    return bindings.map(({ HostIp, HostPort }) => ({
      IP: HostIp,
      PrivatePort: exposed.PrivatePort,
      PublicPort: Number(HostPort),
      Type: type,
    }))
  })
}
