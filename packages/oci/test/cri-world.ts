/** A containerd with its CRI, in namespaces of its own: `holdfast-oci` makes the pods, `holdfast-bridge` their network. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { probeHost } from '@holdfast/core'
import { eventually } from '@holdfast/testkit'
import { CriClient, type Answer, type Fields } from './cri-client.ts'
import { executable, type OciWorld, type Outcome } from './world.ts'

const bridge = fileURLToPath(new URL('../../../tools/holdfast-bridge', import.meta.url))
/** containerd itself asks for it, to bring up `lo` in each pod. */
export const loopback = '/usr/lib/cni/loopback'
export const image = 'test.local/busybox:1'

export class CriWorld {
  readonly cgroupParent: string
  readonly #base: string
  readonly #containerd: ChildProcess
  #client: CriClient | undefined

  /** `systemd`: PID 1 of one, which is then to make the cgroups, in whose namespaces all of it runs. */
  constructor(world: OciWorld, systemd?: number) {
    this.#base = join(world.base, 'cri')
    this.cgroupParent = systemd === undefined ? `/hfoci-cri-${process.pid}` : 'pods.slice'
    for (const name of ['', 'bin', 'net', 'logs']) mkdirSync(join(this.#base, name))
    symlinkSync(bridge, join(this.#base, 'bin/holdfast-bridge'))
    symlinkSync(loopback, join(this.#base, 'bin/loopback'))
    writeFileSync(join(this.#base, 'net/10-pods.conflist'), conflist)
    writeFileSync(join(this.#base, 'config.toml'), containerdConfig(this.#base, systemd !== undefined))
    writeImage(this.#base, world.rootfs)
    const start = `mkdir /run/netns; ip link set lo up; exec containerd -c ${this.#base}/config.toml`
    const command =
      systemd === undefined
        ? [
            ...'unshare -m -n -p -f --kill-child --mount-proc sh -ec'.split(' '),
            `mount -t tmpfs tmpfs /run; ${start}`,
          ]
        : ['nsenter', '-t', String(systemd), '-a', 'sh', '-ec', start]
    this.#containerd = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#containerd.stderr!.on('data', (text) => (this.said += String(text)))
  }

  /** containerd's log. */
  said = ''

  async ready(): Promise<void> {
    const socket = join(this.#base, 'sock')
    const ctr = (...args: string[]) =>
      execFileSync('ctr', ['-a', socket, '-n', 'k8s.io', ...args], { stdio: 'ignore', timeout: 30_000 })
    await eventually(() => existsSync(socket), 30_000)
    await eventually(() => (ctr('version'), true), 30_000)
    ctr('images', 'import', '--snapshotter', 'native', join(this.#base, 'image.tar'))
    this.#client = new CriClient(socket)
  }

  call(method: string, request: Fields): Promise<Answer> {
    return this.#client!.call(method, request)
  }

  /** PodSandboxConfig. */
  pod(name: string): Fields {
    const metadata = { 1: name, 2: `uid-${name}`, 3: 'default' }
    return { 1: metadata, 2: name, 3: join(this.#base, 'logs'), 8: { 1: this.cgroupParent } }
  }

  /** The lines of a container's log file, without their times: `stdout F text`. */
  log(path: string): string[] {
    const text = readFileSync(join(this.#base, 'logs', path), 'utf8')
    return text
      .trim()
      .split('\n')
      .map((line) => line.replace(/^\S+ /, ''))
  }

  /** Runs in containerd's namespaces. */
  inside(command: string[]): Outcome {
    const child = readFileSync(
      `/proc/${this.#containerd.pid}/task/${this.#containerd.pid}/children`,
      'latin1',
    ).trim()
    const { status, stdout, stderr } = spawnSync('nsenter', ['-t', child, '-m', '-n', '-p', ...command], {
      encoding: 'utf8',
      timeout: 20_000,
    })
    return { status, stdout, stderr }
  }

  /** Of containers and pods, in any hierarchy. */
  cgroups(): string[] {
    return hierarchies().flatMap((mount) => {
      const parent = join(mount, this.cgroupParent)
      if (!existsSync(parent)) return []
      return readdirSync(parent, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [join(parent, entry.name)] : [],
      )
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close()
    this.#containerd.kill('SIGKILL')
    const parents = hierarchies().map((mount) => join(mount, this.cgroupParent))
    await eventually(() => {
      for (const path of [...this.cgroups(), ...parents]) if (existsSync(path)) rmdirSync(path)
      return true
    }, 10_000)
  }
}

function hierarchies(): string[] {
  const { cgroup } = probeHost()
  return cgroup.version === 2 ? [cgroup.mount] : cgroup.hierarchies.map(({ mount }) => mount)
}

const conflist = JSON.stringify({
  cniVersion: '0.4.0',
  name: 'pods',
  plugins: [
    {
      type: 'holdfast-bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: true,
      ipam: { ranges: [[{ subnet: '10.89.0.0/16' }]], routes: [{ dst: '0.0.0.0/0' }] },
      capabilities: { portMappings: true },
    },
  ],
})

function containerdConfig(base: string, systemd: boolean): string {
  return `version = 2
root = "${base}/root"
state = "${base}/state"
[grpc]
  address = "${base}/sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "${base}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${image}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${base}/bin"
    conf_dir = "${base}/net"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "holdfast"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.holdfast]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.holdfast.options]
        BinaryName = "${executable}"
        Root = "${base}/runtime"
        SystemdCgroup = ${systemd}
`
}

/** `image.tar`, as `docker save` writes one: a layer of the root, which sleeps where nothing else is asked for. */
function writeImage(base: string, rootfs: string): void {
  const layer = join(base, 'layer.tar')
  execFileSync('tar', ['-C', rootfs, '-cf', layer, '.'])
  const digest = createHash('sha256').update(readFileSync(layer)).digest('hex')
  const config = {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Entrypoint: ['/bin/sleep', '100000'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  }
  const manifest = [{ Config: 'config.json', RepoTags: [image], Layers: ['layer.tar'] }]
  writeFileSync(join(base, 'config.json'), JSON.stringify(config))
  writeFileSync(join(base, 'manifest.json'), JSON.stringify(manifest))
  const files = ['manifest.json', 'config.json', 'layer.tar']
  execFileSync('tar', ['-C', base, '-cf', join(base, 'image.tar'), ...files])
}
