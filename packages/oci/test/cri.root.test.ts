/** As the runtime of a Kubernetes node: pods through containerd's CRI, networked by our own CNI plugin. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '@holdfast/testkit'
import { CriWorld, image, loopback } from './cri-world.ts'
import type { Fields } from './cri-client.ts'
import { hasCgroups, hasSystemd, SystemdWorld } from './systemd-world.ts'
import { OciWorld } from './world.ts'

const root = process.getuid?.() === 0
const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** ContainerState of the interface. */
const [created, running, exited] = [0, 1, 2]

const there = has('containerd') && has('ctr') && existsSync(loopback)

const drivers = [
  ['cgroupfs', true],
  ['systemd', hasSystemd && root && hasCgroups(1)],
] as const

describe.each(drivers)("under containerd's CRI with the cgroup driver %s", (driver, possible) => {
  describe.skipIf(!root || !there || !possible)('(needs it)', () => pods(driver))
})

function pods(driver: 'cgroupfs' | 'systemd'): void {
  const world = new OciWorld()
  let cri: CriWorld
  let systemd: SystemdWorld | undefined
  beforeAll(async () => {
    if (driver === 'systemd') systemd = new SystemdWorld(1, world.base)
    cri = new CriWorld(world, await systemd?.booted())
    await cri.ready()
  }, 60_000)
  afterAll(async () => {
    await cri[Symbol.asyncDispose]()
    await systemd?.[Symbol.asyncDispose]()
    world[Symbol.dispose]()
  }, 60_000)

  const traces = async () => [...cri.cgroups(), ...((await systemd?.traces('cri-containerd')) ?? [])]

  const startPod = async (name: string) =>
    (await cri.call('RunPodSandbox', { 1: cri.pod(name), 2: 'holdfast' })).text(1)
  const make = async (pod: string, name: string, command: string[], more: Fields = {}) => {
    const config = { 1: { 1: name }, 2: { 1: image }, 3: command, 11: `${name}.log`, ...more }
    return (await cri.call('CreateContainer', { 1: pod, 2: config, 3: cri.pod('x') })).text(1)
  }
  const status = async (id: string) => (await cri.call('ContainerStatus', { 1: id })).message(1)
  const exec = async (id: string, ...command: string[]) => {
    const answer = await cri.call('ExecSync', { 1: id, 2: command, 3: 20 })
    return { stdout: answer.text(1), stderr: answer.text(2), status: answer.number(3) }
  }
  const removePod = async (pod: string) => {
    await cri.call('StopPodSandbox', { 1: pod })
    await cri.call('RemovePodSandbox', { 1: pod })
  }

  it('a pod has an address, which its containers share and others reach', { timeout: 120_000 }, async () => {
    const pod = await startPod('web')
    const address = (await cri.call('PodSandboxStatus', { 1: pod })).message(1).message(5).text(1)
    expect(address).toMatch(/^10\.89\.0\.\d+$/)
    const server = await make(pod, 'server', [
      'sh',
      '-c',
      'echo hello > /tmp/index.html; exec httpd -f -h /tmp',
    ])
    expect((await status(server)).number(3)).toBe(created)
    await cri.call('StartContainer', { 1: server })
    expect((await status(server)).number(3)).toBe(running)
    const other = await make(pod, 'other', ['sleep', '1000'])
    await cri.call('StartContainer', { 1: other })
    const fetch = ['wget', '-q', '-O', '-', 'http://127.0.0.1/']
    await eventually(async () => (await exec(other, ...fetch)).stdout === 'hello\n')
    const second = await startPod('client')
    const client = await make(second, 'client', ['sleep', '1000'])
    await cri.call('StartContainer', { 1: client })
    expect(await exec(client, 'wget', '-q', '-O', '-', `http://${address}/`)).toEqual({
      stdout: 'hello\n',
      stderr: '',
      status: 0,
    })
    expect(cri.inside(['busybox', 'wget', '-q', '-O', '-', `http://${address}/`]).stdout).toBe('hello\n')
    await removePod(second)
    await removePod(pod)
    expect(await traces()).toEqual([])
    expect(cri.inside(['sh', '-c', 'ls /run/netns']).stdout).toBe('')
  })

  it('its containers run, log, take execs, and end with their statuses', { timeout: 120_000 }, async () => {
    const pod = await startPod('job')
    const id = await make(pod, 'job', ['sh', '-c', 'echo out; echo err >&2; read line; exit 7'], {
      6: [{ 1: 'COLOR', 2: 'blue' }],
      12: true,
      15: { 1: { 1: 100_000, 2: 50_000, 4: 32 << 20 } },
    })
    await cri.call('StartContainer', { 1: id })
    if (systemd) {
      const properties = await systemd.show(`cri-containerd-${id}.scope`, ['Slice', 'MemoryLimit'])
      expect(properties).toEqual({ Slice: 'pods.slice', MemoryLimit: String(32 << 20) })
    }
    expect(await exec(id, 'sh', '-c', 'echo $COLOR; echo no >&2; exit 3')).toEqual({
      stdout: 'blue\n',
      stderr: 'no\n',
      status: 3,
    })
    await expect(exec(id, 'nonsense')).rejects.toThrow('executable file not found')
    await cri.call('UpdateContainerResources', { 1: id, 2: { 4: 64 << 20 } })
    await eventually(() => cri.log('job.log').length === 2)
    expect(cri.log('job.log').sort()).toEqual(['stderr F err', 'stdout F out'])
    expect((await cri.call('ContainerStats', { 1: id })).count(1)).toBe(1)
    await cri.call('StopContainer', { 1: id, 2: 1 })
    const stopped = await status(id)
    expect([stopped.number(3), stopped.number(7)]).toEqual([exited, 143]) // TERM was enough: the pod has one pid namespace, and its init is another
    await cri.call('RemoveContainer', { 1: id })

    const failing = await make(pod, 'failing', ['sh', '-c', 'exit 7'])
    await cri.call('StartContainer', { 1: failing })
    await eventually(async () => (await status(failing)).number(3) === exited)
    expect((await status(failing)).number(7)).toBe(7)

    const missing = await make(pod, 'missing', ['nonsense'])
    await expect(cri.call('StartContainer', { 1: missing })).rejects.toThrow('executable file not found')
    await removePod(pod)
    expect(await traces()).toEqual([])
  })
}
