/** A table of names, made ready to be asked. */
import { HoldfastError } from '@holdfast/errors'
import { addressBytes } from './address.ts'
import type { DnsHost, DnsTable } from './table.ts'
import { encodeName } from './wire.ts'

export interface Known {
  v4: Uint8Array[]
  v6: Uint8Array[]
  /** Which of several addresses the next answer begins with. */
  turns: { v4: number; v6: number }
  /** The name of an address, as the data of a PTR record. */
  pointer: Uint8Array | undefined
}

/**
 * What is known of a name: the host that has it; nothing, and nobody else is to be asked (`exists`: there are names
 * beneath it); or undefined: others may know. `zone`: how many labels the local domain that it lies in has.
 */
export type Lookup = Known | { exists: boolean; zone: number } | undefined

const shortId = 12

/** A table made ready to be asked. Throws HF_BAD_REQUEST for a bad one. */
export class NameIndex {
  readonly ttl: number
  readonly #names = new Map<string, Known>()
  readonly #ids = new Map<string, { id: string; suffix: string; known: Known }[]>()
  /** Names that have names beneath them. */
  readonly #parents = new Set<string>()
  readonly #domains = new Set<string>()
  readonly #prefixes: { bytes: Uint8Array; length: number }[] = []

  /** Throws HF_BAD_REQUEST for what is no address, prefix or domain. A name that DNS can't carry is never asked for. */
  constructor(table: DnsTable) {
    this.ttl = table.ttl
    for (const [index, host] of table.hosts.entries()) this.#addHost(host, `hosts[${index}]`)
    for (const [index, text] of (table.local ?? []).entries()) this.#addLocal(text, `local[${index}]`)
  }

  lookup(name: string): Lookup {
    const known = this.#names.get(name) ?? this.#byId(name)
    if (known) return known
    const zone = this.#zoneOf(name)
    return zone === undefined
      ? undefined
      : { exists: this.#parents.has(name) || this.#domains.has(name), zone }
  }

  #addHost(host: DnsHost, field: string): void {
    const domain = host.domain === undefined ? '' : normal(host.domain)
    const own = addresses(host, field)
    const suffixes = domain === '' ? [''] : ['', `.${domain}`]
    for (const name of host.names.map(normal)) {
      for (const suffix of suffixes) this.#addAddresses(name + suffix, own)
    }
    for (const suffix of suffixes) {
      const entry = {
        id: host.id.toLowerCase(),
        suffix,
        known: { ...own, turns: noTurns(), pointer: undefined },
      }
      const key = entry.id.slice(0, shortId) + suffix
      if (entry.id.length >= shortId) this.#ids.set(key, [...(this.#ids.get(key) ?? []), entry])
    }
    const first = host.names[0]
    const pointer = first === undefined ? undefined : encodeName(normal(first) + suffixes.at(-1)!)
    if (!pointer) return
    for (const bytes of [...own.v4, ...own.v6]) {
      const name = pointerName(bytes)
      if (!this.#names.has(name)) this.#names.set(name, { v4: [], v6: [], turns: noTurns(), pointer })
    }
  }

  /** An alias may be several hosts': it then has all their addresses. */
  #addAddresses(name: string, { v4, v6 }: Pick<Known, 'v4' | 'v6'>): void {
    if (!encodeName(name) || name === '') return
    const known = this.#names.get(name) ?? { v4: [], v6: [], turns: noTurns(), pointer: undefined }
    addNew(known.v4, v4)
    addNew(known.v6, v6)
    this.#names.set(name, known)
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1))
      this.#parents.add(name.slice(dot + 1))
  }

  #addLocal(text: string, field: string): void {
    const [address = '', length, ...more] = text.split('/')
    if (length === undefined) {
      const domain = normal(text)
      if (domain === '' || !encodeName(domain)) throw bad(field, `'${text}' is no domain`)
      this.#domains.add(domain)
      return
    }
    const bytes = addressBytes(address)
    const bits = /^\d{1,3}$/.test(length) ? Number(length) : Infinity
    if (!bytes || more.length > 0 || bits > bytes.length * 8) throw bad(field, `'${text}' is no prefix`)
    this.#prefixes.push({ bytes, length: bits })
  }

  #byId(name: string): Known | undefined {
    const dot = name.indexOf('.')
    const [label, suffix] = dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot)]
    if (label.length < shortId) return undefined
    const found = this.#ids.get(label.slice(0, shortId) + suffix)?.filter(({ id }) => id.startsWith(label))
    return found?.length === 1 ? found[0]!.known : undefined
  }

  /** The number of labels of the closest local domain, or of the reverse zone of a local prefix. */
  #zoneOf(name: string): number | undefined {
    for (let rest = name; rest !== ''; rest = rest.slice(rest.indexOf('.') + 1)) {
      if (this.#domains.has(rest)) return rest.split('.').length
      if (!rest.includes('.')) break
    }
    if (this.#prefixes.length === 0) return undefined
    const bytes = bytesOfPointer(name)
    return bytes && this.#prefixes.some((prefix) => contains(prefix, bytes)) ? 2 : undefined
  }
}

function addresses(host: DnsHost, field: string): Pick<Known, 'v4' | 'v6'> {
  const parsed = host.addresses.map((text, index) => {
    const bytes = addressBytes(text)
    if (!bytes) throw bad(`${field}.addresses[${index}]`, `'${text}' is no address`)
    return bytes
  })
  const of = (size: number) => parsed.filter(({ length }) => length === size)
  return { v4: of(4), v6: of(16) }
}

function addNew(into: Uint8Array[], more: Uint8Array[]): void {
  for (const bytes of more) if (!into.some((known) => known.join() === bytes.join())) into.push(bytes)
}

function noTurns(): Known['turns'] {
  return { v4: 0, v6: 0 }
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, '')
}

/** `5.1.213.10.in-addr.arpa`, RFC 1035, section 3.5; `…ip6.arpa`, RFC 3596. */
function pointerName(bytes: Uint8Array): string {
  const parts =
    bytes.length === 4
      ? [...bytes].map(String)
      : [...bytes].flatMap((byte) => [(byte >> 4).toString(16), (byte & 15).toString(16)])
  return `${parts.toReversed().join('.')}.${bytes.length === 4 ? 'in-addr' : 'ip6'}.arpa`
}

/** The address that a name of the reverse zones stands for; undefined for other names, and for parts of an address. */
function bytesOfPointer(name: string): Uint8Array | undefined {
  const v4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\.in-addr\.arpa$/.exec(name)
  if (v4) return addressBytes(v4[1]!.split('.').toReversed().join('.'))
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)
  if (!v6) return undefined
  const digits = v6[1]!.replaceAll('.', '').split('').toReversed().join('')
  return Uint8Array.from({ length: 16 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  )
}

function contains({ bytes, length }: { bytes: Uint8Array; length: number }, address: Uint8Array): boolean {
  if (bytes.length !== address.length) return false
  const whole = length >> 3
  for (let index = 0; index < whole; index++) if (bytes[index] !== address[index]) return false
  const mask = 0xff00 >> (length & 7)
  return (length & 7) === 0 || ((bytes[whole]! ^ address[whole]!) & mask & 0xff) === 0
}

function bad(field: string, message: string): HoldfastError {
  return new HoldfastError('HF_BAD_REQUEST', `${field}: ${message}`, { details: { field } })
}
