/** Launches a container up to its door, says how to find it, and dies: what a killed shim leaves. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { adoptionRecord } from '../src/launch/adopt.ts'
import { createContainer } from '../src/launch/executor.ts'
import { ExecutorWorld } from './executor-world.ts'
import { memfdCreate } from '@holdfast/core'

const [rootfs, base] = process.argv.slice(2) as [string, string]
const directory = join(base, 'orphan')
mkdirSync(directory)
const world = new ExecutorWorld()
const plan = world.plan({
  terminal: true,
  mounts: [{ do: 'console', rows: 24, columns: 80, bind: true, uid: 0, gid: 0 }],
  args: ['sh', '-c', 'echo hello; usleep 100000; exit 8'],
})
// The root belongs to who waits for the end; this process's own would be gone before.
for (const step of plan.steps) if (step.do === 'stage-overlay') step.lower = [rootfs]
const container = await createContainer(plan, {
  name: 'orphan',
  directory,
  stdio: {},
  keep: { spare: memfdCreate('spare') },
  recordName: 'exit.json',
  onCreateRuntime: async () => {},
})
if (process.env['ENTRUST'] === '1') container.door.entrust()
await new Promise<void>((resolve) => {
  process.stdout.write(JSON.stringify(adoptionRecord(container)), () => resolve())
})
await world[Symbol.asyncDispose]()
process.kill(process.pid, 'SIGKILL')
