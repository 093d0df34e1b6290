/** Egress policies as people write them in one line, in the words in which refusals name their rules. */
import { HoldfastError } from '@holdfast/errors'
import { checkPolicy, type EgressPolicy, type EgressRule } from './egress-rule.ts'

const protocols = ['tcp', 'udp', 'sctp', 'icmp'] as const

/**
 * Rules with commas between them, each `DESTINATION`, `DESTINATION PROTOCOL [PORT]`, `DESTINATION port PORT`, the same
 * without a destination, or `anything`: `*.example.org tcp 443, 10.0.0.0/8, udp 5000-5010`. An empty text is an empty
 * list. Undefined where both lists are absent. HF_BAD_REQUEST names the rule.
 */
export function parseEgressPolicy(
  { allow, deny }: { allow?: string | undefined; deny?: string | undefined },
  field: string,
): EgressPolicy | undefined {
  if (allow === undefined && deny === undefined) return undefined
  const policy: EgressPolicy = {
    ...(allow !== undefined && { allow: parseRules(allow, `${field}.allow`) }),
    ...(deny !== undefined && { deny: parseRules(deny, `${field}.deny`) }),
  }
  checkPolicy(policy, field)
  return policy
}

function parseRules(text: string, field: string): EgressRule[] {
  if (text.trim() === '') return []
  return text.split(',').map((rule, index) => parseRule(rule, `${field}[${index}]`))
}

function parseRule(text: string, field: string): EgressRule {
  const words = text.trim().split(/\s+/)
  const left = [...words]
  if (words.length === 1 && words[0] === 'anything') return {}
  const to = isKeyword(left[0]) ? undefined : left.shift()
  const protocol = protocols.find((each) => each === left[0])
  if (protocol !== undefined || left[0] === 'port') left.shift()
  const wantsPort = protocol === undefined && words.includes('port')
  const port = left.shift()
  const wrong =
    words[0] === '' ||
    words[0] === 'anything' ||
    left.length > 0 ||
    (wantsPort ? port === undefined : port !== undefined && !protocol)
  if (wrong) {
    throw new HoldfastError('HF_BAD_REQUEST', `${field}: '${text.trim()}' is no rule`, {
      hint: 'A rule is like: example.org tcp 443, 10.0.0.0/8, udp 5000-5010, anything.',
      details: { field },
    })
  }
  return {
    ...(to !== undefined && { to }),
    ...(protocol !== undefined && { protocol }),
    ...(port !== undefined && { port: parsePort(port) }),
  }
}

function isKeyword(word: string | undefined): boolean {
  return word === 'port' || protocols.some((each) => each === word)
}

/** What is no number is for the check of the whole to refuse. */
function parsePort(text: string): EgressRule['port'] & {} {
  const [first, last, ...more] = text.split('-').map((part) => (/^\d+$/.test(part) ? Number(part) : NaN))
  return last === undefined ? first! : more.length > 0 ? NaN : [first!, last]
}
