/** The verbs that the planner carries out; state, list, kill and start the front end does itself. */
import { HoldfastError } from '@holdfast/errors'
import type { Verb } from './front-end/call.ts'
import { create, run } from './verbs/create.ts'
import { poststart, remove, undo } from './verbs/delete.ts'
import { events } from './verbs/events.ts'
import { exec } from './verbs/exec.ts'
import { printFeatures } from './verbs/features.ts'
import { pause, resume } from './verbs/pause.ts'
import { ps } from './verbs/ps.ts'
import { spec } from './verbs/spec.ts'
import { update } from './verbs/update.ts'

export const verbs: Readonly<Record<string, Verb>> = {
  create,
  run,
  delete: remove,
  poststart,
  undo,
  exec,
  ps,
  pause,
  resume,
  update,
  events,
  features: printFeatures,
  spec,
  checkpoint: refuse('checkpoint'),
  restore: refuse('restore'),
}

function refuse(verb: string): Verb {
  return ({ request: { args } }) => {
    const asked = args.filter((arg) => arg.startsWith('-')).map((arg) => arg.replace(/=.*/s, ''))
    const options = asked.length === 0 ? '' : `, nor with ${asked.join(' ')}`
    throw new HoldfastError('HF_UNSUPPORTED', `${verb} is not supported${options}`, {
      hint: 'holdfast-oci does not dump or restore processes; there is no CRIU behind it.',
      details: { field: verb },
    })
  }
}
