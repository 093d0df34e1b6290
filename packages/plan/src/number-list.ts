import { invalid } from './config/reader.ts'

/** cpuset(7)'s list format, "0-3,7", as numbers. Bounded: the kernel knows at most 8192 CPUs and 1024 nodes. */
export function numberList(text: string, path: string): number[] {
  const result = new Set<number>()
  for (const part of text.split(',').map((each) => each.trim())) {
    if (part === '') continue
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? []
    if (first === undefined || Number(last) < Number(first) || Number(last) > 8191)
      throw invalid(path, `must be a list like "0-3,7", not ${JSON.stringify(text)}`)
    for (let number = Number(first); number <= Number(last); number++) result.add(number)
  }
  return [...result].toSorted((a, b) => a - b)
}
