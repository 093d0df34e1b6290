/**
 * A shim as a process of its own, where forking from a zygote is impossible or not wanted:
 *
 *     node --v8-pool-size=0 --single-threaded main-shim.js --dir DIR [--create] [--seccomp-cache DIR]
 */
import { parseArgs } from 'node:util'
import { keepCompiledSeccomp } from '@holdfast/core'
import { ownLauncher } from './worker/launcher.ts'
import { adoptStandardStreams, ignoreDebugger, runShim } from './shim-process.ts'

ignoreDebugger()
const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    create: { type: 'boolean', default: false },
    'seccomp-cache': { type: 'string' },
  },
})
if (values.dir === undefined || !values.dir.startsWith('/')) {
  process.stderr.write('usage: main-shim --dir DIR [--create]   (DIR is absolute)\n')
  process.exit(2)
}
adoptStandardStreams(`${values.dir}/shim.log`)
keepCompiledSeccomp(values['seccomp-cache'])
runShim({ dir: values.dir, create: values.create, launcher: ownLauncher, onLeave: () => process.exit(0) })
