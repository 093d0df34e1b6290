/**
 * What any program in a container may call. x86_64 and aarch64 alone: the names that only 32-bit ABIs have
 * (socketcall, ipc, mmap2, …) are not here, since no filter is made for those ABIs and the kernel then refuses them.
 * A name that one of the two machines lacks is left out when the filter is compiled.
 */
import { group, type CallGroup } from './call-group.ts'

export const allowedCalls: readonly CallGroup[] = [
  group(
    'opening files',
    'what a path leads to is decided by the mount namespace and by file permissions',
    `
    open openat openat2 creat close close_range dup dup2 dup3 name_to_handle_at memfd_create memfd_secret`,
  ),
  group(
    'reading and writing',
    'through descriptors that are open already',
    `
    read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek readahead
    sendfile splice tee vmsplice copy_file_range fallocate truncate ftruncate fadvise64`,
  ),
  group(
    'durability',
    'the caller waits, nobody else does',
    `
    sync syncfs fsync fdatasync sync_file_range`,
  ),
  group(
    'file metadata',
    'ordinary permissions apply; mknod is bounded by CAP_MKNOD and the device cgroup',
    `
    stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat
    utime utimes futimesat utimensat umask mknod mknodat`,
  ),
  group(
    'extended attributes',
    'security.* and trusted.* ask for capabilities of their own',
    `
    getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat
    listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat`,
  ),
  group(
    'directories and links',
    'within the mount namespace',
    `
    getcwd chdir fchdir mkdir mkdirat rmdir getdents getdents64
    link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename renameat renameat2`,
  ),
  group(
    'descriptors',
    'control of what is open: drivers check their own ioctls',
    `
    fcntl flock ioctl pipe pipe2 eventfd eventfd2 signalfd signalfd4
    timerfd_create timerfd_gettime timerfd_settime`,
  ),
  group(
    'waiting for descriptors',
    'no reach beyond the caller',
    `
    poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
    epoll_ctl_old epoll_wait_old`,
  ),
  group(
    'watching files',
    'files that the caller can see; marking whole mounts needs fanotify_init, which needs CAP_SYS_ADMIN',
    `
    inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark`,
  ),
  group(
    'asynchronous input and output',
    'the old interface, which databases use; io_uring is left out for its history of holes',
    `
    io_setup io_submit io_cancel io_getevents io_pgetevents io_destroy`,
  ),
  group(
    'memory',
    'the address space of the caller',
    `
    brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall mseal
    remap_file_pages membarrier pkey_alloc pkey_free pkey_mprotect map_shadow_stack cachestat process_mrelease`,
  ),
  group(
    'processes',
    'new namespaces are another matter: see the rule for clone',
    `
    fork vfork execve execveat exit exit_group wait4 waitid
    getpid getppid gettid getpgid getpgrp setpgid getsid setsid
    pidfd_open pidfd_send_signal set_tid_address`,
  ),
  group(
    'debugging',
    'bounded by the pid namespace and by Yama; since Linux 4.8 ptrace cannot dodge a filter',
    `
    ptrace process_vm_readv process_vm_writev uretprobe`,
  ),
  group(
    'threads',
    'within the process',
    `
    futex futex_wait futex_wake futex_waitv futex_requeue get_robust_list set_robust_list
    get_thread_area set_thread_area rseq restart_syscall`,
  ),
  group(
    'signals',
    'to processes of the pid namespace',
    `
    kill tkill tgkill pause alarm rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_tgsigqueueinfo
    rt_sigreturn rt_sigsuspend rt_sigtimedwait sigaltstack`,
  ),
  group(
    'users and groups',
    'gaining one needs CAP_SETUID or CAP_SETGID',
    `
    getuid geteuid getresuid setuid setreuid setresuid setfsuid
    getgid getegid getresgid setgid setregid setresgid setfsgid getgroups setgroups capget capset`,
  ),
  group(
    'sandboxes of their own',
    'a program may give up more than we took',
    `
    prctl seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self`,
  ),
  group(
    'limits and scheduling',
    'raising any needs a capability; cgroups bound the rest',
    `
    getrlimit setrlimit prlimit64 getrusage getpriority setpriority ioprio_get ioprio_set
    sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
    sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval`,
  ),
  group(
    'time',
    'reading clocks, timers, sleeping; adjtimex and clock_adjtime change a clock only with CAP_SYS_TIME',
    `
    time times gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex clock_adjtime
    getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime`,
  ),
  group(
    'sockets in use',
    'which families may be opened at all is a rule of its own',
    `
    socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
    sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg`,
  ),
  group(
    'System V and POSIX IPC',
    'within the ipc namespace',
    `
    msgget msgctl msgrcv msgsnd semget semctl semop semtimedop shmget shmat shmctl shmdt
    mq_open mq_getsetattr mq_notify mq_timedreceive mq_timedsend mq_unlink`,
  ),
  group(
    'about the system',
    'names, load, randomness, the processor at hand; the mount table is that of the namespace',
    `
    uname sysinfo getcpu getrandom statmount listmount`,
  ),
]

/** Of one machine alone. */
export const machineCalls: Readonly<Record<'x86_64' | 'aarch64', CallGroup>> = {
  x86_64: group(
    'x86 segments',
    'thread-local storage, and the descriptor tables of old runtimes',
    'arch_prctl modify_ldt',
  ),
  aarch64: group('arm ranges', 'sync_file_range in the order of arguments that arm has', 'sync_file_range2'),
}
