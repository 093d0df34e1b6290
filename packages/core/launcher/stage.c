// Stage one's mounts: prepared with the host's rights in a private mount namespace, beneath a tmpfs of its own.
//
// The container's mount namespace is copied from this one and belongs to the container's user namespace, so the kernel
// locks what it copies: attributes such as read-only can't be undone by the container's root, whatever its capabilities.
// A detached mount that stage two attached itself would not be locked (mount_namespaces(7)).
#include "launcher.h"

#include "text.h"

#include <linux/mount.h>

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
	long tree = result < 0 ? result
			       : finish_filesystem(launch, (int)fs,
						   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, "tmpfs");
	if (tree < 0)
		return tree;
	result = attach_tree(launch, (int)tree, (int)target, path);
	sys(close, target);
	launch->stage = (int)tree;
	// The clone's working directory follows into the copied mount namespace: stage two finds the area by ".",
	// where it may not walk the host's directories.
	if (result == 0) {
		result = sys(fchdir, tree);
		if (result < 0)
			failed(launch, "fchdir", path, result);
	}
	return result;
}

static long attach_staged(struct launch *launch, int tree, const char *as)
{
	struct kernel_stat_ids status;
	long result = stat_fd(tree, "", &status);

	if (result < 0)
		return failed(launch, "statx", as, result);
	if ((status.mode & 0170000) == 0040000)
		result = sys(mkdirat, launch->stage, as, 0755);
	else
		result = sys(mknodat, launch->stage, as, 0100644, 0);
	if (result < 0)
		return failed(launch, "mkdirat", as, result);
	result = sys(move_mount, tree, "", launch->stage, as, MOVE_MOUNT_F_EMPTY_PATH);
	return result < 0 ? failed(launch, "move_mount", as, result) : 0;
}

static long clone_tree(struct launch *launch, const char *source, bool recursive)
{
	long tree = sys(open_tree, AT_FDCWD, source,
			OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
	return tree < 0 ? failed(launch, "open_tree", source, tree) : tree;
}

static long idmap_tree(struct launch *launch, int tree, int userns, bool recursive, const char *source)
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
	bool recursive = read_u32(reader);
	int userns = read_fd(reader);
	bool recursive_idmap = read_u32(reader);
	uint32_t kind = read_u32(reader), major = read_u32(reader), minor = read_u32(reader);
	struct kernel_stat_ids status;

	if (reader->broken)
		return 0;
	long tree = clone_tree(launch, source, recursive);
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

struct overlay {
	struct launch *launch;
	int fs;
	// Layers are named by descriptor; else by short names in the stage area, where this process stands, since
	// fsconfig(2) takes 255 bytes and overlay splits at colons.
	bool by_fd;
	int userns;
};

static void layer_name(char *name, const char *prefix, uint32_t number)
{
	struct line line = {name, name + 15, false};

	put_text(&line, prefix);
	put_number(&line, number);
	*line.at = 0;
}

static long add_layer_by_fd(struct overlay *overlay, const char *key, const char *path, int userns)
{
	struct launch *launch = overlay->launch;
	long tree = userns < 0 ? sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0)
			       : clone_tree(launch, path, false);

	if (tree < 0)
		return failed(launch, userns < 0 ? "openat" : "open_tree", path, tree);
	long result = userns < 0 ? 0 : idmap_tree(launch, (int)tree, userns, false, path);
	if (result == 0)
		result = configure(launch, overlay->fs, FSCONFIG_SET_FD, key, NULL, (int)tree);
	sys(close, tree);
	return result;
}

static long place_layer(struct overlay *overlay, const char *name, const char *path, int userns)
{
	struct launch *launch = overlay->launch;
	long result;

	if (userns < 0) {
		result = sys(symlinkat, path, launch->stage, name);
		return result < 0 ? failed(launch, "symlinkat", path, result) : 0;
	}
	long tree = clone_tree(launch, path, false);
	if (tree < 0)
		return tree;
	result = idmap_tree(launch, (int)tree, userns, false, path);
	if (result == 0)
		result = attach_staged(launch, (int)tree, name);
	sys(close, tree);
	return result;
}

static long add_lower(struct overlay *overlay, struct reader *reader, const char *prefix)
{
	char names[256];
	struct line list = {names, names + sizeof names - 1, false};
	long result = 0;
	uint32_t count = read_u32(reader);

	for (uint32_t i = 0; i < count && result == 0 && !reader->broken; i++) {
		const char *path = read_text(reader);
		if (overlay->by_fd) {
			result = add_layer_by_fd(overlay, "lowerdir+", path, overlay->userns);
			continue;
		}
		char name[16];
		layer_name(name, prefix, i);
		result = place_layer(overlay, name, path, overlay->userns);
		if (i)
			put_text(&list, ":");
		put_text(&list, name);
	}
	if (result < 0 || overlay->by_fd)
		return result;
	*list.at = 0;
	if (list.full)
		return failed(overlay->launch, "fsconfig", "too many layers for lowerdir=", -E2BIG);
	return configure(overlay->launch, overlay->fs, FSCONFIG_SET_STRING, "lowerdir", names, 0);
}

static long add_writable(struct overlay *overlay, const char *key, const char *name, const char *path)
{
	if (overlay->by_fd)
		return add_layer_by_fd(overlay, key, path, -1);
	long result = place_layer(overlay, name, path, -1);
	return result < 0 ? result : configure(overlay->launch, overlay->fs, FSCONFIG_SET_STRING, key, name, 0);
}

long op_stage_overlay(struct launch *launch, struct reader *reader)
{
	const char *as = read_text(reader);
	struct overlay overlay = {.launch = launch, .userns = read_fd(reader)};
	uint64_t attributes;
	char upper_name[16], work_name[16], prefix[16];

	overlay.by_fd = read_u32(reader);
	attributes = read_u64(reader);
	const char *upper = read_text(reader);
	const char *work = read_text(reader);
	if (reader->broken)
		return 0;
	layer_name(upper_name, "u", launch->step);
	layer_name(work_name, "w", launch->step);
	layer_name(prefix, "l", launch->step);
	prefix[text_length(prefix) + 1] = 0;
	prefix[text_length(prefix)] = '-';
	overlay.fs = (int)open_filesystem(launch, "overlay", "overlay", reader);
	if (overlay.fs < 0)
		return overlay.fs;
	long result = add_lower(&overlay, reader, prefix);
	if (result == 0 && *upper)
		result = add_writable(&overlay, "upperdir", upper_name, upper);
	if (result == 0 && *work)
		result = add_writable(&overlay, "workdir", work_name, work);
	if (result < 0 || reader->broken)
		return result;
	long tree = finish_filesystem(launch, overlay.fs, attributes, "overlay");
	if (tree < 0)
		return tree;
	result = attach_staged(launch, (int)tree, as);
	sys(close, tree);
	return result;
}
