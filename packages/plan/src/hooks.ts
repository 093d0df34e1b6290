/** OCI hooks: those the shim runs on the host, and those the init runs in the container. */
import type { OciConfig } from './config/config.ts'
import type { OciHook } from './config/hooks.ts'
import type { Container } from './container.ts'
import type { ContainerPlan, ShimHook } from './plan.ts'
import type { Step } from './step.ts'

/** The hooks that are run outside the container, in the order in which they are. */
export function shimHooks({ config }: { config: OciConfig }): ContainerPlan['hooks'] {
  const { prestart = [], createRuntime = [], poststart = [], poststop = [] } = config.hooks ?? {}
  return {
    createRuntime: [...prestart, ...createRuntime].map(shimHook), // the deprecated ones first, as the specification has it
    poststart: poststart.map(shimHook),
    poststop: poststop.map(shimHook),
  }
}

/**
 * The init waits while the shim moves network devices and runs prestart and createRuntime hooks: namespaces exist, the
 * old root is still there.
 */
export function syncForHost({ config }: Container): Step[] {
  const { prestart = [], createRuntime = [] } = config.hooks ?? {}
  const devices = Object.keys(config.linux?.netDevices ?? {})
  return prestart.length + createRuntime.length + devices.length > 0
    ? [{ do: 'sync', point: 'create-runtime' }]
    : []
}

export function containerHooks(container: Container, kind: 'createContainer' | 'startContainer'): Step[] {
  const status = kind === 'createContainer' ? 'creating' : 'created'
  return (container.config.hooks?.[kind] ?? []).map((hook, index) => ({
    do: 'hook',
    field: `hooks.${kind}[${index}]`,
    kind,
    ...shimHook(hook),
    state: hookState(container, status),
  }))
}

function shimHook({ path, args, env, timeout }: OciHook): ShimHook {
  return {
    path,
    args: args?.length ? args : [path],
    env: env ?? [],
    ...(timeout && { timeoutMs: timeout * 1000 }),
  }
}

/** runtime.md#state, as a hook in the container gets it: the pid is the one that its pid namespace knows. */
function hookState({ config, options, namespaces }: Container, status: string): string {
  const pid = namespaces.origin.pid === 'new' ? '1' : '%PID%'
  const { id, bundle } = options
  const head = `{"ociVersion":${JSON.stringify(config.ociVersion)},"id":${JSON.stringify(id)},"status":"${status}","pid":${pid}`
  const annotations = config.annotations ? `,"annotations":${JSON.stringify(config.annotations)}` : ''
  return `${head},"bundle":${JSON.stringify(bundle)}${annotations}}`
}
