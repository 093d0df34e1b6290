/** Steps that mount: `stage.c`, `stage-overlay.c` and `mounts.c` of the launcher. */
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  type TableWriter,
} from '@holdfast/core'
import type { DeviceNumber, MountAttributes, Propagation, Step, TreeAttributes } from '@holdfast/plan'

const mountSteps = [
  'set-propagation',
  'stage-area',
  'stage-overlay',
  'stage-bind',
  'stage-mount',
  'stage-device',
  'stage-readonly',
  'enter-root',
  'mount',
  'attach',
  'remount',
  'mask',
  'readonly-path',
  'pivot',
  'plant-root',
  'change-root',
  'root-attributes',
] as const

type MountStep = Extract<Step, { do: (typeof mountSteps)[number] }>

export function isMountStep(step: Step): step is MountStep {
  return (mountSteps as readonly string[]).includes(step.do)
}

export function encodeMountStep(table: TableWriter, step: MountStep): void {
  switch (step.do) {
    case 'set-propagation':
      table.step('set_propagation').text(step.path)
      return void table.u32(propagationFlags[step.propagation]).flag(step.recursive)
    case 'stage-area':
      return void table.step('stage_area').text(step.path)
    case 'stage-overlay':
      return encodeOverlay(table, step)
    case 'stage-bind':
      return encodeBind(table, step)
    case 'stage-mount':
      table.step('stage_mount').text(step.as).text(step.type).text(step.source)
      return options(table.u64(attributeFlags(step.attributes)), step.options)
    case 'stage-device':
      table.step('stage_device').text(step.as).u32(deviceKinds[step.device.type].mode)
      table.u32(step.device.major).u32(step.device.minor)
      return void table.u32(step.mode).u32(step.uid).u32(step.gid)
    case 'stage-readonly':
      table.step('stage_readonly').text(step.staged).u32(step.uid).u32(step.gid).u32(step.mountPoints.length)
      for (const { path, kind, source } of step.mountPoints)
        table
          .text(path)
          .u32(kinds[kind])
          .text(source ?? '')
      return
    case 'enter-root':
      return void table
        .step('enter_root')
        .text(step.staged)
        .text(step.at ?? '')
    case 'mount':
      table.step('mount').text(step.type).text(step.source).text(step.target)
      table.u64(attributeFlags(step.attributes)).u32((step.copyUp ? 1 : 0) | (step.keepMode ? 2 : 0))
      options(table, step.options)
      return propagation(table, step.propagation)
    case 'attach':
      table.step('attach').text(step.staged).text(step.target).u32(kinds[step.kind])
      return propagation(table, step.propagation)
    case 'remount':
      treeAttributes(table.step('remount').text(step.target), step.attributes)
      return propagation(table, step.propagation)
    case 'mask':
      return void table.step('mask').text(step.path)
    case 'readonly-path':
      return void table.step('readonly_path').text(step.path)
    case 'pivot':
      return void table.step('pivot').flag(step.method === 'chroot')
    case 'plant-root':
      return void table.step('plant_root').fd(step.namespace).text(step.at)
    case 'change-root':
      return void table.step('change_root').fd(step.directory)
    case 'root-attributes':
      change(table.step('root_attributes'), step.set, [])
      return propagation(table, step.propagation)
    default:
      return step satisfies never
  }
}

const kinds = { directory: 0, file: 1, source: 2 } as const

const deviceKinds = { b: { kind: 3, mode: 0o060000 }, c: { kind: 4, mode: 0o020000 } } as const

const propagationFlags: Record<Propagation, number> = {
  private: MS_PRIVATE,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
}

const switches = {
  readonly: MOUNT_ATTR_RDONLY,
  nosuid: MOUNT_ATTR_NOSUID,
  nodev: MOUNT_ATTR_NODEV,
  noexec: MOUNT_ATTR_NOEXEC,
  nodiratime: MOUNT_ATTR_NODIRATIME,
  nosymfollow: MOUNT_ATTR_NOSYMFOLLOW,
} as const

const atimes = {
  relatime: MOUNT_ATTR_RELATIME,
  noatime: MOUNT_ATTR_NOATIME,
  strictatime: MOUNT_ATTR_STRICTATIME,
} as const

/** MOUNT_ATTR_… of a new mount. */
function attributeFlags(attributes: MountAttributes): number {
  let flags = attributes.atime === undefined ? 0 : atimes[attributes.atime]
  for (const [name, flag] of Object.entries(switches)) {
    if (attributes[name as keyof typeof switches] === true) flags |= flag
  }
  return flags
}

/** attr_set and attr_clr of mount_setattr(2). The three atimes are one field: setting one clears the field. */
function change(table: TableWriter, set: MountAttributes, clear: readonly (keyof MountAttributes)[]): void {
  let cleared = set.atime === undefined ? 0 : MOUNT_ATTR__ATIME
  for (const name of clear) cleared |= name === 'atime' ? MOUNT_ATTR__ATIME : switches[name]
  table.u64(attributeFlags(set)).u64(cleared)
}

function treeAttributes(table: TableWriter, attributes: TreeAttributes): void {
  const { set, clear, recursive } = attributes
  change(table, set, clear)
  table.flag(recursive !== undefined)
  change(table, recursive?.set ?? {}, recursive?.clear ?? [])
}

function propagation(
  table: TableWriter,
  wanted: { value: Propagation; recursive: boolean } | undefined,
): void {
  table.u32(wanted === undefined ? 0 : propagationFlags[wanted.value]).flag(wanted?.recursive === true)
}

function options(table: TableWriter, list: readonly [key: string, value?: string][]): void {
  table.u32(list.length)
  for (const [key, value] of list) {
    table.text(key).flag(value !== undefined)
    if (value !== undefined) table.text(value)
  }
}

function encodeOverlay(table: TableWriter, step: Step & { do: 'stage-overlay' }): void {
  table
    .step('stage_overlay')
    .text(step.as)
    .fd(step.idmap)
    .flag(step.method === 'fd')
  table.u64(attributeFlags(step.attributes)).text(step.upper).text(step.work)
  options(
    table,
    step.options.map((option) => splitOption(option)),
  )
  table.texts(step.lower)
}

function splitOption(option: string): [string, string?] {
  const at = option.indexOf('=')
  return at < 0 ? [option] : [option.slice(0, at), option.slice(at + 1)]
}

function encodeBind(table: TableWriter, step: Step & { do: 'stage-bind' }): void {
  table
    .step('stage_bind')
    .text(step.as)
    .text(step.source)
    .text(step.subdir ?? '')
    .flag(step.recursive)
  table.fd(step.idmap).flag(step.recursiveIdmap === true)
  expectation(table, step.expect)
  treeAttributes(table, step.attributes)
}

function expectation(table: TableWriter, expect: DeviceNumber | 'directory' | 'file' | undefined): void {
  if (typeof expect === 'object') {
    table.u32(deviceKinds[expect.type].kind).u32(expect.major).u32(expect.minor)
  } else {
    table
      .u32(expect === undefined ? 0 : expect === 'directory' ? 1 : 2)
      .u32(0)
      .u32(0)
  }
}
