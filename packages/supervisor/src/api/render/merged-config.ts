import type { ImageRunConfig } from '@holdfast/images'
import type { ContainerConfig } from '../../engine/container-config.ts'

/** The configuration as Docker shows it: what the user left open comes from the image. */
export function mergedConfig(config: ContainerConfig, image: ImageRunConfig | undefined): ContainerConfig {
  if (!image) return config
  const inheritsCommand = config.Entrypoint === null
  return {
    ...config,
    User: config.User || image.User || '',
    WorkingDir: config.WorkingDir || image.WorkingDir || '',
    Entrypoint: inheritsCommand ? (image.Entrypoint ?? null) : config.Entrypoint,
    Cmd: config.Cmd ?? (inheritsCommand ? (image.Cmd ?? null) : null),
    Env: mergedEnv(config.Env, image.Env ?? []),
    ExposedPorts: { ...image.ExposedPorts, ...config.ExposedPorts },
    Volumes: { ...image.Volumes, ...config.Volumes },
    Labels: { ...image.Labels, ...config.Labels },
    ...(config.StopSignal === undefined && image.StopSignal ? { StopSignal: image.StopSignal } : {}),
  }
}

/** The user's variables first, then those of the image that they don't replace. */
function mergedEnv(own: string[], inherited: string[]): string[] {
  const names = new Set(own.map(nameOf))
  return [...own, ...inherited.filter((variable) => !names.has(nameOf(variable)))]
}

function nameOf(variable: string): string {
  const mark = variable.indexOf('=')
  return mark < 0 ? variable : variable.slice(0, mark)
}
