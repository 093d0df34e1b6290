/** Hooks that the front end runs, on the host's side (native/hooks.c). */
import type { PacketConnection } from '@holdfast/core'
import type { OciConfig, ShimHook } from '@holdfast/plan'
import { HoldfastError } from '@holdfast/errors'
import { ociState, type OciState } from '@holdfast/shim/library'
import { FlatWriter } from './flat.ts'

export interface HookRun {
  kind: 'createRuntime' | 'poststart' | 'poststop'
  hooks: readonly ShimHook[]
  id: string
  bundle: string
  config: OciConfig
  status: OciState['status']
  /** The init's; where it is still to be born, the front end fills it in. 0: none is told. */
  pid: number | 'later'
}

/** u32 count, u32 whether the rest run after a failure, then each: kind, directory, path, args, env, timeout, state. */
export function writeHooks(flat: FlatWriter, run: HookRun): FlatWriter {
  const { kind, hooks, bundle } = run
  const [before, after] = stateParts(run)
  flat.u32(hooks.length).u32(kind === 'poststop' ? 1 : 0)
  for (const { path, args, env, timeoutMs } of hooks) {
    flat.text(kind).text(bundle).text(path).texts(args).texts(env)
    flat
      .i64(timeoutMs ?? -1)
      .text(before)
      .text(after)
  }
  return flat
}

function stateParts({ id, bundle, config, status, pid }: HookRun): [string, string] {
  const state = ociState({ dir: bundle, spec: { id }, config }, status, pid === 'later' ? 0 : pid)
  const text = JSON.stringify(state)
  return pid === 'later' ? [`${text.slice(0, -1)},"pid":`, '}'] : [text, '']
}

/** Has the front end run them. Throws HF_START_FAILED with what failed; poststop hooks never fail. */
export async function runHooks(connection: PacketConnection, run: HookRun): Promise<void> {
  if (run.hooks.length === 0) return
  connection.sendTexts('h', Buffer.alloc(0), [writeHooks(new FlatWriter(), run).finish()])
  const answer = await connection.receive()
  if (answer?.kind === 'r' && answer.body.length === 0) return
  throw new HoldfastError('HF_START_FAILED', answer?.body.toString() ?? 'the front end is gone')
}
