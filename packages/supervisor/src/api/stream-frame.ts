/**
 * Docker's multiplexed stream, for output of a container without a terminal:
 *
 *     byte 0        bytes 1-3   bytes 4-7                 then
 *     1 out, 2 err  zero        length, big-endian u32    the bytes
 */
export function frameHeader(stream: 'stdout' | 'stderr', length: number): Buffer {
  const header = Buffer.alloc(8)
  header[0] = stream === 'stdout' ? 1 : 2
  header.writeUInt32BE(length, 4)
  return header
}

const rawStreamType = 'application/vnd.docker.raw-stream'
const multiplexedStreamType = 'application/vnd.docker.multiplexed-stream'

/** From API 1.42 on the type says whether the stream is framed; before, it was always the raw one. */
export function streamType(api: number, tty: boolean): string {
  return !tty && api >= 42 ? multiplexedStreamType : rawStreamType
}
