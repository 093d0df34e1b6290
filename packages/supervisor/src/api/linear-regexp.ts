/**
 * Regular expressions of clients, matched in time linear in pattern times text: JavaScript's own engine backtracks, and
 * a pattern such as `(a+)+$` would stop the engine. What Go's syntax (RE2) has and people write in filters: `.`,
 * classes, groups, `|`, `*`, `+`, `?`, `{n,m}`, `^`, `$`, `\d`, `\w`, `\s`.
 */

/** Of the compiled form, about; a pattern that repeats itself beyond this is as good as malformed. */
const maxSteps = 10_000

type Test = (char: string) => boolean

type Node =
  | { kind: 'char'; test: Test }
  | { kind: 'start' | 'end' }
  | { kind: 'sequence' | 'choice'; parts: Node[] }
  | { kind: 'repeat'; part: Node; least: number; most: number }

type Step = { do: 'char'; test: Test } | { do: 'start' | 'end' | 'match' } | Split

/** Goes on at all of them. */
interface Split {
  do: 'split'
  next: number[]
}

function split(...next: number[]): Split {
  return { do: 'split', next }
}

export interface LinearRegExp {
  /** Whether it matches anywhere in the text. */
  test(text: string): boolean
}

/** undefined for what is malformed, or uses what isn't known here. */
export function linearRegExp(pattern: string): LinearRegExp | undefined {
  let steps: Step[]
  try {
    steps = compile(new Parser(pattern).parse())
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
  return { test: (text) => run(steps, Array.from(text)) }
}

class Malformed extends Error {}

class Parser {
  readonly #chars: string[]
  #at = 0
  #depth = 0

  constructor(pattern: string) {
    this.#chars = Array.from(pattern)
  }

  parse(): Node {
    const node = this.#choice()
    if (this.#at < this.#chars.length) throw new Malformed('unmatched )')
    return node
  }

  #choice(): Node {
    if (++this.#depth > 100) throw new Malformed('nested too deeply')
    const parts = [this.#sequence()]
    while (this.#take('|')) parts.push(this.#sequence())
    this.#depth--
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#chars.length && !'|)'.includes(this.#chars[this.#at]!))
      parts.push(this.#repeated())
    return { kind: 'sequence', parts }
  }

  #repeated(): Node {
    let part = this.#atom()
    for (;;) {
      const counts = this.#counts()
      if (!counts) return part
      this.#take('?') // how much a match takes makes no difference to whether there is one
      part = { kind: 'repeat', part, ...counts }
    }
  }

  #counts(): { least: number; most: number } | undefined {
    if (this.#take('*')) return { least: 0, most: Infinity }
    if (this.#take('+')) return { least: 1, most: Infinity }
    if (this.#take('?')) return { least: 0, most: 1 }
    const [all, least = '', comma, most = ''] =
      /^\{(\d{1,4})(,)?(\d{1,4})?\}/.exec(this.#chars.slice(this.#at, this.#at + 12).join('')) ?? []
    if (all === undefined) return undefined
    this.#at += all.length
    const counts = {
      least: Number(least),
      most: comma === undefined ? Number(least) : most === '' ? Infinity : Number(most),
    }
    if (counts.least > counts.most) throw new Malformed('bad repetition')
    return counts
  }

  #atom(): Node {
    const char = this.#chars[this.#at++]!
    if (char === '(') return this.#group()
    if (char === '[') return { kind: 'char', test: this.#class() }
    if (char === '.') return { kind: 'char', test: (other) => other !== '\n' }
    if (char === '^') return { kind: 'start' }
    if (char === '$') return { kind: 'end' }
    if (char === '\\') return { kind: 'char', test: this.#escape() }
    if ('*+?'.includes(char)) throw new Malformed('nothing to repeat')
    return { kind: 'char', test: (other) => other === char }
  }

  #group(): Node {
    if (this.#take('?') && !this.#take(':')) throw new Malformed('unknown group')
    const node = this.#choice()
    if (!this.#take(')')) throw new Malformed('unmatched (')
    return node
  }

  #escape(): Test {
    const char = this.#chars[this.#at++]
    if (char === undefined) throw new Malformed('nothing after \\')
    const known = escapes[char]
    if (known) return known
    if (/[A-Za-z0-9]/.test(char)) throw new Malformed(`unknown escape \\${char}`)
    return (other) => other === char
  }

  #class(): Test {
    const negated = this.#take('^')
    const tests: Test[] = []
    for (let first = true; first || !this.#take(']'); first = false) {
      if (this.#at >= this.#chars.length) throw new Malformed('unmatched [')
      tests.push(this.#classPart())
    }
    return (char) => negated !== tests.some((test) => test(char))
  }

  #classPart(): Test {
    const from = this.#chars[this.#at++]!
    if (from === '\\') return this.#escape()
    const to = this.#chars[this.#at + 1]
    if (this.#chars[this.#at] !== '-' || to === undefined || to === ']') return (char) => char === from
    this.#at += 2
    if (to < from || to === '\\') throw new Malformed('bad range')
    return (char) => char >= from && char <= to
  }

  #take(char: string): boolean {
    if (this.#chars[this.#at] !== char) return false
    this.#at++
    return true
  }
}

const inverse =
  (test: Test): Test =>
  (char) =>
    !test(char)
const digit: Test = (char) => /^[0-9]$/.test(char)
const word: Test = (char) => /^[0-9A-Za-z_]$/.test(char)
const space: Test = (char) => /^[\t\n\f\r ]$/.test(char)
const escapes: Record<string, Test | undefined> = {
  d: digit,
  w: word,
  s: space,
  D: inverse(digit),
  W: inverse(word),
  S: inverse(space),
}

function compile(node: Node): Step[] {
  const program = { steps: [] as Step[], visited: 0 }
  add(program, node)
  return [...program.steps, { do: 'match' }]
}

interface Program {
  steps: Step[]
  /** Nodes: a group with nothing in it makes no step, however often it is repeated. */
  visited: number
}

function add(program: Program, node: Node): void {
  const { steps } = program
  if (++program.visited > maxSteps) throw new Malformed('too long')
  if (node.kind === 'char') steps.push({ do: 'char', test: node.test })
  else if (node.kind === 'start' || node.kind === 'end') steps.push({ do: node.kind })
  else if (node.kind === 'sequence') for (const part of node.parts) add(program, part)
  else if (node.kind === 'choice') addChoice(program, node.parts)
  else if (node.kind === 'repeat') addRepeat(program, node)
}

function addChoice(program: Program, parts: Node[]): void {
  const { steps } = program
  const entry = split()
  steps.push(entry)
  const exits = parts.map((part) => {
    entry.next.push(steps.length)
    add(program, part)
    const exit = split()
    steps.push(exit)
    return exit
  })
  for (const exit of exits) exit.next.push(steps.length)
}

function addRepeat(program: Program, { part, least, most }: Node & { kind: 'repeat' }): void {
  const { steps } = program
  for (let count = 0; count < least; count++) add(program, part)
  const skips: Split[] = []
  for (let count = least; count < (most === Infinity ? least + 1 : most); count++) {
    const skip = split(steps.length + 1)
    skips.push(skip)
    steps.push(skip)
    add(program, part)
    if (most === Infinity) steps.push(split(steps.indexOf(skip)))
  }
  for (const skip of skips) skip.next.push(steps.length)
}

/** All threads at once, one character after the other: each step is visited once a character at most. */
function run(steps: Step[], text: string[]): boolean {
  let current = new Set<number>()
  for (let at = 0; ; at++) {
    const pending = [...current, 0]
    const reached = new Set<number>()
    while (pending.length > 0) {
      const index = pending.pop()!
      if (reached.has(index)) continue
      reached.add(index)
      const step = steps[index]!
      if (step.do === 'match') return true
      if (step.do === 'split') pending.push(...step.next)
      else if (step.do === 'start' && at === 0) pending.push(index + 1)
      else if (step.do === 'end' && at === text.length) pending.push(index + 1)
    }
    if (at === text.length) return false
    current = new Set()
    for (const index of reached) {
      const step = steps[index]!
      if (step.do === 'char' && step.test(text[at]!)) current.add(index + 1)
    }
  }
}
