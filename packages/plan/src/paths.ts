/** Paths as text. What they lead to is decided by the launcher, beneath the container's root descriptor. */

/** Without `.`, `..`, doubled and trailing slashes; always absolute: a relative one is taken from `/`. */
export function normalize(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

/** A path of the configuration on the host: relative ones start at the bundle. */
export function fromBundle(bundle: string, path: string): string {
  return path.startsWith('/') ? path : `${bundle}/${path}`
}

/** Whether `path` lies beneath `directory`; both normalized. */
export function isBeneath(path: string, directory: string): boolean {
  return directory === '/' ? path !== '/' : path.startsWith(`${directory}/`)
}
