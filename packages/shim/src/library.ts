/**
 * The executor's pieces, for a program that has the launcher started by somebody else: preparations, the table's steps,
 * the words for what the launcher reports, cgroups.
 */
export { applyCgroupWrites, applyDeviceRules } from './cgroup-control.ts'
export { birthCgroup, openMemberDirectory } from './cgroup-members.ts'
export {
  cgroupProcesses,
  isPaused,
  killCgroup,
  pauseCgroup,
  refuseFrozen,
  removeCgroups,
  resumeCgroup,
  vacatedCgroup,
} from './cgroup.ts'
export { handOverListener } from './seccomp-listener.ts'
export { hostOwner, ociState } from './bundle.ts'
export { readContainerFile } from './container-files.ts'
export { encodeStep } from './encode-step.ts'
export { bornInside, openProcs, roomToBeBorn } from './executor.ts'
export type { OciState } from './hooks.ts'
export { withJoinedMaps } from './joined-maps.ts'
export { launchError } from './launch-error.ts'
export type { CgroupHandle, ProcessHandle } from './launched.ts'
export { Mutex } from './mutex.ts'
export { moveNetDevices } from './net-devices.ts'
export { oomKills } from './oom.ts'
export { prepare, type Prepared } from './prepare.ts'
