/** What a tar archive says of one file. Names stay bytes: a file name is not text. */
export type TarEntryType = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo'

export interface TarEntry {
  type: TarEntryType
  name: Buffer
  /** The target of a symbolic or hard link. */
  linkName: Buffer
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  mode: number
  uid: number
  gid: number
  /** Bytes of the file as it will be, holes included. 0 for anything but a file. */
  size: number
  mtime: Timestamp
  device: { major: number; minor: number }
  /** Extended attributes by name, from pax `SCHILY.xattr.` records. */
  xattrs: Map<string, Buffer>
  /** The parts of a sparse file that are in the archive, in order; undefined for a plain one. */
  sparse?: SparsePart[]
}

export interface Timestamp {
  seconds: number
  nanoseconds: number
}

export interface SparsePart {
  offset: number
  size: number
}

/** Takes what the reader finds, in the archive's order: `entry`, `data` as often as needed, `entryEnd`. */
export interface TarSink {
  entry(entry: TarEntry): void
  /** `offset` is the place in the file; the chunk is only valid during the call. */
  data(chunk: Buffer, offset: number): void
  entryEnd(): void
}
