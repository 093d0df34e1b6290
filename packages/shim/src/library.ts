/**
 * The executor's pieces, for a program that has the launcher started by somebody else: preparations, the table's steps,
 * the words for what the launcher reports, cgroups.
 */
export { applyCgroupWrites, applyDeviceRules } from './cgroup/cgroup-control.ts'
export { birthCgroup, openMemberDirectory } from './cgroup/cgroup-members.ts'
export {
  cgroupProcesses,
  isPaused,
  killCgroup,
  pauseCgroup,
  refuseFrozen,
  removeCgroups,
  resumeCgroup,
  vacatedCgroup,
} from './cgroup/cgroup.ts'
export { handOverListener } from './launch/seccomp-listener.ts'
export { hostOwner, ociState } from './bundle.ts'
export { readContainerFile } from './container-files.ts'
export { encodeStep } from './encode/encode-step.ts'
export { bornInside, openProcs, roomToBeBorn } from './launch/executor.ts'
export type { OciState } from './launch/hooks.ts'
export { withJoinedMaps } from './launch/joined-maps.ts'
export { launchError } from './launch/launch-error.ts'
export type { CgroupHandle, ProcessHandle } from './launch/launched.ts'
export { moveNetDevices } from './launch/net-devices.ts'
export { oomKills } from './cgroup/oom.ts'
export { prepare, type Prepared } from './launch/prepare.ts'
