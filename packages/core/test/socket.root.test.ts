import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { expect, it } from 'vitest'
import { closeFd } from '../src/descriptor.ts'
import { createNamespace } from '../src/namespace.ts'
import { openNetlinkSocketIn, openSocketIn } from '../src/socket.ts'
import { describeAsRoot } from './as-root.ts'

describeAsRoot('sockets of another network namespace', () => {
  it('opens them there, and every thread stays here', () => {
    const netns = createNamespace('net')
    const here = readlinkSync('/proc/self/ns/net')
    const listener = openSocketIn(netns, {
      family: 'inet',
      type: 'stream',
      bind: { address: '0.0.0.0', port: 4321 },
      reuse: true,
      listen: 8,
    })
    const netlink = openNetlinkSocketIn(netns, 0)
    const six = openSocketIn(netns, { family: 'inet6', type: 'dgram', bind: { address: '::', port: 4321 } })
    for (const task of readdirSync('/proc/self/task')) {
      expect(readlinkSync(`/proc/self/task/${task}/ns/net`)).toBe(here)
    }
    // The same port is free here, as the listener is elsewhere.
    expect(readFileSync('/proc/net/tcp', 'latin1')).not.toContain('00000000:10E1')
    for (const fd of [listener, netlink, six, netns]) closeFd(fd)
  })

  it('hands a datagram socket to Node', async () => {
    const netns = createNamespace('net')
    const fd = openSocketIn(netns, { family: 'inet', type: 'dgram', bind: { address: '0.0.0.0', port: 53 } })
    const socket = createSocket('udp4')
    const listening = once(socket, 'listening')
    socket.bind({ fd })
    await listening
    expect(socket.address()).toMatchObject({ port: 53 })
    socket.close()
    closeFd(netns)
  })

  it('reports a port in use with its address', () => {
    const netns = createNamespace('net')
    const options = {
      family: 'inet',
      type: 'stream',
      bind: { address: '0.0.0.0', port: 80 },
      listen: 1,
    } as const
    const first = openSocketIn(netns, options)
    expect(() => openSocketIn(netns, options)).toThrow(/bind '0\.0\.0\.0:80': EADDRINUSE/)
    expect(() => openSocketIn(netns, { ...options, bind: { address: 'localhost', port: 1 } })).toThrow(
      /address/,
    )
    closeFd(first)
    closeFd(netns)
  })

  it('refuses a descriptor that is no network namespace', () => {
    const uts = createNamespace('uts')
    expect(() => openNetlinkSocketIn(uts, 0)).toThrow(/EINVAL/)
    closeFd(uts)
  })
})
