/**
 * The zygote's program:
 *
 *     node --v8-pool-size=0 --single-threaded main-zygote.js [--ahead=N] [--cgroup-parent=PATH] [--seccomp-cache=DIR]
 *          [--launch-socket=PATH]
 */
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { fillHeapHoles, trimMemory, keepCompiledSeccomp, listenUnix } from '@holdfast/core'
import { ownLauncher, workerLauncher } from './worker/launcher.ts'
import { ignoreDebugger } from './shim-process.ts'
import { warmUp } from './zygote/warm-up.ts'
import { Zygote } from './zygote/zygote.ts'

ignoreDebugger()
process.title = 'holdfast: zygote'
const { values } = parseArgs({
  options: {
    ahead: { type: 'string', default: '1' },
    'cgroup-parent': { type: 'string', default: '/holdfast' },
    'seccomp-cache': { type: 'string' },
    'launch-socket': { type: 'string' },
  },
})
keepCompiledSeccomp(values['seccomp-cache']) // and every shim forked from here
const ahead = Number(values.ahead)
if (!Number.isInteger(ahead) || ahead < 0 || ahead > 64) {
  process.stderr.write('--ahead must be from 0 to 64\n')
  process.exit(2)
}
try {
  await warmUp(values['cgroup-parent'])
} catch (error) {
  // Nothing depends on it but speed; what is wrong will be wrong for the first container too, which tells its caller.
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
}
// What is garbage at the fork would be collected, and its pages copied, in every child.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: object) => void
for (let round = 0; round < 3; round++) collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
trimMemory() // of the program itself, what the warm-up alone has touched
fillHeapHoles()
const socket = values['launch-socket']
const listener = socket === undefined ? undefined : listenUnix(socket)
new Zygote({ ahead, listener, launcher: socket === undefined ? ownLauncher : workerLauncher(socket) }).serve()
