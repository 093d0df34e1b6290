export * from './image-store.ts'
export { openImageStore } from './store.ts'
export { removeIfSmall } from './small-tree.ts'
export { readInSnapshot } from './snapshot-view.ts'
export {
  familiarName,
  familiarReference,
  fullReference,
  parseReference,
  withDefaultTag,
} from './reference.ts'
export type { Reference } from './reference.ts'
