/**
 * Loads the addon and turns its results into errors. A native function returns a value or -errno; what is negative
 * becomes a `SyscallError` here, with the path and the hint that only the facade knows.
 */
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { HoldfastError, SyscallError } from '@holdfast/errors'

/** Every function of `native/*.cc`. Each facade casts it to the part that it uses. */
export const addon: unknown = loadAddon()

function loadAddon(): unknown {
  const file = `../prebuilds/${process.platform}-${process.arch}/node.napi.node`
  try {
    return createRequire(import.meta.url)(file) as unknown
  } catch (cause) {
    throw new HoldfastError(
      'HF_INTERNAL',
      `the native addon for ${process.platform}-${process.arch} does not load`,
      {
        hint: 'Holdfast needs Linux on x64 or arm64; in a checkout, packages/core/build.sh builds the addon.',
        cause,
      },
    )
  }
}

export interface CallContext {
  path?: string | Buffer | undefined
  dest?: string | Buffer | undefined
  hint?: string | undefined
  /** Advice by errno name, for the calls where a failure has a usual cause. */
  hints?: Partial<Record<string, string>> | undefined
}

/** The result, or the `SyscallError` that it stands for. */
export function check(result: number, syscall: string, context: CallContext = {}): number {
  if (result < 0) throw syscallError(-result, syscall, context)
  return result
}

export function syscallError(errno: number, syscall: string, context: CallContext = {}): SyscallError {
  const code = errnoName(errno)
  return new SyscallError({
    errno,
    code,
    syscall,
    path: printable(context.path),
    dest: printable(context.dest),
    hint: context.hint ?? context.hints?.[code],
  })
}

function printable(path: string | Buffer | undefined): string | undefined {
  return Buffer.isBuffer(path) ? path.toString() : path
}

let names: Map<number, string> | undefined

/** The name of a positive errno, `EPERM`. */
export function errnoName(errno: number): string {
  names ??= new Map(
    [...Object.entries(constants.errno), ...moreErrnos].map(([name, number]) => [number, name]),
  )
  return names.get(errno) ?? `errno ${errno}`
}

/** What os.constants.errno lacks, and Node's own name where two share a number (the last one wins): ENOTSUP is EOPNOTSUPP. */
const moreErrnos: [string, number][] = [
  ['EAGAIN', 11],
  ['ENOTBLK', 15],
  ['ENONET', 64],
  ['ENOTUNIQ', 76],
  ['EUSERS', 87],
  ['ENOTSUP', 95],
  ['ESHUTDOWN', 108],
  ['EHOSTDOWN', 112],
  ['EUCLEAN', 117],
  ['EREMOTEIO', 121],
  ['ENOMEDIUM', 123],
  ['EMEDIUMTYPE', 124],
  ['ENOKEY', 126],
  ['EKEYEXPIRED', 127],
  ['EKEYREVOKED', 128],
  ['EKEYREJECTED', 129],
  ['EOWNERDEAD', 130],
  ['ENOTRECOVERABLE', 131],
  ['ERFKILL', 132],
  ['EHWPOISON', 133],
]
