import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

import { HoldfastError } from '@holdfast/errors'
import type { PlanOptions } from '@holdfast/plan'

import type { Command, CommandContext } from '../command.ts'

export const explain: Command = {
  name: 'explain',
  usage: 'CONFIG|CONTAINER',
  summary: 'Print, like strace, what making a container does: from an OCI config.json, or of a container',
  completes: 'container',
  arguments: [1, 1],
  flags: [],
  async run(context, parsed) {
    // Loaded here: the other verbs start faster without them.
    const { explain: explainPlan, parseConfig, planContainer } = await import('@holdfast/plan')
    const { probeHost } = await import('@holdfast/core')
    const name = parsed.arguments[0] as string
    const { config, options: own } = existsSync(name) ? fromFile(name) : await fromContainer(context, name)
    const options: PlanOptions = {
      ...own,
      stage: join(own.bundle, 'stage'),
      pivot: 'pivot',
      host: probeHost(),
    }
    context.print(explainPlan(planContainer(parseConfig(config), options)).trimEnd())
    return 0
  },
}

interface Source {
  config: unknown
  options: Omit<PlanOptions, 'stage' | 'pivot' | 'host'>
}

/** A bundle's directory, or its config.json. */
function fromFile(path: string): Source {
  const file = path.endsWith('.json') ? resolve(path) : join(resolve(path), 'config.json')
  return {
    config: parseFile(file),
    options: { id: 'example', bundle: dirname(file), init: false, cgroupParent: '/holdfast' },
  }
}

function parseFile(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw new HoldfastError('HF_INVALID_CONFIG', `${file} is not JSON: ${cause.message}`, { cause })
  }
}

async function fromContainer({ client }: CommandContext, name: string): Promise<Source> {
  const { config, spec } = await client.json<{ config: unknown; spec: StoredSpec }>(
    'GET',
    `/holdfast/containers/${encodeURIComponent(name)}/explain`,
  )
  return {
    config,
    options: {
      id: spec.id,
      bundle: '/',
      init: spec.init,
      cgroupParent: spec.cgroupParent,
      ...(spec.rootfs ? { rootfs: spec.rootfs } : {}),
    },
  }
}

/** The part of the engine's stored specification that a plan takes. */
interface StoredSpec {
  id: string
  init: boolean
  cgroupParent: string
  rootfs?: NonNullable<PlanOptions['rootfs']>
}
