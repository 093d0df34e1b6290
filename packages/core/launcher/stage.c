// Stage one's mounts: prepared with the host's rights in a private mount namespace, beneath a tmpfs of its own.
//
// The container's mount namespace is copied from this one and belongs to the container's user namespace, so the kernel
// locks what it copies: attributes such as read-only can't be undone by the container's root, whatever its capabilities.
// A detached mount that stage two attached itself would not be locked (mount_namespaces(7)).
#include "launcher.h"

#include "text.h"

#include <linux/mount.h>
#include <linux/openat2.h>

long attach_staged(struct launch *launch, int tree, const char *as)
{
	long result;

	if (launch->stage < 0) {
		int kept = (int)sys(fcntl, tree, F_DUPFD_CLOEXEC, 3);
		if (launch->pending_count == PENDING_LIMIT || kept < 0)
			return failed(launch, "open_tree", "too many binds before the stage area", -E2BIG);
		launch->pending[launch->pending_count++] = (struct pending){as, kept};
		return 0;
	}
	if (kind_of(tree) == KIND_DIRECTORY)
		result = sys(mkdirat, launch->stage, as, 0755);
	else
		result = sys(mknodat, launch->stage, as, 0100644, 0);
	if (result < 0)
		return failed(launch, "mkdirat", as, result);
	result = sys(move_mount, tree, "", launch->stage, as, MOVE_MOUNT_F_EMPTY_PATH);
	return result < 0 ? failed(launch, "move_mount", as, result) : 0;
}

long op_set_propagation(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	uint32_t propagation = read_u32(reader);
	bool recursive = read_u32(reader);
	struct mount_attr attr = {.propagation = propagation};

	if (reader->broken)
		return 0;
	long result = sys(mount_setattr, AT_FDCWD, path, recursive ? AT_RECURSIVE : 0, &attr, sizeof attr);
	return result < 0 ? failed(launch, "mount_setattr", path, result) : 0;
}

static long make_unbindable(struct launch *launch, int tree, const char *path)
{
	struct mount_attr attr = {.propagation = MS_UNBINDABLE};
	long result = sys(mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr);

	return result < 0 ? failed(launch, "mount_setattr", path, result) : 0;
}

long op_stage_area(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	struct reader none = {.at = "\0\0\0", .end = NULL};

	if (reader->broken)
		return 0;
	none.end = none.at + 4;
	long target = sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (target < 0)
		return failed(launch, "openat", path, target);
	long fs = open_filesystem(launch, "tmpfs", "stage", &none);
	if (fs < 0)
		return fs;
	long result = configure(launch, (int)fs, FSCONFIG_SET_STRING, "mode", "0755", 0);
	// Not nodev: device nodes are staged here for containers that can't make their own.
	long tree = result < 0 ? result
			       : finish_filesystem(launch, (int)fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "tmpfs");
	if (tree < 0)
		return tree;
	result = attach_tree(launch, (int)tree, (int)target, path);
	sys(close, target);
	launch->stage = (int)tree;
	// A recursive bind of a directory above would take the area along with all that is staged in it: shown to the
	// container, and refused an id map, as the layers have one already. What can't be bound is left out of such a copy.
	if (result == 0)
		result = make_unbindable(launch, (int)tree, path);
	for (uint32_t i = 0; i < launch->pending_count && result == 0; i++) {
		result = attach_staged(launch, launch->pending[i].tree, launch->pending[i].as);
		sys(close, launch->pending[i].tree);
	}
	// The clone's working directory follows into the copied mount namespace: stage two finds the area by ".",
	// where it may not walk the host's directories.
	if (result == 0) {
		result = sys(fchdir, tree);
		if (result < 0)
			failed(launch, "fchdir", path, result);
	}
	return result;
}

long clone_tree(struct launch *launch, const char *source, bool recursive)
{
	long tree = sys(open_tree, AT_FDCWD, source,
			OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
	return tree < 0 ? failed(launch, "open_tree", source, tree) : tree;
}

// `subdir` belongs to whoever may write to the source: links in it lead nowhere outside.
static long clone_subtree(struct launch *launch, const char *source, const char *subdir, bool recursive)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long top = sys(openat, AT_FDCWD, source, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	long fd;

	if (top < 0)
		return failed(launch, "openat", source, top);
	do
		fd = sys(openat2, top, subdir, &how, sizeof how);
	while (fd == -EAGAIN || fd == -EINTR);
	sys(close, top);
	if (fd < 0)
		return failed(launch, "openat2", subdir, fd);
	long tree = clone_of(launch, (int)fd, recursive, subdir);
	sys(close, fd);
	return tree;
}

long idmap_tree(struct launch *launch, int tree, int userns, bool recursive, const char *source)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns};
	long result = sys(mount_setattr, tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);

	return result < 0 ? failed(launch, "mount_setattr idmap", source, result) : 0;
}

// What a bind's source must be: 0 anything, 1 directory, 2 file, 3 block device, 4 character device.
static bool is_expected(const struct kernel_stat_ids *status, uint32_t kind, uint32_t major, uint32_t minor)
{
	uint32_t type = status->mode & 0170000;

	switch (kind) {
	case 0:
		return true;
	case 1:
		return type == 0040000;
	case 2:
		return type != 0040000;
	default:
		return type == (kind == 3 ? 0060000 : 0020000) && status->rdev_major == major &&
		       status->rdev_minor == minor;
	}
}

long op_stage_bind(struct launch *launch, struct reader *reader)
{
	const char *as = read_text(reader);
	const char *source = read_text(reader);
	const char *subdir = read_text(reader);
	bool recursive = read_u32(reader);
	int userns = read_fd(reader);
	bool recursive_idmap = read_u32(reader);
	uint32_t kind = read_u32(reader), major = read_u32(reader), minor = read_u32(reader);
	struct kernel_stat_ids status;

	if (reader->broken)
		return 0;
	long tree = *subdir ? clone_subtree(launch, source, subdir, recursive)
			    : clone_tree(launch, source, recursive);
	if (tree < 0)
		return tree;
	long result = stat_fd((int)tree, "", &status);
	if (result < 0)
		return failed(launch, "statx", source, result);
	// What was opened counts, not what the name meant when the plan was made.
	if (!is_expected(&status, kind, major, minor))
		return failed(launch, "statx", source, kind == 1 ? -ENOTDIR : kind == 2 ? -EISDIR : -ENODEV);
	if (userns >= 0)
		result = idmap_tree(launch, (int)tree, userns, recursive_idmap, source);
	if (result == 0)
		result = apply_tree_attributes(launch, (int)tree, reader);
	if (result == 0 && !reader->broken)
		result = attach_staged(launch, (int)tree, as);
	sys(close, tree);
	return result;
}

long op_stage_mount(struct launch *launch, struct reader *reader)
{
	const char *as = read_text(reader);
	const char *type = read_text(reader);
	const char *source = read_text(reader);
	uint64_t attributes = read_u64(reader);

	if (reader->broken)
		return 0;
	long fs = open_filesystem(launch, type, source, reader);
	if (fs < 0)
		return fs;
	long tree = finish_filesystem(launch, (int)fs, attributes, type);
	if (tree < 0)
		return tree;
	long result = attach_staged(launch, (int)tree, as);
	sys(close, tree);
	return result;
}

long op_stage_device(struct launch *launch, struct reader *reader)
{
	const char *as = read_text(reader);
	uint32_t type = read_u32(reader), major = read_u32(reader), minor = read_u32(reader);
	uint32_t mode = read_u32(reader), uid = read_u32(reader), gid = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = sys(mknodat, launch->stage, as, type | mode, device_number(major, minor));
	if (result < 0)
		return failed(launch, "mknodat", as, result);
	result = sys(fchownat, launch->stage, as, uid, gid, AT_SYMLINK_NOFOLLOW);
	return result < 0 ? failed(launch, "fchownat", as, result) : 0;
}

static long make_mount_point(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	enum kind kind = read_u32(reader);
	const char *source = read_text(reader);

	if (reader->broken)
		return 0;
	if (kind == KIND_AS_SOURCE) {
		long staged = sys(openat, launch->stage, source, O_PATH | O_CLOEXEC, 0);
		if (staged < 0)
			return failed(launch, "openat", source, staged);
		kind = kind_of((int)staged);
		sys(close, staged);
	}
	long fd = make_beneath(launch, path, kind, kind == KIND_FILE ? 0644 : 0755);
	if (fd >= 0)
		sys(close, fd);
	return fd < 0 ? fd : 0;
}

long op_stage_readonly(struct launch *launch, struct reader *reader)
{
	const char *staged = read_text(reader);
	long result = 0;

	launch->owner_uid = read_u32(reader);
	launch->owner_gid = read_u32(reader);
	if (reader->broken)
		return 0;
	long tree = sys(openat, launch->stage, staged, O_PATH | O_CLOEXEC, 0);
	if (tree < 0)
		return failed(launch, "openat", staged, tree);
	launch->root = (int)tree;
	launch->has_owner = true;
	for (uint32_t count = read_u32(reader); count && result == 0 && !reader->broken; count--)
		result = make_mount_point(launch, reader);
	launch->has_owner = false;
	if (result == 0)
		result = apply_attributes(launch, (int)tree, (struct attributes){.set = MOUNT_ATTR_RDONLY}, true);
	close_fd(&launch->root);
	return result;
}
