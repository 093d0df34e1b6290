/** Every namespace of every running container: whose it is, who is in it, and what keeps it alive. */
import { readlinkSync } from 'node:fs'
import { hasCode } from '@holdfast/errors'
import type { NamespaceHandle, NamespaceType } from '@holdfast/protocol'
import { choicesOf } from './container-choices.ts'
import type { Container } from '../container.ts'
import type { EngineContext } from '../context.ts'
import type { NamespaceReport } from '../engine.ts'
import { askShim } from '../shim/shim-of.ts'

export async function reportNamespaces(context: EngineContext): Promise<NamespaceReport[]> {
  const running = context.containers.list().filter(({ shim }) => shim !== undefined)
  const pids = new Map(
    await Promise.all(
      running.map(
        async (container) => [container.id, await processesOf(container).catch(noneIfEnded)] as const,
      ),
    ),
  )
  const reports = running.flatMap((container) => reportOne(context, container, pids.get(container.id) ?? []))
  for (const report of reports) {
    const others = reports.filter(
      ({ ino, type, container }) =>
        ino === report.ino && type === report.type && container.id !== report.container.id,
    )
    report.sharedWith = others.map(({ container }) => container.name)
  }
  return reports
}

function reportOne(context: EngineContext, container: Container, pids: number[]): NamespaceReport[] {
  const { shim, record } = container
  if (!shim) return []
  const choices = choicesOf(context, container)
  return (Object.entries(shim.namespaces) as [NamespaceType, NamespaceHandle][]).map(
    ([type, { fd, ino, origin }]) => {
      const choice = choices.namespaces[type]
      const members = pids.filter((pid) => inodeOf(pid, type) === ino)
      return {
        container: { id: record.id, name: record.name },
        type,
        ino,
        origin:
          choice.kind === 'container'
            ? (context.containers.byId(choice.id)?.record.name ?? choice.id)
            : choice.kind === 'path'
              ? (choice.name ?? choice.path)
              : origin === 'joined'
                ? 'host'
                : origin,
        sharedWith: [],
        pids: members,
        heldBy: [
          ...(members.includes(shim.initPid) ? [`init ${shim.initPid}`] : []),
          `shim ${shim.pid} fd ${fd}`,
          ...(choice.kind === 'path' ? [`file ${choice.path}`] : []),
        ],
      }
    },
  )
}

export async function processesOf(container: Container): Promise<number[]> {
  return (await askShim(container, 'processes', {})).pids
}

function noneIfEnded(error: unknown): number[] {
  if (hasCode(error, 'HF_CONTAINER_NOT_RUNNING')) return []
  throw error
}

/** undefined where the process has ended in the meantime. */
function inodeOf(pid: number, type: NamespaceType): number | undefined {
  try {
    return Number(/\[(\d+)\]/.exec(readlinkSync(`/proc/${pid}/ns/${type}`))?.[1])
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
