// tmpcopyup: what the image has at a mount point, copied into the new tmpfs. Directories, files and links with their
// owners and modes; devices, sockets and FIFOs are left out, as the container's root may not make them everywhere.
#include "launcher.h"

#include "text.h"

// Directory entries are read on the stack of each level.
#define DEPTH_LIMIT 64

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

static long copy_directory(struct launch *launch, int from, int to, int depth);

static long copy_bytes(int from, int to)
{
	for (;;) {
		long copied = sys(sendfile, to, from, NULL, 1 << 20);
		if (copied <= 0)
			return copied;
	}
}

static long copy_file(struct launch *launch, int from, int to, const char *name, const struct kernel_stat_ids *status)
{
	// NONBLOCK: what was a file a moment ago may be a FIFO now.
	long in = sys(openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (in < 0)
		return failed(launch, "openat", name, in);
	long out = sys(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return failed(launch, "openat", name, out);
	long result = copy_bytes((int)in, (int)out);
	if (result >= 0)
		result = sys(fchown, out, status->uid, status->gid);
	if (result >= 0)
		result = sys(fchmod, out, status->mode & 07777);
	sys(close, in);
	sys(close, out);
	return result < 0 ? failed(launch, "sendfile", name, result) : 0;
}

static long copy_link(struct launch *launch, int from, int to, const char *name, const struct kernel_stat_ids *status)
{
	char target[4096];
	long size = sys(readlinkat, from, name, target, sizeof target - 1);

	if (size < 0)
		return failed(launch, "readlinkat", name, size);
	target[size] = 0;
	long result = sys(symlinkat, target, to, name);
	if (result >= 0)
		result = sys(fchownat, to, name, status->uid, status->gid, AT_SYMLINK_NOFOLLOW);
	return result < 0 ? failed(launch, "symlinkat", name, result) : 0;
}

static long copy_subdirectory(struct launch *launch, int from, int to, const char *name, int depth)
{
	long in = sys(openat, from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (in < 0)
		return failed(launch, "openat", name, in);
	long result = sys(mkdirat, to, name, 0700);
	if (result < 0)
		return failed(launch, "mkdirat", name, result);
	long out = sys(openat, to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (out < 0)
		return failed(launch, "openat", name, out);
	result = copy_directory(launch, (int)in, (int)out, depth + 1);
	sys(close, in);
	sys(close, out);
	return result;
}

static long copy_entry(struct launch *launch, int from, int to, const char *name, int depth)
{
	struct kernel_stat_ids status;
	long result = stat_fd(from, name, &status);

	if (result < 0)
		return failed(launch, "statx", name, result);
	switch (status.mode & 0170000) {
	case 0040000:
		return copy_subdirectory(launch, from, to, name, depth);
	case 0100000:
		return copy_file(launch, from, to, name, &status);
	case 0120000:
		return copy_link(launch, from, to, name, &status);
	default:
		return 0;
	}
}

static long copy_entries(struct launch *launch, int from, int to, int depth)
{
	char buffer[4096] __attribute__((aligned(8)));

	for (;;) {
		long size = sys(getdents64, from, buffer, sizeof buffer);
		if (size <= 0)
			return size < 0 ? failed(launch, "getdents64", "", size) : 0;
		for (long at = 0; at < size;) {
			struct directory_entry *entry = (struct directory_entry *)(buffer + at);
			at += entry->size;
			if (text_equal(entry->name, ".") || text_equal(entry->name, ".."))
				continue;
			long result = copy_entry(launch, from, to, entry->name, depth);
			if (result < 0)
				return result;
		}
	}
}

static long copy_directory(struct launch *launch, int from, int to, int depth)
{
	struct kernel_stat_ids status;

	if (depth > DEPTH_LIMIT)
		return failed(launch, "mkdirat", "directories nested too deep to copy", -ELOOP);
	long result = copy_entries(launch, from, to, depth);
	if (result < 0)
		return result;
	result = stat_fd(from, "", &status);
	if (result >= 0)
		result = sys(fchown, to, status.uid, status.gid);
	// That of the file system's root its options have said, or else what it covers.
	if (result >= 0 && depth > 0)
		result = sys(fchmod, to, status.mode & 07777);
	return result < 0 ? failed(launch, "fchown", "", result) : 0;
}

long copy_up(struct launch *launch, int from, int to)
{
	// Both are O_PATH descriptors; reading entries needs open ones.
	long in = sys(openat, from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (in < 0)
		return failed(launch, "openat", "copy up", in);
	long out = sys(openat, to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (out < 0)
		return failed(launch, "openat", "copy up", out);
	long result = copy_directory(launch, (int)in, (int)out, 0);
	sys(close, in);
	sys(close, out);
	return result;
}
