export * from './image-store.ts'
export { openImageStore } from './store.ts'
export { removeIfSmall } from './tree/small-tree.ts'
export { readInSnapshot } from './tree/snapshot-view.ts'
export {
  familiarName,
  familiarReference,
  fullReference,
  parseReference,
  withDefaultTag,
} from './names/reference.ts'
export type { Reference } from './names/reference.ts'
