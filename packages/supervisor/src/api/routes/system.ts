import { arch, release } from 'node:os'
import type { Image } from '@holdfast/images'
import { offeredVersion, oldestVersion } from '../api-version.ts'
import { readHostReport } from '../host-report.ts'
import { renderInfo } from '../render/info.ts'
import { renderImageSummary } from '../render/image.ts'
import { renderSummary } from '../render/container-summary.ts'
import { renderVolume } from '../render/volume.ts'
import type { Call, Route } from '../route.ts'
import { isNamed } from './containers.ts'

export const systemRoutes: Route[] = [
  { method: 'HEAD', path: '/_ping', handle: ping },
  { method: 'GET', path: '/_ping', handle: ping },
  { method: 'GET', path: '/version', handle: version },
  { method: 'GET', path: '/info', handle: info },
  { method: 'GET', path: '/system/df', since: 25, handle: diskUsage },
]

function ping(call: Call): void {
  call.sendText(200, 'OK', {
    // 1: docker build sends its context here rather than look for BuildKit.
    'Builder-Version': '1',
    Swarm: 'inactive',
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    Pragma: 'no-cache',
  })
}

/** The word Go has for this processor. */
function goArch(): string {
  const names: Record<string, string> = { x64: 'amd64', ia32: '386' }
  return names[arch()] ?? arch()
}

function version(call: Call): void {
  const about = {
    ApiVersion: offeredVersion,
    MinAPIVersion: oldestVersion,
    GitCommit: '',
    GoVersion: '',
    Os: 'linux',
    Arch: goArch(),
    KernelVersion: release(),
    BuildTime: '',
  }
  const { ApiVersion, Arch, BuildTime, GitCommit, GoVersion, KernelVersion, MinAPIVersion, Os } = about
  call.send(200, {
    Platform: { Name: 'Holdfast' },
    Components: [
      {
        Name: 'Engine',
        Version: call.release,
        Details: {
          ApiVersion,
          Arch,
          BuildTime,
          Experimental: 'false',
          GitCommit,
          GoVersion,
          KernelVersion,
          MinAPIVersion,
          Os,
        },
      },
      {
        Name: 'Node.js',
        Version: process.versions.node,
        Details: { V8: process.versions.v8, UV: process.versions.uv },
      },
    ],
    Version: call.release,
    ...about,
  })
}

async function info(call: Call): Promise<void> {
  const [engine, host] = await Promise.all([call.engine.info(), readHostReport()])
  call.send(200, renderInfo(engine, host, call.api))
}

async function diskUsage(call: Call): Promise<void> {
  const { engine, api } = call
  const images = engine.images.list()
  const records = engine.list()
  const now = Date.now()
  const containers = await Promise.all(
    records.map(async (record) =>
      renderSummary(record, {
        api,
        now,
        isNamed: isNamed(engine, record),
        sizes: await engine.sizes(record.id),
      }),
    ),
  )
  const users = (volume: string) =>
    records.filter((record) => record.mounts.some((mount) => mount.Name === volume)).length
  const layers = layersOf(images)
  call.send(200, {
    LayersSize: [...layers.values()].reduce((sum, { size }) => sum + size, 0),
    Images: images.map((image) =>
      renderImageSummary(image, api, {
        containers: records.filter((record) => record.imageId === image.id).length,
        sharedSize: image.layers.reduce(
          (sum, { chainId, size }) => (layers.get(chainId)!.images > 1 ? sum + size : sum),
          0,
        ),
      }),
    ),
    Containers: containers,
    Volumes: engine.volumes().map((volume) => renderVolume(volume, users(volume.name))),
    BuildCache: [],
    BuilderSize: 0,
  })
}

/** Every layer once, by chain id, with how many images have it. */
function layersOf(images: readonly Image[]): Map<string, { size: number; images: number }> {
  const layers = new Map<string, { size: number; images: number }>()
  for (const image of images) {
    for (const { chainId, size } of image.layers)
      layers.set(chainId, { size, images: (layers.get(chainId)?.images ?? 0) + 1 })
  }
  return layers
}
