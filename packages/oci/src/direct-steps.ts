/** A plan's steps as this runtime carries them out: no shim between the caller and the container. */
import type { Step } from '@holdfast/plan'
import { bornInside } from '@holdfast/shim/library'

export interface DirectOptions {
  /** The process is born in this cgroup v2 directory. */
  bornIn?: string | undefined
  /** Waits at the door's socket, for `start`. */
  listen: boolean
  /** A session keyring of its own. */
  keyring: boolean
  /** How many of the caller's descriptors from 3 on the program inherits. */
  preserve: number
}

export function directSteps(steps: readonly Step[], options: DirectOptions): Step[] {
  const { listen, keyring, preserve } = options
  const program = steps.find((step) => step.do === 'exec')
  return bornInside(steps, options.bornIn).flatMap((step): Step[] => {
    if (step.do === 'session-keyring' && !keyring) return []
    if (step.do === 'door') {
      // What can't be executed is refused by `create` already, as engines know it from runc.
      const door: Step = listen ? { do: 'door', listen: 'door' } : step
      return program ? [findProgram(program), door] : [door]
    }
    if (step.do === 'exec' && preserve > 0)
      return [{ do: 'preserve', fds: Array.from({ length: preserve }, (_, at) => `preserved:${at}`) }, step]
    return [step]
  })
}

function findProgram({ args, env }: Extract<Step, { do: 'exec' }>): Step {
  const path = env.findLast((variable) => variable.startsWith('PATH='))?.slice('PATH='.length)
  return { do: 'find-program', program: args[0] ?? '', ...(path && { path }) }
}
