import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { choicesOf } from './namespaces/container-choices.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { logSpec } from './logs/log-config.ts'
import { buildOciConfig } from './oci-config.ts'
import { shimDirectory } from './paths.ts'

/** The OCI config that a running container was made from; of another the one that its next start would use. */
export function explainContainer(
  context: EngineContext,
  container: Container,
): { config: unknown; spec: unknown } {
  const dir = shimDirectory(context.paths, container.id)
  if (existsSync(join(dir, 'shim.json'))) {
    const { token: _, ...spec } = readJson(join(dir, 'shim.json')) as Record<string, unknown>
    return { config: readJson(join(dir, 'config.json')), spec }
  }
  const { record } = container
  const rootfs = {
    kind: 'overlay',
    ...context.images.getSnapshot(container.id),
    idmap: record.idRange !== null,
  }
  return {
    config: buildOciConfig(context, container, choicesOf(context, container), {}).config,
    spec: {
      id: record.id,
      name: record.name,
      rootfs,
      log: logSpec(record.hostConfig, record.logPath),
      init: record.hostConfig.Init === true,
      cgroupParent: context.cgroupParent,
    },
  }
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}
