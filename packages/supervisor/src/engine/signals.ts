import { constants } from 'node:os'
import { HoldfastError } from '@holdfast/errors'

/** signal(7), "Real-time signals": glibc's and musl's SIGRTMIN, and the kernel's SIGRTMAX. */
const realTimeMin = 34
const realTimeMax = 64

/** `SIGTERM`, `term`, `15`, `RTMIN+3` → the number. Throws HF_BAD_REQUEST in Docker's words. */
export function parseSignal(text: string): number {
  const number = signalNumber(text.trim())
  if (number !== undefined) return number
  throw new HoldfastError('HF_BAD_REQUEST', `invalid signal: ${text}`, {
    details: { field: 'signal', value: text },
  })
}

function signalNumber(text: string): number | undefined {
  if (/^\d{1,3}$/.test(text)) {
    const number = Number(text)
    return number >= 1 && number <= realTimeMax ? number : undefined
  }
  const name = text.toUpperCase().replace(/^SIG/, '')
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name)
  if (realTime) {
    const offset = Number(realTime[3] ?? 0) * (realTime[2] === '-' ? -1 : 1)
    const number = (realTime[1] === 'MIN' ? realTimeMin : realTimeMax) + offset
    return number >= realTimeMin && number <= realTimeMax ? number : undefined
  }
  return constants.signals[`SIG${name}` as NodeJS.Signals] ?? undefined
}
