// Capabilities, ids, no_new_privs and seccomp of the program to be.
#include "launcher.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

// struct sock_fprog; linux/filter.h draws in headers of the C library.
struct program {
	uint16_t length;
	const void *filter;
};

long op_bounding_set(struct launch *launch, struct reader *reader)
{
	uint64_t keep = read_u64(reader);

	if (reader->broken)
		return 0;
	for (long capability = 0; capability < 64; capability++) {
		if (keep >> capability & 1)
			continue;
		long result = sys(prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
		if (result == -EINVAL)
			break; // beyond the last that this kernel knows
		// Refused without CAP_SETPCAP, where it was dropped before too.
		if (result < 0 && sys(prctl, PR_CAPBSET_READ, capability, 0, 0, 0) != 0)
			return failed(launch, "prctl", "PR_CAPBSET_DROP", result);
	}
	return 0;
}

static long set_capabilities(struct launch *launch, uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};
	long result = sys(capset, &header, data);

	return result < 0 ? failed(launch, "capset", "", result) : 0;
}

// Leaving uid 0 clears the effective set; what follows (seccomp without no_new_privs) still needs it.
static long raise_permitted(struct launch *launch)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	long result = sys(capget, &header, data);

	if (result < 0)
		return failed(launch, "capget", "", result);
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	result = sys(capset, &header, data);
	return result < 0 ? failed(launch, "capset", "", result) : 0;
}

long set_groups(size_t count, const void *groups, bool rootless)
{
	long result = sys(setgroups, count, groups);

	// A user namespace whose maker had no right over groups lets nobody leave any (user_namespaces(7), /proc/PID/setgroups).
	return result == -EPERM && rootless && count == 0 ? 0 : result;
}

long op_user(struct launch *launch, struct reader *reader)
{
	uint32_t uid = read_u32(reader), gid = read_u32(reader), size;
	const void *groups = read_bytes(reader, &size);
	bool rootless = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
	if (result < 0)
		return failed(launch, "prctl", "PR_SET_KEEPCAPS", result);
	result = set_groups(size / 4, groups, rootless);
	if (result < 0)
		return failed(launch, "setgroups", "", result);
	result = sys(setresgid, gid, gid, gid);
	if (result < 0)
		return failed(launch, "setresgid", "", result);
	result = sys(setresuid, uid, uid, uid);
	if (result < 0)
		return failed(launch, "setresuid", "", result);
	return raise_permitted(launch);
}

long op_no_new_privileges(struct launch *launch, struct reader *reader)
{
	(void)reader;
	long result = sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return result < 0 ? failed(launch, "prctl", "PR_SET_NO_NEW_PRIVS", result) : 0;
}

long op_capabilities(struct launch *launch, struct reader *reader)
{
	uint64_t effective = read_u64(reader), permitted = read_u64(reader);
	uint64_t inheritable = read_u64(reader), ambient = read_u64(reader);

	if (reader->broken)
		return 0;
	long result = sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (result < 0)
		return failed(launch, "prctl", "PR_CAP_AMBIENT_CLEAR_ALL", result);
	result = set_capabilities(launch, effective, permitted, inheritable);
	for (long capability = 0; capability < 64 && result == 0; capability++) {
		if (!(ambient >> capability & 1))
			continue;
		result = sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
		if (result < 0)
			failed(launch, "prctl", "PR_CAP_AMBIENT_RAISE", result);
	}
	return result;
}

long op_seccomp(struct launch *launch, struct reader *reader)
{
	uint32_t flags = read_u32(reader), size;
	const void *filter = read_bytes(reader, &size);
	struct program program = {(uint16_t)(size / 8), filter};

	if (reader->broken)
		return 0;
	long result = sys(seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (result < 0)
		return failed(launch, "seccomp", "", result);
	if (!(flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return 0;
	// Its number alone: any call may wait for the listener from now on. The shim fetches the descriptor, hands it over,
	// and whatever waits goes on. It is close-on-exec, as the kernel made it.
	return report(launch, MESSAGE_LISTENER, result, -1);
}
