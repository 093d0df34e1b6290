/** OCI hooks that run in the host's namespaces: createRuntime, poststart, poststop (runtime-spec, POSIX-platform Hooks). */
import { spawn } from 'node:child_process'
import { HoldfastError } from '@holdfast/errors'
import type { ShimHook, Step } from '@holdfast/plan'

/** What a hook reads on its standard input: the container's state, as the runtime specification has it. */
export interface OciState {
  ociVersion: string
  id: string
  status: 'creating' | 'created' | 'running' | 'stopped'
  pid?: number
  bundle: string
  annotations?: Record<string, string>
}

/** The longest that a timer can wait, less a day for what comes beside it: as good as no limit. */
const unlimitedMs = 2 ** 31 - 1 - 86_400_000

/** How much longer a launch with these hooks may take than one without. One without a limit takes what it takes. */
export function hooksTime(hooks: readonly { timeoutMs?: number }[]): number {
  return Math.min(
    unlimitedMs,
    hooks.reduce((sum, { timeoutMs = unlimitedMs }) => sum + timeoutMs, 0),
  )
}

type HookStep = Extract<Step, { do: 'hook' }>

/** Those that run inside the container. */
export function hookSteps(steps: readonly Step[], kind: HookStep['kind']): HookStep[] {
  return steps.filter((step): step is HookStep => step.do === 'hook' && step.kind === kind)
}

/** runtime.md, lifecycle step 13: a failing poststop hook is logged, and the others still run. */
export async function runPoststop(
  hooks: ShimHook[],
  state: OciState,
  warn: (message: string) => void,
): Promise<void> {
  for (const hook of hooks)
    await runHooks('poststop', [hook], state).catch((error: Error) => warn(error.message))
}

const maxStderr = 4096

/** One after the other, in order. Throws HF_START_FAILED at the first that fails, with what it wrote to stderr. */
export async function runHooks(kind: string, hooks: ShimHook[], state: OciState): Promise<void> {
  for (const [index, hook] of hooks.entries())
    await runHook(`${kind} hook ${index} (${hook.path})`, hook, state)
}

function runHook(name: string, hook: ShimHook, state: OciState): Promise<void> {
  // args[0] is the program's own name for itself, as in execv(3).
  const [argv0 = hook.path, ...args] = hook.args
  const child = spawn(hook.path, args, {
    argv0,
    env: Object.fromEntries(hook.env.map(splitVariable)),
    cwd: state.bundle,
    stdio: ['pipe', 'ignore', 'pipe'],
    detached: true,
  })
  return new Promise((resolve, reject) => {
    const stderr: Buffer[] = []
    let length = 0
    let timedOut = false
    const timer =
      hook.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true
            killGroup(child.pid)
          }, hook.timeoutMs)
    const fail = (why: string, cause?: unknown) => {
      clearTimeout(timer)
      const said = Buffer.concat(stderr).toString().trim()
      reject(
        new HoldfastError('HF_START_FAILED', `${name} ${why}${said === '' ? '' : `: ${said}`}`, {
          cause,
          details: { step: name },
        }),
      )
    }
    child.once('error', (error) => fail(`could not be run: ${error.message}`, error))
    child.stderr.on('data', (chunk: Buffer) => {
      if (length < maxStderr) stderr.push(chunk)
      length += chunk.length
    })
    // Not 'close': a daemon that the hook leaves behind may hold stderr for ever.
    child.once('exit', (code, signal) => {
      if (timedOut) return fail(`did not end within ${hook.timeoutMs} ms`)
      if (code !== 0)
        return setImmediate(fail, signal ? `was killed by ${signal}` : `ended with status ${code}`)
      clearTimeout(timer)
      child.stderr.destroy()
      resolve()
    })
    child.stdin.on('error', () => {}) // a hook need not read it
    child.stdin.end(JSON.stringify(state))
  })
}

function splitVariable(variable: string): [string, string] {
  const at = variable.indexOf('=')
  return at < 0 ? [variable, ''] : [variable.slice(0, at), variable.slice(at + 1)]
}

/** The hook has a session of its own, so what it started goes with it. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself in this very moment.
  }
}
