import { usage } from './front-end/options.ts'

const units = ['', 'k', 'm', 'g', 't', 'p']

/** Bytes: a number, or one with a unit of 1024, `512M`, `1gb`, `2KiB`; -1 is no limit. */
export function sizeOf(text: string): number {
  if (text === '-1') return -1
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text) ?? []
  if (number === '') throw usage(`${JSON.stringify(text)} is no size`)
  return Math.floor(Number(number) * 1024 ** units.indexOf(unit.toLowerCase()))
}
