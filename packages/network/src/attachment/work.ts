/** What the steps of one setup share. */
import type { AttachmentFile } from './attachment-file.ts'
import type { Host } from './host.ts'
import type { ReadyBridge } from './bridge-link.ts'
import type { AttachmentKey } from './stable-name.ts'
import type { StateDir } from './state-dir.ts'
import type { SetupRequest } from './verbs.ts'

/** By this call, and shared with the network's other attachments. */
export interface Made {
  bridge?: ReadyBridge
  rules?: boolean
}

export interface Work {
  host: Host
  dir: StateDir
  key: AttachmentKey
  request: SetupRequest
  file: AttachmentFile
  netns: number
  made: Made
}
