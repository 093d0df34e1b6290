import type { Command } from '../command.ts'
import { completion } from './completion.ts'
import { doctor } from './doctor.ts'
import { exec } from './exec.ts'
import { explain } from './explain.ts'
import { importImage, load, rmi, tag } from './image.ts'
import { attach, kill, pause, rename, restart, rm, start, stop, unpause, wait } from './lifecycle.ts'
import { images, ps } from './list.ts'
import { logs } from './logs.ts'
import { events, info, inspect, top, version } from './look.ts'
import { createNamed, enter, list, removeNamed } from './namespaces.ts'
import { create, run } from './run.ts'
import { supervisor } from './supervisor.ts'

/** Every verb, in the order in which the help shows them. */
export const commands: Command[] = [
  run,
  create,
  start,
  stop,
  restart,
  kill,
  pause,
  unpause,
  wait,
  rename,
  rm,
  ps,
  exec,
  logs,
  attach,
  inspect,
  top,
  events,
  images,
  load,
  importImage,
  tag,
  rmi,
  version,
  info,
  explain,
  list,
  enter,
  createNamed,
  removeNamed,
  doctor,
  supervisor,
  completion,
]
