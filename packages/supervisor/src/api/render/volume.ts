import type { VolumeRecord } from '../../engine/engine.ts'

/** `users`: how many containers have it, where that was counted. Its size isn't: -1 says so. */
export function renderVolume(volume: VolumeRecord, users?: number): unknown {
  return {
    CreatedAt: volume.created,
    Driver: 'local',
    Labels: Object.keys(volume.labels).length > 0 ? volume.labels : null,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: null,
    Scope: 'local',
    ...(users === undefined ? {} : { UsageData: { RefCount: users, Size: -1 } }),
  }
}
