import { HoldfastError } from '@holdfast/errors'
import type { ImageRunConfig } from '@holdfast/images'
import type { ContainerConfig } from './container-config.ts'

/** The request with what the image says where the request says nothing, by Docker's rules. Throws HF_BAD_REQUEST. */
export function mergeImageDefaults(config: ContainerConfig, image: ImageRunConfig): ContainerConfig {
  const merged: ContainerConfig = {
    ...config,
    User: config.User || (image.User ?? ''),
    ExposedPorts: { ...image.ExposedPorts, ...config.ExposedPorts },
    Env: mergeEnvironment(image.Env ?? [], config.Env),
    Volumes: { ...image.Volumes, ...config.Volumes },
    WorkingDir: config.WorkingDir || (image.WorkingDir ?? ''),
    Labels: { ...image.Labels, ...config.Labels },
    ...commandOf(config, image),
  }
  const stopSignal = config.StopSignal ?? image.StopSignal
  if (stopSignal) merged.StopSignal = stopSignal
  const command = [...(merged.Entrypoint ?? []), ...(merged.Cmd ?? [])]
  if (command.length === 0) throw new HoldfastError('HF_BAD_REQUEST', 'no command specified')
  return merged
}

/** A command alone keeps the image's entrypoint; an entrypoint alone drops the image's command. */
function commandOf(
  config: ContainerConfig,
  image: ImageRunConfig,
): Pick<ContainerConfig, 'Cmd' | 'Entrypoint'> {
  const { Cmd, Entrypoint } = config
  // `--entrypoint ""` arrives as [""]: none at all.
  if (Entrypoint?.length === 1 && Entrypoint[0] === '') return { Entrypoint: [], Cmd: Cmd ?? [] }
  if (Entrypoint && Entrypoint.length > 0) return { Entrypoint, Cmd: Cmd ?? null }
  return {
    Entrypoint: Entrypoint ?? image.Entrypoint ?? null,
    Cmd: Cmd && Cmd.length > 0 ? Cmd : (image.Cmd ?? null),
  }
}

/**
 * The request's variables, then those of the image that it doesn't set. A `NAME` without `=` stays, as Docker shows it; it
 * takes the variable away when the environment is made.
 */
function mergeEnvironment(image: string[], request: string[]): string[] {
  const nameOf = (entry: string): string => entry.split('=', 1)[0]!
  const names = new Set(request.map(nameOf))
  return [...request, ...image.filter((entry) => !names.has(nameOf(entry)))]
}
