import { HoldfastError } from '@holdfast/errors'
import type { Container } from './container.ts'

/** All containers by id and by name. */
export class Containers {
  readonly #byId = new Map<string, Container>()
  readonly #byName = new Map<string, Container>()
  /** Names of containers that are being made. */
  readonly #reserved = new Set<string>()

  add(container: Container): void {
    this.#byId.set(container.id, container)
    this.#byName.set(container.record.name, container)
    this.#reserved.delete(container.record.name)
  }

  delete(container: Container): void {
    this.#byId.delete(container.id)
    if (this.#byName.get(container.record.name) === container) this.#byName.delete(container.record.name)
  }

  renamed(container: Container, from: string): void {
    this.#byName.delete(from)
    this.#byName.set(container.record.name, container)
    this.#reserved.delete(container.record.name)
  }

  /** Keeps a name for a container that is about to bear it. Throws HF_NAME_IN_USE in Docker's words, `whatFor` first. */
  reserve(name: string, whatFor = ''): void {
    const holder = this.#byName.get(name)
    if (holder || this.#reserved.has(name)) {
      const who = holder ? ` by container "${holder.id}"` : ''
      throw new HoldfastError(
        'HF_NAME_IN_USE',
        `${whatFor}Conflict. The container name "/${name}" is already in use${who}. ` +
          'You have to remove (or rename) that container to be able to reuse that name.',
        { details: { name, ...(holder && { holder: holder.id }) } },
      )
    }
    this.#reserved.add(name)
  }

  unreserve(name: string): void {
    this.#reserved.delete(name)
  }

  isTaken(name: string): boolean {
    return this.#byName.has(name) || this.#reserved.has(name)
  }

  /** Newest first. */
  list(): Container[] {
    return [...this.#byId.values()].reverse()
  }

  byId(id: string): Container | undefined {
    return this.#byId.get(id)
  }

  /** By its full id or name. */
  find(ref: string): Container | undefined {
    return this.#byId.get(ref) ?? this.#byName.get(ref.startsWith('/') ? ref.slice(1) : ref)
  }

  /** Full id, name, then unambiguous id prefix, as Docker does. Throws HF_CONTAINER_NOT_FOUND. */
  get(ref: string): Container {
    const exact = this.find(ref)
    if (exact) return exact
    const matches = ref === '' ? [] : [...this.#byId.values()].filter(({ id }) => id.startsWith(ref))
    if (matches.length === 1) return matches[0]!
    if (matches.length > 1) {
      throw new HoldfastError('HF_BAD_REQUEST', `multiple IDs found with provided prefix: ${ref}`)
    }
    throw new HoldfastError('HF_CONTAINER_NOT_FOUND', `No such container: ${ref}`, { details: { ref } })
  }
}
