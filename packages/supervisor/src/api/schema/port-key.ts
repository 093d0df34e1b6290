import { HoldfastError } from '@holdfast/errors'

/** `80/tcp`, `8000-8010/udp`; the protocol may be missing. Throws HF_BAD_REQUEST. */
export function checkPortKey(field: string, key: string): void {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(key)
  const first = Number(match?.[1] ?? 0)
  const last = Number(match?.[2] ?? first)
  if (!match || first < 1 || last > 65_535 || last < first) {
    throw new HoldfastError('HF_BAD_REQUEST', `invalid port specification: "${key}"`, {
      hint: 'Write it as a number from 1 to 65535 and a protocol, such as 80/tcp.',
      details: { field },
    })
  }
}
