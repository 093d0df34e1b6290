// `--format`: `json`, or a Go template with what people use of it: fields, `json`, `join`, `len`, `index`, `println`,
// `upper`, `lower`, `range`, `if`/`else`, `with`. Anything else is refused by name rather than printed wrong.
import { usageError } from '../command-line.ts'

type Scope = { dot: unknown; root: unknown; variables: Map<string, unknown> }
type Node = { text: string } | { action: string } | { block: Block }
interface Block {
  keyword: 'range' | 'if' | 'with'
  head: string
  body: Node[]
  otherwise: Node[]
}

/** Prints one object by a template; `table ` in front is taken off. */
export function format(template: string, data: unknown): string {
  const source = template
    .replace(/^table\s+/, '')
    .replaceAll('\\t', '\t')
    .replaceAll('\\n', '\n')
  if (source === 'json') return JSON.stringify(data)
  const tokens = tokenize(source)
  const nodes = parse(tokens)
  if (tokens.length > 0) throw usageError(`unexpected {{${tokens[0]?.value}}} in the template`)
  return render(nodes, { dot: data, root: data, variables: new Map() })
}

interface Token {
  kind: 'text' | 'action'
  value: string
}

function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  let rest = source
  for (;;) {
    const open = rest.indexOf('{{')
    if (open < 0) break
    const close = rest.indexOf('}}', open)
    if (close < 0) throw usageError(`unclosed action in the template: ${rest.slice(open)}`)
    tokens.push({ kind: 'text', value: rest.slice(0, open) })
    const inner = rest.slice(open + 2, close)
    rest = rest.slice(close + 2)
    if (inner.startsWith('- ')) trimLast(tokens)
    if (inner.endsWith(' -')) rest = rest.trimStart()
    tokens.push({ kind: 'action', value: inner.replace(/^- | -$/g, '').trim() })
  }
  tokens.push({ kind: 'text', value: rest })
  return tokens
}

function trimLast(tokens: Token[]): void {
  const last = tokens.at(-1)
  if (last) last.value = last.value.trimEnd()
}

/** Takes tokens up to `end` or `else` of the surrounding block, which stays in front. */
function parse(tokens: Token[]): Node[] {
  const nodes: Node[] = []
  for (let token = tokens[0]; token; token = tokens[0]) {
    if (token.kind === 'action' && (token.value === 'end' || token.value === 'else')) return nodes
    tokens.shift()
    if (token.kind === 'text') {
      nodes.push({ text: token.value })
      continue
    }
    const [, keyword, head] = /^(range|if|with)\s+(.*)$/.exec(token.value) ?? []
    if (keyword === undefined) nodes.push({ action: token.value })
    else nodes.push({ block: parseBlock(tokens, keyword as Block['keyword'], head as string) })
  }
  return nodes
}

function parseBlock(tokens: Token[], keyword: Block['keyword'], head: string): Block {
  const body = parse(tokens)
  let otherwise: Node[] = []
  if (tokens[0]?.value === 'else') {
    tokens.shift()
    otherwise = parse(tokens)
  }
  if (tokens.shift()?.value !== 'end') throw usageError(`{{${keyword} …}} has no {{end}}`)
  return { keyword, head, body, otherwise }
}

function render(nodes: Node[], scope: Scope): string {
  return nodes
    .map((node) => {
      if ('text' in node) return node.text
      if ('action' in node) return show(evaluate(node.action, scope))
      return renderBlock(node.block, scope)
    })
    .join('')
}

function renderBlock(block: Block, scope: Scope): string {
  const [, names, expression = ''] = /^(?:(\$\w+(?:\s*,\s*\$\w+)?)\s*:=\s*)?(.*)$/.exec(block.head) ?? []
  const value = evaluate(expression, scope)
  if (!isTrue(value)) return render(block.otherwise, scope)
  if (block.keyword === 'if') return render(block.body, scope)
  if (block.keyword === 'with') return render(block.body, { ...scope, dot: value })
  const variables = (names ?? '').split(',').map((name) => name.trim())
  const entries = Object.entries(value as object)
  if (!Array.isArray(value)) entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return entries
    .map(([key, item]) => {
      const inner = new Map(scope.variables)
      if (variables.length === 2) inner.set(variables[0] as string, Array.isArray(value) ? Number(key) : key)
      if (names) inner.set(variables.at(-1) as string, item)
      return render(block.body, { ...scope, dot: item, variables: inner })
    })
    .join('')
}

function isTrue(value: unknown): boolean {
  if (value === null || value === undefined || value === '' || value === 0 || value === false) return false
  if (Array.isArray(value)) return value.length > 0
  return typeof value !== 'object' || Object.keys(value).length > 0
}

/** As Go prints a value. */
function show(value: unknown): string {
  if (value === null || value === undefined) return '<no value>'
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`
  if (typeof value === 'object') {
    return `map[${Object.entries(value)
      .map(([key, item]) => `${key}:${show(item)}`)
      .join(' ')}]`
  }
  return `${value as string | number | boolean}`
}

/** A pipeline: `json .Config | upper`. */
function evaluate(pipeline: string, scope: Scope): unknown {
  let piped: unknown[] = []
  for (const command of splitOutside(pipeline, '|')) {
    const words = splitOutside(command, ' ')
    const [first = ''] = words
    const fn = Object.hasOwn(functions, first) ? functions[first] : undefined
    if (!fn) {
      if (words.length > 1) throw usageError(`function "${first}" is not known in templates`)
      piped = [operand(first, scope)]
      continue
    }
    piped = [fn(...words.slice(1).map((word) => operand(word, scope)), ...piped)]
  }
  return piped[0]
}

const functions: Record<string, (...values: any[]) => unknown> = {
  json: (value) => JSON.stringify(value),
  join: (list: unknown[] | null, separator: string) => (list ?? []).join(separator),
  len: (value: string | object | null) =>
    typeof value === 'string' ? value.length : Object.keys(value ?? {}).length,
  index: (value: any, ...keys: string[]) => keys.reduce((inner, key) => inner?.[key], value),
  upper: (value: unknown) => String(value).toUpperCase(),
  lower: (value: unknown) => String(value).toLowerCase(),
  println: (...values: unknown[]) => `${values.map(show).join(' ')}\n`,
  printf: (text: string, ...values: unknown[]) => text.replace(/%[sdvq]/g, () => show(values.shift())),
  truncate: (value: string, length: number) => value.slice(0, length),
  split: (value: string, separator: string) => value.split(separator),
  not: (value: unknown) => !isTrue(value),
  eq: (left: unknown, ...right: unknown[]) => right.includes(left),
  ne: (left: unknown, right: unknown) => left !== right,
  and: (...values: unknown[]) => values.find((value) => !isTrue(value)) ?? values.at(-1),
  or: (...values: unknown[]) => values.find(isTrue) ?? values.at(-1),
}

function operand(word: string, scope: Scope): unknown {
  if (word === '.') return scope.dot
  if (word === '$') return scope.root
  if (/^".*"$|^`.*`$/s.test(word))
    return word.startsWith('`') ? word.slice(1, -1) : (JSON.parse(word) as string)
  if (/^-?\d+$/.test(word)) return Number(word)
  const [, inner, behind] = /^\((.*)\)((?:\.\w+)*)$/s.exec(word) ?? []
  if (inner !== undefined) return walk(evaluate(inner, scope), behind)
  const [, variable, path] = /^(\$\w*)?((?:\.\w+)+)?$/.exec(word) ?? []
  if (variable === undefined && path === undefined)
    throw usageError(`"${word}" is not understood in a template`)
  const start =
    variable === undefined ? scope.dot : variable === '$' ? scope.root : scope.variables.get(variable)
  return walk(start, path)
}

/** `.State.Pid` from `value` on. */
function walk(value: unknown, path: string | undefined): unknown {
  return (path ?? '').split('.').slice(1).reduce(field, value)
}

/** A misspelt field of an object with known fields is an error, as it is with docker; an absent key of a map is not. */
function field(value: any, key: string): any {
  if (value === null || value === undefined) return undefined
  if (typeof value !== 'object') throw usageError(`can't evaluate field ${key} in "${String(value)}"`)
  return Object.hasOwn(value, key) ? value[key] : undefined
}

/** Splits at a separator that is not inside quotes or parentheses. */
function splitOutside(text: string, separator: string): string[] {
  const parts = ['']
  let depth = 0
  let quote = ''
  for (const letter of text) {
    if (quote) quote = letter === quote ? '' : quote
    else if (letter === '"' || letter === '`') quote = letter
    else if (letter === '(') depth++
    else if (letter === ')') depth--
    if (letter === separator && depth === 0 && !quote) parts.push('')
    else parts[parts.length - 1] += letter
  }
  return parts.map((part) => part.trim()).filter((part) => part !== '')
}
