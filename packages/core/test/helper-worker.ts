// A helper for helper-service.test.ts: answers `q TEXT` with `x TEXT`, when it is told to go on.
import { rmSync, watch } from 'node:fs'
import { serveFrontEnds } from '../src/helper-service.ts'

const [idleMs, gate, ...args] = process.argv.slice(2)

await serveFrontEnds({
  args,
  idleMs: () => Number(idleMs),
  async serve(connection) {
    connection.send('h')
    const packet = await connection.receive()
    if (!packet) return
    if (packet.body.toString() === 'wait') await removal(gate!)
    connection.send('x', packet.body)
  },
})

function removal(path: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(path, () => {
      watcher.close()
      resolve()
    })
    rmSync(`${path}.unwatched`) // says that it is watched
  })
}
