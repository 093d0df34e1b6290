/** The text of a container's /etc/resolv.conf that sends its questions here (resolv.conf(5)). */

/** `search`: domains that a client appends. Without an `ndots` of its own a short name is asked as it is first. */
export function resolvConf({
  address = '127.0.0.11',
  search = [],
  options = [],
}: {
  address?: string
  search?: readonly string[]
  options?: readonly string[]
} = {}): string {
  const ndots = options.some((option) => option.startsWith('ndots:')) ? [] : ['ndots:0']
  return [
    `nameserver ${address}`,
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    `options ${[...options, ...ndots].join(' ')}`,
    '',
  ].join('\n')
}
