/** Messages for tests, written as hex and text; this is not the code under test. */

export function bytes(...parts: (string | number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'string'
        ? (part.replaceAll(' ', '').match(/../g) ?? []).map((hex) => Number.parseInt(hex, 16))
        : [...part],
    ),
  )
}

export function name(text: string): number[] {
  const labels = text === '' ? [] : text.split('.')
  return [...labels.flatMap((label) => [label.length, ...new TextEncoder().encode(label)]), 0]
}

export const opt = (payload: number, ttl = '00000000') =>
  bytes('00 0029', [payload >> 8, payload & 255], ttl, '0000')

/** A question by name and type, with RD; `extra` are records of the additional section. */
export function question(text: string, type: number, extra: Uint8Array[] = []): Uint8Array {
  const count = extra.length
  return bytes('1234 0100 0001 0000 0000', [0, count], name(text), [type >> 8, type & 255], '0001', ...extra)
}

/** A server's answer to `query`: its id and question, these flags, these records as answers. */
export function answer(query: Uint8Array, flags: string, answers: Uint8Array[]): Uint8Array {
  const end = query.length
  const id = query.subarray(0, 2)
  return bytes(
    id,
    flags,
    '0001',
    [answers.length >> 8, answers.length & 255],
    '0000 0000',
    query.subarray(12, end),
    ...answers,
  )
}

/** Owned by the question's name. */
export function a(address: string, ttl = '0000003c', owner: Uint8Array = bytes('c00c')): Uint8Array {
  return bytes(owner, '0001 0001', ttl, '0004', address.split('.').map(Number))
}
