// Settings of the process that its children inherit.
#include "launcher.h"

#include "text.h"

#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/openat2.h>
#include <linux/resource.h>

long op_rlimit(struct launch *launch, struct reader *reader)
{
	const char *name = read_text(reader);
	uint32_t resource = read_u32(reader);
	struct rlimit64 limit = {.rlim_cur = read_u64(reader)};

	limit.rlim_max = read_u64(reader);
	bool raise = read_u32(reader);
	if (reader->broken)
		return 0;
	if (raise) {
		struct rlimit64 now;
		long got = sys(prlimit64, 0, resource, NULL, &now);
		if (got < 0)
			return failed(launch, "prlimit64", name, got);
		if (limit.rlim_max <= now.rlim_max)
			return 0;
		limit.rlim_cur = now.rlim_cur;
	}
	long result = sys(prlimit64, 0, resource, &limit, NULL);
	return result < 0 ? failed(launch, "prlimit64", name, result) : 0;
}

// A setting of this very process, by procfs: self/oom_score_adj, self/attr/….
long op_write_self(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader), *value = read_text(reader);
	bool rootless = read_u32(reader);

	if (reader->broken)
		return 0;
	// What can't be dumped has files of the host's root's. In the host's user namespace still, nobody gets more by this
	// than they have: whoever may look in is the user whose container it is.
	if (rootless)
		sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	long fd = sys(openat, launch->proc, path, O_WRONLY | O_CLOEXEC, 0);
	if (rootless)
		sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (fd < 0)
		return failed(launch, "openat", path, fd);
	long size = (long)text_length(value);
	long result = sys(write, fd, value, size);
	sys(close, fd);
	return result != size ? failed(launch, "write", path, result < 0 ? result : -EIO) : 0;
}

long op_scheduler(struct launch *launch, struct reader *reader)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {.size = 48, .policy = read_u32(reader)};

	attr.flags = read_u64(reader);
	attr.nice = (int32_t)read_u32(reader);
	attr.priority = read_u32(reader);
	attr.runtime = read_u64(reader);
	attr.deadline = read_u64(reader);
	attr.period = read_u64(reader);
	if (reader->broken)
		return 0;
	long result = sys(sched_setattr, 0, &attr, 0);
	return result < 0 ? failed(launch, "sched_setattr", "", result) : 0;
}

long op_io_priority(struct launch *launch, struct reader *reader)
{
	uint32_t priority = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = sys(ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, priority);
	return result < 0 ? failed(launch, "ioprio_set", "", result) : 0;
}

long op_cpu_affinity(struct launch *launch, struct reader *reader)
{
	uint32_t size;
	const void *mask = read_bytes(reader, &size);

	if (reader->broken)
		return 0;
	long result = sys(sched_setaffinity, 0, size, mask);
	return result < 0 ? failed(launch, "sched_setaffinity", "", result) : 0;
}

long op_memory_policy(struct launch *launch, struct reader *reader)
{
	uint32_t mode = read_u32(reader), size;
	const void *mask = read_bytes(reader, &size);

	if (reader->broken)
		return 0;
	// The kernel counts one bit more than it reads.
	long result = sys(set_mempolicy, mode, size ? mask : NULL, size ? (unsigned long)size * 8 + 1 : 0);
	return result < 0 ? failed(launch, "set_mempolicy", "", result) : 0;
}

long op_personality(struct launch *launch, struct reader *reader)
{
	uint32_t domain = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = sys(personality, domain);
	return result < 0 ? failed(launch, "personality", "", result) : 0;
}

// "0" is the writer itself. The rights are those of the shim, which opened the files.
long op_join_cgroups(struct launch *launch, struct reader *reader)
{
	for (uint32_t count = read_u32(reader); count && !reader->broken; count--) {
		int fd = read_fd(reader);
		const char *name = read_text(reader);
		if (reader->broken)
			break;
		long result = sys(write, fd, "0", 1);
		if (result != 1)
			return failed(launch, "write", name, result < 0 ? result : -EIO);
	}
	return 0;
}

long op_new_session(struct launch *launch, struct reader *reader)
{
	(void)reader;
	long result = sys(setsid);
	return result < 0 ? failed(launch, "setsid", "", result) : 0;
}

long op_session_keyring(struct launch *launch, struct reader *reader)
{
	const char *name = read_text(reader);
	uint32_t permissions = read_u32(reader); // of a new one; 0 leaves the kernel's default

	if (reader->broken)
		return 0;
	long keyring = sys(keyctl, KEYCTL_JOIN_SESSION_KEYRING, *name ? name : NULL, 0, 0, 0);
	if (keyring < 0)
		return failed(launch, "keyctl", name, keyring);
	long result = permissions ? sys(keyctl, KEYCTL_SETPERM, keyring, permissions, 0, 0) : 0;
	return result < 0 ? failed(launch, "keyctl", name, result) : 0;
}

long op_umask(struct launch *launch, struct reader *reader)
{
	uint32_t mask = read_u32(reader);

	launch->has_umask = true;
	if (!reader->broken)
		sys(umask, mask);
	return 0;
}

// A missing end stays the launcher's /dev/null.
long op_stdio(struct launch *launch, struct reader *reader)
{
	for (int target = STDIN; target <= STDERR; target++) {
		int fd = read_fd(reader);
		if (reader->broken || fd < 0)
			continue;
		long result = sys(dup3, fd, target, 0);
		if (result < 0)
			return failed(launch, "dup3", "stdio", result);
	}
	return 0;
}
