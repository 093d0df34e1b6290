/** OCI mount options (config.md#linux-mount-options) to what the new mount API takes. */
import { invalid } from '../config/reader.ts'
import type { MountAttributes, Propagation, TreeAttributes } from '../step.ts'

export interface MountOptions {
  bind: 'no' | 'top' | 'recursive'
  remount: boolean
  attributes: TreeAttributes
  propagation?: { value: Propagation; recursive: boolean }
  idmap: 'no' | 'top' | 'recursive'
  copyUp: boolean
  /** What of a bind's source is mounted, relative to it: `X-mount.subdir` of mount(8). */
  subdir?: string
  /** For the file system: fsconfig(2) keys, in order. */
  data: [key: string, value?: string][]
  /** Accepted, and without effect: the kernel no longer has them, or not for this kind of mount. */
  ignored: string[]
}

type Attribute = keyof MountAttributes

/** Attributes that are on or off: option → attribute, and whether the option sets it. */
const flags: Record<string, [Exclude<Attribute, 'atime'>, boolean]> = {
  ro: ['readonly', true],
  rw: ['readonly', false],
  nosuid: ['nosuid', true],
  suid: ['nosuid', false],
  nodev: ['nodev', true],
  dev: ['nodev', false],
  noexec: ['noexec', true],
  exec: ['noexec', false],
  nodiratime: ['nodiratime', true],
  diratime: ['nodiratime', false],
  nosymfollow: ['nosymfollow', true],
  symfollow: ['nosymfollow', false],
}

/** The three ways to keep access times exclude each other; what unsets one means the kernel's default, relatime. */
const accessTimes: Record<string, NonNullable<MountAttributes['atime']>> = {
  relatime: 'relatime',
  atime: 'relatime',
  noatime: 'noatime',
  norelatime: 'relatime',
  strictatime: 'strictatime',
  nostrictatime: 'relatime',
}

const propagations: Record<string, Propagation> = {
  private: 'private',
  shared: 'shared',
  slave: 'slave',
  unbindable: 'unbindable',
}

/** The file system's, not the mount's; a bind has no say in them. */
const superblockFlags = new Set(['sync', 'async', 'dirsync', 'lazytime', 'nolazytime'])

/** mandatory locking went with Linux 5.15, i_version is the file system's own business, log noise is nobody's. */
const withoutEffect = new Set(['mand', 'nomand', 'iversion', 'noiversion', 'silent', 'loud'])

/** With the r in front: for the whole tree, by mount_setattr(2). */
const forTheTree = (names: string[]): string[] => names.map((name) => `r${name}`)

const attributeNames = [...Object.keys(flags), ...Object.keys(accessTimes)]
const shapeNames = ['bind', 'idmap', ...Object.keys(propagations)]

const subdirName = 'X-mount.subdir'

/** Every option that is known by name; any other goes to the file system. */
export const mountOptionNames: readonly string[] = [
  'defaults',
  'remount',
  'tmpcopyup',
  ...attributeNames,
  ...forTheTree(attributeNames),
  ...shapeNames,
  ...forTheTree(shapeNames),
  ...superblockFlags,
  ...withoutEffect,
].toSorted()

export function parseMountOptions(type: string, options: string[], path: string): MountOptions {
  const result: MountOptions = {
    bind: type === 'bind' ? 'top' : 'no',
    remount: false,
    attributes: { set: {}, clear: [] },
    idmap: 'no',
    copyUp: false,
    data: [],
    ignored: [],
  }
  options.forEach((option, index) => {
    if (!attributeOption(result, option) && !shapeOption(result, option))
      for (const each of asMount2Splits(option)) dataOption(result, each, `${path}.options[${index}]`)
  })
  if (result.copyUp && type !== 'tmpfs')
    throw invalid(`${path}.options`, 'has tmpcopyup, which is for tmpfs alone')
  if (result.idmap !== 'no' && result.bind === 'no')
    throw invalid(`${path}.options`, 'has an id map, which is for bind mounts alone')
  if (result.subdir !== undefined && result.bind === 'no')
    throw invalid(`${path}.options`, `has ${subdirName}, which is for bind mounts alone`)
  if (result.bind !== 'no') {
    // mount(2) ignores a bind's data and superblock flags too.
    result.ignored.push(...result.data.map(([key]) => key))
    result.data = []
  }
  return result
}

/** Data of mount(2) is one text: several options may come in one. A comma in quotes, or behind a backslash, is a value's. */
function asMount2Splits(option: string): string[] {
  return option.match(/(?:[^,"\\]|\\[^]|\\$|"[^"]*"?)+/g) ?? [option]
}

function attributeOption(result: MountOptions, option: string): boolean {
  const { attributes } = result
  if (Object.hasOwn(flags, option)) {
    const [attribute, on] = flags[option]!
    change(attributes, attribute, on)
    return true
  }
  if (Object.hasOwn(accessTimes, option)) {
    attributes.set.atime = accessTimes[option]!
    return true
  }
  if (!option.startsWith('r')) return false
  const whole = option.slice(1)
  if (Object.hasOwn(flags, whole)) {
    const [attribute, on] = flags[whole]!
    change(recursive(attributes), attribute, on)
    return true
  }
  if (Object.hasOwn(accessTimes, whole)) {
    recursive(attributes).set.atime = accessTimes[whole]!
    return true
  }
  return false
}

function recursive(attributes: TreeAttributes): NonNullable<TreeAttributes['recursive']> {
  return (attributes.recursive ??= { set: {}, clear: [] })
}

/** The last of two that contradict each other holds, as in mount(8). */
function change(
  target: { set: MountAttributes; clear: Attribute[] },
  name: Exclude<Attribute, 'atime'>,
  on: boolean,
): void {
  target.clear = target.clear.filter((each) => each !== name)
  delete target.set[name]
  if (on) target.set[name] = true
  else target.clear.push(name)
}

function shapeOption(result: MountOptions, option: string): boolean {
  const recursively = option.startsWith('r')
  const name = recursively ? option.slice(1) : option
  if (name === 'bind') result.bind = recursively ? 'recursive' : 'top'
  else if (name === 'idmap') result.idmap = recursively ? 'recursive' : 'top'
  else if (Object.hasOwn(propagations, name))
    result.propagation = { value: propagations[name]!, recursive: recursively }
  else if (option === 'remount') result.remount = true
  else if (option === 'tmpcopyup') result.copyUp = true
  else return option === 'defaults' || option === ''
  return true
}

function dataOption(result: MountOptions, option: string, path: string): void {
  if (withoutEffect.has(option)) {
    result.ignored.push(option)
    return
  }
  if (superblockFlags.has(option)) {
    result.data.push([option])
    return
  }
  const equals = option.indexOf('=')
  if (equals === 0) throw invalid(path, `has no name before "=": ${JSON.stringify(option)}`)
  if (option.startsWith(`${subdirName}=`)) result.subdir = subdirOf(option.slice(equals + 1), path)
  else result.data.push(equals < 0 ? [option] : [option.slice(0, equals), option.slice(equals + 1)])
}

function subdirOf(subdir: string, path: string): string {
  if (subdir !== '' && !subdir.startsWith('/') && !subdir.includes('\0')) return subdir
  throw invalid(path, `must name a path relative to the source: ${JSON.stringify(subdir)}`)
}
