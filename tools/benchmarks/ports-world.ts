// What both sides of the ports bench share: three namespaces in a row, and a median.
import { spawnSync } from 'node:child_process'

import { createNamespace } from '../../packages/core/dist/index.js'

export const firstPort = 10_000
export const rounds = 5

export interface World {
  /** Descriptors of namespaces. */
  client: number
  container: number
  /** As the client sees it. */
  host: string
}

/** A namespace with a link to the host's, which is 192.0.2.1 there. */
export function nextDoor(host: number): number {
  const client = createNamespace('net')
  const path = (netns: number) => `/proc/${process.pid}/fd/${netns}`
  const script = `ip link set lo up
    ip link add up0 type veth peer name up0 netns ${path(client)}
    ip addr add 192.0.2.1/24 dev up0; ip link set up0 up
    nsenter --net=${path(client)} sh -ec 'ip addr add 192.0.2.2/24 dev up0; ip link set up0 up'`
  const { status, stderr } = spawnSync('nsenter', [`--net=${path(host)}`, 'sh', '-ec', script], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  return client
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
