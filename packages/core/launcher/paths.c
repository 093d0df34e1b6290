// Paths inside the container: resolved beneath the root descriptor by openat2(2), never by name from `/`.
//
// Symbolic links of the image are followed inside its root, as the OCI specification asks of mount destinations.
// Beneath /proc, /sys and /dev none is followed: these are the runtime's own, and a link there is an attack
// (CVE-2019-19921, CVE-2025-31133, CVE-2026-41579).
#include "launcher.h"

#include "text.h"

#include <linux/openat2.h>
#include <linux/stat.h>

#define PATH_LIMIT 4096
#define LINK_LIMIT 40 // the kernel's own, MAXSYMLINKS

bool is_guarded(const char *path)
{
	static const char *const guarded[] = {"proc", "sys", "dev"};

	while (*path == '/')
		path++;
	for (size_t i = 0; i < sizeof guarded / sizeof *guarded; i++) {
		char after = path[text_length(guarded[i])];
		if (text_starts(path, guarded[i]) && (after == 0 || after == '/'))
			return true;
	}
	return false;
}

long open_root(struct launch *launch)
{
	if (launch->root < 0) {
		long root = sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (root < 0)
			return failed(launch, "openat", "/", root);
		launch->root = (int)root;
	}
	return launch->root;
}

static long resolve(struct launch *launch, const char *path, uint64_t flags, uint64_t mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.mode = mode,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (is_guarded(path) ? RESOLVE_NO_SYMLINKS : 0),
	};
	long root = open_root(launch);

	if (root < 0)
		return root;
	for (;;) {
		long fd = sys(openat2, root, *path ? path : "/", &how, sizeof how);
		// EAGAIN: something was renamed meanwhile and the kernel can't tell whether the walk stayed inside.
		if (fd != -EAGAIN && fd != -EINTR)
			return fd;
	}
}

long open_beneath(struct launch *launch, const char *path, uint64_t flags)
{
	long fd = resolve(launch, path, flags, 0);
	return fd < 0 ? failed(launch, "openat2", path, fd) : fd;
}

// Makes one missing entry in `parent` and opens it. It was missing a moment ago; a link that appears there since is
// not followed.
static long make_entry(struct launch *launch, int parent, const char *name, enum kind kind, uint32_t mode)
{
	int only = kind == KIND_DIRECTORY ? O_DIRECTORY : 0;
	long result = kind == KIND_DIRECTORY ? sys(mkdirat, parent, name, mode)
					     : sys(mknodat, parent, name, 0100000 | mode, 0);

	if (result < 0 && result != -EEXIST)
		return result;
	long fd = sys(openat, parent, name, O_PATH | only | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd >= 0 && result == 0 && launch->has_owner) {
		result = sys(fchownat, fd, "", launch->owner_uid, launch->owner_gid, AT_EMPTY_PATH);
		if (result < 0) {
			sys(close, fd);
			return result;
		}
	}
	return fd;
}

enum kind kind_of(int fd)
{
	struct kernel_stat_ids status;

	return stat_fd(fd, "", &status) == 0 && (status.mode & 0170000) == 0040000 ? KIND_DIRECTORY : KIND_FILE;
}

// What is being made: the path as it has become by links that lead nowhere yet, and the component at hand.
struct making {
	char path[PATH_LIMIT];
	size_t at, end;
	int links;
};

// Puts what a link says in its place: the rest of the path comes behind it. What is above it stays in front of a
// relative one. The root is where "/" and ".." end, as with links that lead somewhere.
static long substitute(struct making *making, const char *target)
{
	char joined[PATH_LIMIT];
	struct line line = {joined, joined + sizeof joined - 1, false};

	if (++making->links > LINK_LIMIT)
		return -ELOOP;
	making->path[making->at] = 0;
	put_text(&line, *target == '/' ? "" : making->path);
	put_text(&line, target);
	put_text(&line, making->path + making->end);
	*line.at = 0;
	if (line.full)
		return -ENAMETOOLONG;
	memcpy(making->path, joined, (size_t)(line.at - joined) + 1);
	making->end = 0;
	return 0;
}

// Opens the component at hand, or makes it. A link that leads nowhere becomes a part of the path, and the walk starts
// again at the root, which is returned.
static long open_or_make(struct launch *launch, struct making *making, int parent, bool last, enum kind kind, uint32_t mode)
{
	char target[PATH_LIMIT], after = making->path[making->end];

	making->path[making->end] = 0;
	const char *name = making->path + making->at;
	long fd = resolve(launch, making->path, O_PATH | (last ? 0 : O_DIRECTORY), 0);
	long size = fd == -ENOENT ? sys(readlinkat, parent, name, target, sizeof target - 1) : -EINVAL;
	if (fd == -ENOENT && size < 0)
		fd = make_entry(launch, parent, name, last ? kind : KIND_DIRECTORY, last ? mode : 0755);
	making->path[making->end] = after;
	if (size < 0)
		return fd;
	target[size] = 0;
	fd = substitute(making, target);
	return fd < 0 ? fd : resolve(launch, "/", O_PATH | O_DIRECTORY, 0);
}

long make_beneath(struct launch *launch, const char *path, enum kind kind, uint32_t mode)
{
	struct making making = {.end = 0};
	size_t length = text_length(path);
	long fd = resolve(launch, path, O_PATH, 0);

	if (fd != -ENOENT)
		return fd < 0 ? failed(launch, "openat2", path, fd) : fd;
	if (length >= sizeof making.path)
		return failed(launch, "openat2", path, -ENAMETOOLONG);
	memcpy(making.path, path, length + 1);
	long parent = open_beneath(launch, "/", O_PATH | O_DIRECTORY);
	while (parent >= 0) {
		making.at = making.end;
		while (making.path[making.at] == '/')
			making.at++;
		making.end = making.at;
		while (making.path[making.end] && making.path[making.end] != '/')
			making.end++;
		if (making.end == making.at)
			return parent;
		size_t rest = making.end;
		while (making.path[rest] == '/')
			rest++;
		fd = open_or_make(launch, &making, (int)parent, !making.path[rest], kind, mode);
		sys(close, parent);
		parent = fd;
	}
	return failed(launch, "openat2", path, parent);
}

long open_parent(struct launch *launch, const char *path, const char **name)
{
	char directory[PATH_LIMIT];
	size_t length = text_length(path), cut = length;

	while (cut && path[cut - 1] != '/')
		cut--;
	*name = path + cut;
	if (!**name || text_equal(*name, ".") || text_equal(*name, "..") || cut >= sizeof directory)
		return failed(launch, "openat2", path, -EINVAL);
	memcpy(directory, path, cut);
	directory[cut] = 0;
	return make_beneath(launch, cut ? directory : "/", KIND_DIRECTORY, 0755);
}

long stat_fd(int fd, const char *path, struct kernel_stat_ids *result)
{
	struct statx status = {0};
	long error = sys(statx, fd, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status);

	if (error < 0)
		return error;
	*result = (struct kernel_stat_ids){
		.mode = status.stx_mode,
		.rdev_major = status.stx_rdev_major,
		.rdev_minor = status.stx_rdev_minor,
		.uid = status.stx_uid,
		.gid = status.stx_gid,
		.size = status.stx_size,
	};
	return 0;
}

bool is_char_device(int fd, uint32_t major, uint32_t minor)
{
	struct kernel_stat_ids status;

	return stat_fd(fd, "", &status) == 0 && (status.mode & 0170000) == 0020000 && status.rdev_major == major &&
	       status.rdev_minor == minor;
}
