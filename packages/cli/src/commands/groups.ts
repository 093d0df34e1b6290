import { usageError } from '../command-line.ts'

const same = (...verbs: string[]): Record<string, string> =>
  Object.fromEntries(verbs.map((verb) => [verb, verb]))

/** docker's groups, and what their verbs are called without them. */
const groups: Record<string, Record<string, string>> = {
  container: {
    ...same('run', 'create', 'start', 'stop', 'restart', 'kill', 'pause', 'unpause', 'wait', 'rename', 'rm'),
    ...same('exec', 'logs', 'attach', 'inspect', 'top'),
    ls: 'ps',
    list: 'ps',
    ps: 'ps',
  },
  image: { ...same('load', 'import', 'tag', 'inspect'), ls: 'images', list: 'images', rm: 'rmi' },
  system: same('info', 'events'),
}

/** `hold container ls -a` is `hold ps -a`: the words without the group, or as they are where there is none. */
export function withoutGroup(words: string[]): string[] {
  const verbs = groups[words[0] ?? '']
  if (!verbs) return words
  const verb = verbs[words[1] ?? '']
  if (verb === undefined) {
    const known = Object.keys(verbs).join(', ')
    throw usageError(`'${words.slice(0, 2).join(' ')}' is not a hold command`, `It has ${known}.`)
  }
  return [verb, ...words.slice(2)]
}
