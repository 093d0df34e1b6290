import type { Image, ImageRunConfig } from '@holdfast/images'
import { unixSeconds, zeroTime } from '../go-time.ts'
import { isZero } from '../schema/refuse-unsupported.ts'

/** `GET /images/{name}/json` in the shape of the version asked for. */
export function renderImage(image: Image, api: number): unknown {
  const { config } = image
  const history = config.history.at(-1)
  return {
    Id: image.id,
    RepoTags: image.repoTags,
    RepoDigests: image.repoDigests,
    Parent: '',
    Comment: history?.comment ?? '',
    Created: config.created ?? zeroTime,
    ...(api < 45 ? { Container: '', ContainerConfig: runConfig({}) } : {}),
    DockerVersion: '',
    Author: config.author ?? '',
    Config: api < 50 ? runConfig(config.config) : ociConfig(config.config),
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: image.size,
    ...(api < 44 ? { VirtualSize: image.size } : {}),
    GraphDriver: { Data: null, Name: 'overlay2' },
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: image.lastTagged === '' ? zeroTime : image.lastTagged },
  }
}

/** Since API 1.50: what the image's own configuration has, and no more. */
function ociConfig(config: ImageRunConfig): unknown {
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal } = config
  const { Healthcheck, OnBuild, Shell } = config
  const fields = {
    User,
    ExposedPorts,
    Env,
    Entrypoint,
    Cmd,
    Volumes,
    WorkingDir,
    Labels,
    StopSignal,
    Healthcheck,
    OnBuild,
    Shell,
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isZero(value)))
}

/** Before: the fields of a container's configuration, most of them without a meaning for an image. */
function runConfig(config: ImageRunConfig): unknown {
  return {
    Hostname: '',
    Domainname: '',
    User: config.User ?? '',
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    ...(config.ExposedPorts ? { ExposedPorts: config.ExposedPorts } : {}),
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: config.Env ?? null,
    Cmd: config.Cmd ?? null,
    ...(config.Healthcheck === undefined ? {} : { Healthcheck: config.Healthcheck }),
    Image: '',
    Volumes: config.Volumes ?? null,
    WorkingDir: config.WorkingDir ?? '',
    Entrypoint: config.Entrypoint ?? null,
    OnBuild: config.OnBuild ?? null,
    Labels: config.Labels ?? null,
    ...(config.StopSignal === undefined ? {} : { StopSignal: config.StopSignal }),
    ...(config.Shell === undefined ? {} : { Shell: config.Shell }),
  }
}

/** What `GET /system/df` counts of an image, and nobody else. */
export interface ImageUse {
  /** How many use it. */
  containers: number
  /** Bytes of the layers that another image has too. */
  sharedSize: number
}

/** One row of `GET /images/json`. -1 stands where nobody counted. */
export function renderImageSummary(image: Image, api: number, use?: ImageUse): unknown {
  // Until API 1.43 an image without a name was listed under these.
  const nameless = api < 43 && image.repoTags.length === 0 && image.repoDigests.length === 0
  return {
    Containers: use?.containers ?? -1,
    Created: unixSeconds(image.config.created ?? ''),
    Id: image.id,
    Labels: image.config.config.Labels ?? null,
    ParentId: '',
    RepoDigests: nameless ? ['<none>@<none>'] : image.repoDigests,
    RepoTags: nameless ? ['<none>:<none>'] : image.repoTags,
    SharedSize: use?.sharedSize ?? -1,
    Size: image.size,
    ...(api < 44 ? { VirtualSize: image.size } : {}),
  }
}

/** `GET /images/{name}/history`, newest first. Each step that isn't empty made the next layer. */
export function renderHistory(image: Image): unknown[] {
  let layer = 0
  const sizes = image.config.history.map((step) =>
    step.empty_layer === true ? 0 : (image.layers[layer++]?.size ?? 0),
  )
  return image.config.history
    .map((step, index) => ({
      Comment: step.comment ?? '',
      Created: unixSeconds(step.created ?? ''),
      CreatedBy: step.created_by ?? '',
      Id: '<missing>',
      Size: sizes[index],
      Tags: null as string[] | null,
    }))
    .toReversed()
    .map((step, index) => (index === 0 ? { ...step, Id: image.id, Tags: tagsOf(image) } : step))
}

function tagsOf({ repoTags }: Image): string[] | null {
  return repoTags.length > 0 ? repoTags : null
}
