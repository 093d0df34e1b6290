/** What a capability adds. Without it the kernel would refuse these calls anyway, after more code has run. */
import { group, type CallGroup } from './call-group.ts'

export const capabilityCalls: Readonly<Record<string, CallGroup>> = {
  CAP_BPF: group(
    'eBPF',
    'programs pass the verifier; which kinds may be loaded is up to further capabilities',
    'bpf',
  ),
  CAP_DAC_READ_SEARCH: group(
    'file handles',
    'opens files by inode, past every directory: the way out of many sandboxes',
    'open_by_handle_at',
  ),
  CAP_PERFMON: group('performance counters', 'kernel addresses and timings', 'perf_event_open'),
  CAP_SYS_ADMIN: group(
    'mounts, namespaces and the rest of root',
    'for containers that make containers',
    `
    mount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick
    unshare setns clone clone3 sethostname setdomainname quotactl quotactl_fd fanotify_init bpf perf_event_open syslog
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules`,
  ),
  CAP_SYS_BOOT: group('reboot', 'in a pid namespace it ends the init alone', 'reboot'),
  CAP_SYS_CHROOT: group('chroot', 'package managers build trees in it', 'chroot'),
  CAP_SYS_MODULE: group(
    'kernel modules',
    'the whole machine, by definition',
    'init_module finit_module delete_module',
  ),
  CAP_SYS_NICE: group(
    'memory policy',
    'placement on NUMA nodes',
    'get_mempolicy set_mempolicy set_mempolicy_home_node mbind',
  ),
  CAP_SYS_PACCT: group('process accounting', 'writes to a file that the caller names', 'acct'),
  CAP_SYS_PTRACE: group(
    'other processes',
    'their descriptors and memory',
    'kcmp pidfd_getfd process_madvise',
  ),
  CAP_SYS_RAWIO: group('input and output ports', 'the hardware itself', 'iopl ioperm'),
  CAP_SYS_TIME: group('the clock', 'the date is one for the whole machine', 'clock_settime settimeofday'),
  CAP_SYS_TTY_CONFIG: group('terminals', 'hangs up the controlling terminal', 'vhangup'),
  CAP_SYSLOG: group('the kernel log', 'addresses and secrets of the whole machine', 'syslog'),
}
