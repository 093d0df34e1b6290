// One opcode for each kind of step. The same names and numbers are in ../src/launch-opcodes.ts; a test compares them.
//
// X(name, number, function)
#pragma once

#define LAUNCHER_OPCODES(X)                        \
	/* namespaces.c */                         \
	X(unshare, 1, op_unshare)                  \
	X(join, 2, op_join)                        \
	X(become_root, 3, op_become_root)          \
	X(time_offsets, 4, op_time_offsets)        \
	X(hostname, 5, op_hostname)                \
	X(domainname, 6, op_domainname)            \
	X(loopback_up, 7, op_loopback_up)          \
	X(sysctl, 8, op_sysctl)                    \
	/* stage.c: mounts prepared with the host's rights */ \
	X(set_propagation, 20, op_set_propagation) \
	X(stage_area, 21, op_stage_area)           \
	X(stage_overlay, 22, op_stage_overlay)     \
	X(stage_bind, 23, op_stage_bind)           \
	X(stage_mount, 24, op_stage_mount)         \
	X(stage_device, 25, op_stage_device)       \
	X(stage_readonly, 26, op_stage_readonly)   \
	/* mounts.c: mounts made in the container */ \
	X(enter_root, 30, op_enter_root)           \
	X(mount, 31, op_mount)                     \
	X(attach, 32, op_attach)                   \
	X(remount, 33, op_remount)                 \
	X(mask, 34, op_mask)                       \
	X(readonly_path, 35, op_readonly_path)     \
	X(pivot, 36, op_pivot)                     \
	X(root_attributes, 37, op_root_attributes) \
	X(plant_root, 38, op_plant_root)           \
	X(change_root, 39, op_change_root)         \
	/* files.c */                              \
	X(mknod, 40, op_mknod)                     \
	X(symlink, 41, op_symlink)                 \
	X(mkdir, 42, op_mkdir)                     \
	X(chdir, 43, op_chdir)                     \
	/* process.c */                            \
	X(rlimit, 50, op_rlimit)                   \
	X(write_self, 51, op_write_self)           \
	X(scheduler, 52, op_scheduler)             \
	X(io_priority, 53, op_io_priority)         \
	X(cpu_affinity, 54, op_cpu_affinity)       \
	X(memory_policy, 55, op_memory_policy)     \
	X(personality, 56, op_personality)         \
	X(join_cgroups, 57, op_join_cgroups)       \
	X(new_session, 58, op_new_session)         \
	X(session_keyring, 59, op_session_keyring) \
	X(umask, 60, op_umask)                     \
	X(stdio, 61, op_stdio)                     \
	/* credentials.c */                        \
	X(bounding_set, 70, op_bounding_set)       \
	X(user, 71, op_user)                       \
	X(no_new_privileges, 72, op_no_new_privileges) \
	X(capabilities, 73, op_capabilities)       \
	X(seccomp, 74, op_seccomp)                 \
	/* console.c */                            \
	X(console, 80, op_console)                 \
	/* clone.c, door.c, hook.c, exec.c */      \
	X(clone, 90, op_clone)                     \
	X(sync, 91, op_sync)                       \
	X(door, 92, op_door)                       \
	X(hook, 93, op_hook)                       \
	X(exec, 94, op_exec)                       \
	X(find_program, 95, op_find_program)       \
	X(preserve, 96, op_preserve)
