/** Arguments of steps as text. */
import type { DeviceNumber, MountAttributes, Propagation, TreeAttributes } from './step.ts'

/** `name(argument, argument)`, without those that are absent. */
export function call(name: string, ...parts: (string | false | undefined)[]): string {
  return `${name}(${parts.filter((part) => part !== undefined && part !== false && part !== '').join(', ')})`
}

/** JSON's quoting: no control character of a configuration reaches a terminal as it is. */
export function quote(text: string): string {
  return JSON.stringify(text)
}

export function octal(mode: number): string {
  return `0${mode.toString(8)}`
}

export function device(number: DeviceNumber | { type: 'p' }): string {
  return number.type === 'p' ? 'p' : `${number.type} ${number.major}:${number.minor}`
}

/** In mount(8)'s words. */
export function attributes({ readonly, atime, ...flags }: MountAttributes): string {
  const names = Object.entries(flags).flatMap(([name, on]) => (on ? [name] : []))
  return [...(readonly ? ['ro'] : []), ...names, ...(atime ? [atime] : [])].join('|')
}

export function tree({ set, clear, recursive }: TreeAttributes): string {
  const part = (each: { set: MountAttributes; clear: (keyof MountAttributes)[] }): string =>
    [attributes(each.set), ...each.clear.map((name) => `-${name}`)].filter(Boolean).join('|')
  const whole = recursive ? part(recursive) : ''
  return [part({ set, clear }), whole && `recursive ${whole}`].filter(Boolean).join(', ')
}

export function propagation(value: { value: Propagation; recursive: boolean } | undefined): string {
  return value ? `${value.recursive ? 'r' : ''}${value.value}` : ''
}

export function keyValues(options: [key: string, value?: string][]): string {
  return options.map(([key, value]) => (value === undefined ? key : `${key}=${value}`)).join(',')
}
