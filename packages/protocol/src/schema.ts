/** The schemas of requests and of shim.json. They copy what they know into fresh objects: nothing else gets through. */
import * as v from 'valibot'
import { protocolVersion, type Method } from './messages.ts'
import { networkRequestSchemas } from './network-services.ts'

const noNul = v.check((text: string) => !text.includes('\0'), 'must not contain a NUL')
const text = v.pipe(v.string(), v.maxLength(1 << 17), noNul)
const absolutePath = v.pipe(text, v.maxLength(4096), v.startsWith('/', 'must be an absolute path'))
const count = (min: number, max: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(min), v.maxValue(max))
const signal = count(1, 64)
const cells = count(0, 65_535)
const execId = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be 1 to 128 letters, digits, - or _'),
)
const nothing = v.object({})

export const execSpecSchema = v.object({
  args: v.pipe(v.array(text), v.minLength(1, 'must name a program'), v.maxLength(1 << 16)),
  env: v.pipe(v.array(text), v.maxLength(1 << 16)),
  cwd: v.exactOptional(absolutePath),
  user: v.pipe(text, v.maxLength(256)),
  tty: v.boolean(),
  stdin: v.boolean(),
  privileged: v.boolean(),
  consoleSize: v.exactOptional(v.tuple([cells, cells])),
})

const streams = {
  channel: count(0, 0xffff_ffff),
  stdin: v.boolean(),
  stdout: v.boolean(),
  stderr: v.boolean(),
}

/** Parameters of every request. */
export const requestSchemas = {
  hello: v.object({ protocol: count(0, 1 << 30) }),
  create: nothing,
  start: nothing,
  kill: v.object({ signal, all: v.exactOptional(v.boolean()) }),
  pause: nothing,
  resume: nothing,
  resize: v.object({ rows: cells, columns: cells }),
  state: nothing,
  processes: nothing,
  attach: v.object({ ...streams, logs: v.boolean() }),
  'exec.prepare': v.object({ execId, spec: v.exactOptional(execSpecSchema) }),
  'exec.start': v.object({ execId, spec: execSpecSchema, attach: v.exactOptional(v.object(streams)) }),
  'exec.resize': v.object({ execId, rows: cells, columns: cells }),
  'exec.kill': v.object({ execId, signal }),
  'exec.state': v.object({ execId }),
  delete: v.object({ force: v.boolean() }),
  ...networkRequestSchemas,
} satisfies Record<Method, v.GenericSchema>

/** `<dir>/shim.json`. */
export const shimSpecSchema = v.object({
  version: v.literal(protocolVersion, `must be ${protocolVersion}`),
  id: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/, 'is not a container id')),
  name: v.pipe(text, v.maxLength(256)),
  rootfs: v.exactOptional(
    v.object({
      kind: v.literal('overlay'),
      lower: v.pipe(v.array(absolutePath), v.minLength(1)),
      upper: absolutePath,
      work: absolutePath,
      idmap: v.boolean(),
    }),
  ),
  log: v.variant('driver', [
    v.object({ driver: v.literal('none') }),
    v.object({
      driver: v.literal('json-file'),
      path: absolutePath,
      maxSize: count(-1, Number.MAX_SAFE_INTEGER),
      maxFile: count(1, 1000),
    }),
  ]),
  stdin: v.object({ open: v.boolean(), once: v.boolean() }),
  init: v.boolean(),
  cgroupParent: absolutePath,
  token: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'must be 32 bytes in hex')),
})
