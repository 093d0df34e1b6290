/** Words of Dockerfile instructions: quotes, backslashes and variables as Docker's own parser has them. */
import { HoldfastError } from '@holdfast/errors'

/** Splits at blanks outside quotes; quotes and backslashes stay in the words. */
export function wordsOf(text: string): string[] {
  const words: string[] = []
  let word = ''
  let quote: string | undefined
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    if (character === '\\' && quote !== "'" && i + 1 < text.length) {
      word += character + text[++i]!
      continue
    }
    if (quote === undefined && (character === ' ' || character === '\t')) {
      if (word !== '') words.push(word)
      word = ''
      continue
    }
    if (character === quote) quote = undefined
    else if (quote === undefined && (character === '"' || character === "'")) quote = character
    word += character
  }
  if (word !== '') words.push(word)
  return words
}

/** `a=1 b="2 3"`, or the old form with one name, `a 1 and the rest`. Values are not expanded yet. */
export function nameValuePairs(text: string): [string, string][] {
  const words = wordsOf(text)
  if (!words[0]!.includes('=')) {
    const match = /^(\S+)\s+([^]+)$/.exec(text)
    if (!match) throw syntaxError(text, 'must have two arguments')
    return [[match[1]!, match[2]!]]
  }
  return words.map((word) => {
    const equals = word.indexOf('=')
    if (equals < 0)
      throw syntaxError(text, `can't find = in ${JSON.stringify(word)}. Must be of the form: name=value`)
    return [word.slice(0, equals), word.slice(equals + 1)]
  })
}

/** Takes quotes away and puts variables in: `$NAME`, `${NAME}`, `${NAME:-else}`, `${NAME:+then}`. */
export function expand(text: string, env: readonly string[]): string {
  const { value, end } = expandUntil(text, 0, env)
  if (end < text.length) throw syntaxError(text, 'unexpected "}"')
  return value
}

/** Reads up to `stop` outside quotes, or to the end. */
function expandUntil(
  text: string,
  start: number,
  env: readonly string[],
  stop?: string,
): { value: string; end: number } {
  let value = ''
  let quoted = false
  for (let i = start; i < text.length; i++) {
    const character = text[i]!
    if (character === stop && !quoted) return { value, end: i }
    if (character === "'" && !quoted) {
      const close = text.indexOf("'", i + 1)
      if (close < 0)
        throw syntaxError(text, 'unexpected end of statement while looking for matching single-quote')
      value += text.slice(i + 1, close)
      i = close
    } else if (character === '"') quoted = !quoted
    else if (character === '\\' && i + 1 < text.length) {
      const next = text[++i]!
      // In double quotes a backslash is one, unless it protects something.
      value += quoted && !'"$\\'.includes(next) ? `\\${next}` : next
    } else if (character === '$') {
      const variable = readVariable(text, i + 1, env)
      value += variable.value
      i = variable.end - 1
    } else value += character
  }
  if (quoted) throw syntaxError(text, 'unexpected end of statement while looking for matching double-quote')
  if (stop !== undefined) throw syntaxError(text, 'missing "}"')
  return { value, end: text.length }
}

/** `start` is behind the dollar sign. */
function readVariable(text: string, start: number, env: readonly string[]): { value: string; end: number } {
  if (text[start] !== '{') {
    const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(text.slice(start))?.[0]
    return name === undefined
      ? { value: '$', end: start }
      : { value: lookUp(name, env) ?? '', end: start + name.length }
  }
  const [head, name = '', operator] =
    /^\{([A-Za-z_][A-Za-z0-9_]*)(:[-+?]|[-+?])?/.exec(text.slice(start)) ?? []
  if (head === undefined) throw syntaxError(text, 'bad substitution')
  const behind = start + head.length
  const current = lookUp(name, env)
  if (operator === undefined) {
    if (text[behind] !== '}') throw syntaxError(text, 'unsupported modifier in substitution')
    return { value: current ?? '', end: behind + 1 }
  }
  const word = expandUntil(text, behind, env, '}')
  // With a colon, an empty value counts as none.
  const isSet = operator.startsWith(':') ? (current ?? '') !== '' : current !== undefined
  const end = word.end + 1
  if (operator.endsWith('-')) return { value: isSet ? current! : word.value, end }
  if (operator.endsWith('+')) return { value: isSet ? word.value : '', end }
  if (!isSet) throw syntaxError(text, `${name}: ${word.value || 'not set'}`)
  return { value: current!, end }
}

function lookUp(name: string, env: readonly string[]): string | undefined {
  return env.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1)
}

function syntaxError(text: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `Syntax error - ${message}`, {
    details: { field: 'changes', change: text },
  })
}
