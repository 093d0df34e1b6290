/**
 * A verb's options as urfave/cli takes them: one dash or two, `--name value` or `--name=value`, one-letter aliases,
 * before or between the arguments.
 */
import { HoldfastError } from '@holdfast/errors'
import { isOn } from './request.ts'

export interface OptionSpec {
  /** Takes no value. */
  switches?: readonly string[]
  /** Takes one value; the last counts. */
  values?: readonly string[]
  /** Takes one value each time it is given. */
  lists?: readonly string[]
  /** Another name → the name. */
  aliases?: Readonly<Record<string, string>>
  /** From the first argument on everything is an argument: what follows is somebody else's command line. */
  stopsAtArgument?: boolean
}

export interface Options {
  on: ReadonlySet<string>
  value: Readonly<Record<string, string>>
  list: Readonly<Record<string, string[]>>
  args: string[]
}

export function parseOptions(args: readonly string[], spec: OptionSpec): Options {
  const on = new Set<string>()
  const value: Record<string, string> = {}
  const list: Record<string, string[]> = {}
  const rest: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (arg === '--') {
      rest.push(...args.slice(at + 1))
      break
    }
    if (!/^-./.test(arg)) {
      rest.push(arg)
      if (!spec.stopsAtArgument) continue
      rest.push(...args.slice(at + 1))
      break
    }
    const [, given = '', inline] = /^--?([^=]+)(?:=(.*))?$/s.exec(arg) ?? []
    const name = spec.aliases?.[given] ?? given
    if (spec.switches?.includes(name)) {
      if (isOn(inline)) on.add(name)
      else on.delete(name)
      continue
    }
    if (!spec.values?.includes(name) && !spec.lists?.includes(name))
      throw usage(`flag provided but not defined: -${given}`)
    const text = inline ?? args[++at]
    if (text === undefined) throw usage(`flag needs an argument: -${given}`)
    if (spec.lists?.includes(name)) (list[name] ??= []).push(text)
    else value[name] = text
  }
  return { on, value, list, args: rest }
}

/** The one container that the verb is about. */
export function onlyId(verb: string, { args }: Options): string {
  if (args.length !== 1 || args[0] === '')
    throw usage(`"${verb}" requires exactly 1 argument: a container id`)
  return args[0]!
}

export function numberOption(options: Options, name: string, fallback: number): number {
  const text = options.value[name]
  if (text === undefined) return fallback
  if (!/^-?\d{1,15}$/.test(text)) throw usage(`--${name} must be a number, not ${JSON.stringify(text)}`)
  return Number(text)
}

export function usage(message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message)
}
