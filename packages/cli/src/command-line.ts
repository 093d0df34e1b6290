// Flags as Go's pflag reads them, since that is what people who know docker type: `--rm=false`, `-p80:80`, `-eA=1`,
// `-it`, `--name x`, `--name=x`; `--` ends them, and a verb like `run` ends them at its first argument.
import { HoldfastError } from '@holdfast/errors'

export interface Flag {
  /** Long name without dashes. */
  name: string
  /** One letter. */
  short?: string
  kind: 'boolean' | 'string' | 'number' | 'list'
  /** For help: what it does, one line. */
  help: string
  /** For help: what its value is, `NAME`. */
  value?: string
  default?: boolean | string | number
  /** Values to offer on completion. */
  choices?: string[]
}

export interface Parsed {
  /** A boolean flag's value; its default, or false, where it isn't given. */
  flag(name: string): boolean
  /** A string flag's value, or its default. */
  text(name: string): string | undefined
  number(name: string): number | undefined
  list(name: string): string[]
  /** Whether the flag was given at all. */
  has(name: string): boolean
  /** What is no flag. */
  arguments: string[]
}

export interface ParseOptions {
  /** Everything from the first argument on belongs to the container's command. */
  stopAtFirstArgument?: boolean
}

export function parseCommandLine(argv: string[], flags: Flag[], options: ParseOptions = {}): Parsed {
  const values = new Map<string, string[]>()
  const rest: string[] = []
  const words = [...argv]
  while (words.length > 0) {
    const word = words.shift() as string
    if (word === '--') {
      rest.push(...words)
      break
    }
    if (word.startsWith('--')) takeLong(word.slice(2), words, flags, values)
    else if (word.startsWith('-') && word !== '-') takeShort(word.slice(1), words, flags, values)
    else {
      rest.push(word)
      if (options.stopAtFirstArgument) {
        rest.push(...words)
        break
      }
    }
  }
  return new ParsedFlags(flags, values, rest)
}

function takeLong(word: string, words: string[], flags: Flag[], values: Map<string, string[]>): void {
  const equals = word.indexOf('=')
  const name = equals < 0 ? word : word.slice(0, equals)
  const flag = flags.find((candidate) => candidate.name === name)
  if (!flag) throw flagError(name, `unknown flag: --${name}`)
  let value = equals < 0 ? undefined : word.slice(equals + 1)
  if (value === undefined) {
    value = flag.kind === 'boolean' ? 'true' : words.shift()
    if (value === undefined) throw flagError(name, `flag needs an argument: --${name}`)
  }
  add(values, flag, value, `--${name}`)
}

/** `-it`, `-p80:80`, `-p 80:80`, `-e=A=1`: booleans may be joined, the first that takes a value takes the rest. */
function takeShort(letters: string, words: string[], flags: Flag[], values: Map<string, string[]>): void {
  for (let index = 0; index < letters.length; index++) {
    const letter = letters.charAt(index)
    const flag = flags.find((candidate) => candidate.short === letter)
    if (!flag) throw flagError(letter, `unknown shorthand flag: '${letter}' in -${letters}`)
    const rest = letters.slice(index + 1)
    if (flag.kind === 'boolean' && !rest.startsWith('=')) {
      add(values, flag, 'true', `-${letter}`)
      continue
    }
    const value = rest === '' ? words.shift() : rest.replace(/^=/, '')
    if (value === undefined) throw flagError(letter, `flag needs an argument: '${letter}' in -${letters}`)
    add(values, flag, value, `-${letter}`)
    return
  }
}

function add(values: Map<string, string[]>, flag: Flag, value: string, shown: string): void {
  if (flag.kind === 'boolean' && parseBoolean(value) === undefined) {
    throw flagError(flag.name, `invalid argument "${value}" for "${shown}" flag: true or false is expected`)
  }
  if (flag.kind === 'number' && !/^-?\d+(\.\d+)?$/.test(value)) {
    throw flagError(flag.name, `invalid argument "${value}" for "${shown}" flag: a number is expected`)
  }
  const list = values.get(flag.name)
  if (list) list.push(value)
  else values.set(flag.name, [value])
}

/** What Go's strconv.ParseBool takes. */
function parseBoolean(value: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false
  return undefined
}

class ParsedFlags implements Parsed {
  readonly arguments: string[]
  readonly #flags: Flag[]
  readonly #values: Map<string, string[]>

  constructor(flags: Flag[], values: Map<string, string[]>, rest: string[]) {
    this.#flags = flags
    this.#values = values
    this.arguments = rest
  }

  flag(name: string): boolean {
    const value = this.#values.get(name)?.at(-1)
    return value === undefined ? this.#default(name) === true : parseBoolean(value) === true
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1) ?? (this.#default(name) as string | undefined)
  }

  number(name: string): number | undefined {
    const value = this.#values.get(name)?.at(-1)
    return value === undefined ? (this.#default(name) as number | undefined) : Number(value)
  }

  list(name: string): string[] {
    return this.#values.get(name) ?? []
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  #default(name: string): Flag['default'] {
    return this.#flags.find((flag) => flag.name === name)?.default
  }
}

export function usageError(message: string, hint?: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, { hint })
}

function flagError(flag: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', message, {
    hint: '`hold COMMAND --help` lists the flags.',
    details: { flag },
  })
}
