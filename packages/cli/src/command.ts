import { hasCode } from '@holdfast/errors'
import type { EngineClient } from './engine-client.ts'
import type { Flag, Parsed } from './command-line.ts'

/** One verb of `hold`. Help and completion are drawn from the same table that the parser reads. */
export interface Command {
  /** `run`, `ns ls`. */
  name: string
  /** What follows the verb: `[OPTIONS] IMAGE [COMMAND] [ARG...]`. */
  usage: string
  summary: string
  flags: Flag[]
  stopAtFirstArgument?: boolean
  /** What an argument names, for completion. */
  completes?: 'container' | 'running' | 'image'
  /** Fewest and most arguments. */
  arguments: [least: number, most: number]
  /** Returns the exit code. */
  run(context: CommandContext, parsed: Parsed): Promise<number>
}

export interface CommandContext {
  client: EngineClient
  /** Whether standard output is a terminal: colours, and columns cut to its width. */
  terminal: boolean
  print(text: string): void
  /** To standard error. */
  warn(text: string): void
}

/** An error as a person reads it: what failed, and on a second line what to do. */
/** In the middle of an answer: node's own words for it are `aborted` and `socket hang up`. */
const hungUp =
  'the supervisor hung up\n  hint: It was ended or killed; containers go on without it. Ask again once it is back.'

export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (hasCode(error, 'ECONNRESET')) return hungUp
  if (!('hint' in error) || typeof error.hint !== 'string') return error.message
  // The API also puts the hint behind the message, for clients that know of no hints.
  return `${error.message.replace(` (${error.hint})`, '')}\n  hint: ${error.hint}`
}

/** For a verb over several containers: goes on past errors, and fails if one failed. */
export async function forEach(
  context: CommandContext,
  names: string[],
  action: (name: string) => Promise<void>,
): Promise<number> {
  let code = 0
  for (const name of names) {
    try {
      await action(name)
    } catch (error) {
      context.warn(`hold: ${describeError(error)}`)
      code = 1
    }
  }
  return code
}
