/** What the caller names, or gives as a descriptor. */
import { createReadStream, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { closeFd } from '@holdfast/core'
import type { Call } from './call.ts'
import { usage } from './options.ts'

/** The text of a file. What lies under /dev or /proc (a shell's `<(…)`) is the caller's own, and opened by it. */
export async function readCallerFile({ request, connection }: Call, name: string): Promise<string> {
  const path = resolve(request.cwd, name)
  if (!/^\/(dev|proc)\//.test(path)) return readFileSync(path, 'utf8')
  connection.send('p', path)
  const answer = await connection.receive()
  const fd = answer?.fds[0]
  if (fd === undefined) throw usage(`open ${path}: ${answer?.body.toString() ?? 'the caller is gone'}`)
  try {
    return await readAll(fd)
  } finally {
    closeFd(fd)
  }
}

/** To the end, whoever writes it. The descriptor stays open. */
export async function readAll(fd: number): Promise<string> {
  const { text } = await import('node:stream/consumers') // seldom wanted, and a part of each cold start otherwise
  return text(createReadStream('', { fd, autoClose: false }))
}
