import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { ownerOf } from './namespace-owner.ts'
import { chooseNamespaces, type NamespaceChoices } from './namespace-modes.ts'

/** The choices that the container was made with; the containers that it joins must still be there. */
export function choicesOf(context: EngineContext, { record }: Container): NamespaceChoices {
  return chooseNamespaces(record.hostConfig, {
    findContainer: (ref) => context.containers.get(ref).id,
    namespaceDirectory: context.paths.namespaces,
    ownerOf: (path) => ownerOf(context.paths.namespaces, path),
  })
}
