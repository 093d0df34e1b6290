import { readFileSync } from 'node:fs'
/** What tests ask of a running container. */
import type { ShimAttachment } from '../../supervisor/src/shims/shim-attachment.ts'
import type { Running } from './world.ts'

export async function collect(client: ShimAttachment): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const { data } of client.output) chunks.push(data)
  return Buffer.concat(chunks)
}

export interface ExecExtras {
  user?: string
  cwd?: string
  env?: string[]
  tty?: boolean
  input?: string
  consoleSize?: [number, number]
}

export async function exec(run: Running, execId: string, args: string[], extras: ExecExtras = {}) {
  const { user = '', env = [], tty = false, input, ...rest } = extras
  const spec = { args, env, user, tty, stdin: input !== undefined, privileged: false, ...rest }
  const ended = new Promise<number | null>((resolve) =>
    run.client.on('event', (event) => {
      if (event.event === 'exec-exited' && event.execId === execId) resolve(event.exit.exitCode)
    }),
  )
  const streams = { stdin: input !== undefined, stdout: true, stderr: true }
  const { attachment: client } = await run.client.exec(execId, spec, streams)
  const output = collect(client!)
  if (input !== undefined) {
    await client!.write(Buffer.from(input))
    client!.end()
  }
  return { output: (await output).toString(), exitCode: await ended }
}

/** Whether a shim has let go of its container: it has ended, or waits for another one. */
export function hasLetGo(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) || waits(pid)
  } catch {
    return true
  }
}

function waits(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('holdfast: shim (waiting)')
}
