import type { SpecInput } from './spec-input.ts'

const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** As Docker's: four variables unless they are set, in the place of the first of their name. */
export function environmentOf({ config, hostname, user }: SpecInput): string[] {
  const result = new Map<string, string>()
  const set = (entry: string): void => void result.set(entry.split('=', 1)[0]!, entry)
  set(path)
  set(`HOSTNAME=${hostname}`)
  if (config.Tty) set('TERM=xterm')
  for (const entry of config.Env) {
    if (entry.includes('=')) set(entry)
    else result.delete(entry) // a name alone takes the variable away
  }
  if (!result.has('HOME')) set(`HOME=${user.home || '/'}`)
  return [...result.values()]
}
