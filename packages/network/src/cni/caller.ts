/** Who called: what must be done in its own process, or said to it. */
import { closeFd } from '@holdfast/core'
import { fileWith } from '../input-file.ts'
import type { Command } from './environment.ts'

export interface PluginOutcome {
  /** Null where a signal ended it. */
  status: number | null
  signal: string | null
  stdout: Buffer
  /** It could not be started. */
  error?: string | undefined
}

export interface Caller {
  /** Runs another plugin as the caller's child: with its environment, namespaces and standard error. */
  runPlugin: (program: string, command: Command, config: Buffer) => Promise<PluginOutcome>
  /** Runtimes log what a plugin says. */
  warn: (message: string) => void
}

/** This process is the caller's own. */
export const thisProcess: Caller = {
  async runPlugin(program, command, config) {
    const { spawnSync } = await import('node:child_process') // 10 ms, for those who need it
    const stdin = fileWith(config)
    try {
      const { status, signal, stdout, error } = spawnSync(program, {
        env: { ...process.env, CNI_COMMAND: command },
        stdio: [stdin, 'pipe', 'inherit'],
        maxBuffer: 64 << 20,
      })
      return { status, signal, stdout, error: error?.message }
    } finally {
      closeFd(stdin)
    }
  },
  warn(message) {
    process.stderr.write(`holdfast-bridge: ${message}\n`)
  },
}
