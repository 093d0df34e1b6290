import type { VolumeRecord } from '../../engine/engine.ts'

export function renderVolume(volume: VolumeRecord): unknown {
  return {
    CreatedAt: volume.created,
    Driver: 'local',
    Labels: Object.keys(volume.labels).length > 0 ? volume.labels : null,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: null,
    Scope: 'local',
  }
}
