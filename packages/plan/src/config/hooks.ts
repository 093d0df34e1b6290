/** OCI runtime-spec `hooks`: config.md#posix-platform-hooks. */
import { absolutePath, integer, list, optional, string, struct, type Infer } from './reader.ts'

const hook = struct({
  path: absolutePath,
  args: optional(list(string)),
  env: optional(list(string)),
  /** Seconds. */
  timeout: optional(integer(1, 2 ** 31 / 1000)),
})

const hookLists = {
  prestart: optional(list(hook)),
  createRuntime: optional(list(hook)),
  createContainer: optional(list(hook)),
  startContainer: optional(list(hook)),
  poststart: optional(list(hook)),
  poststop: optional(list(hook)),
}

/** In the order of a container's life. */
export const hookKinds: readonly string[] = Object.keys(hookLists)

export const hooks = struct(hookLists)

export type OciHook = Infer<typeof hook>
