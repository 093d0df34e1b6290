// Stage two's mounts: in the container's mount namespace, with the rights of the container's root.
#include "launcher.h"

#include "text.h"

#include <linux/mount.h>

#define MS_PRIVATE_ (1 << 18)
#define MS_SLAVE_ (1 << 19)

long op_enter_root(struct launch *launch, struct reader *reader)
{
	const char *staged = read_text(reader), *at = read_text(reader);

	if (reader->broken)
		return 0;
	// The working directory is the stage area, in this mount namespace's copy.
	close_fd(&launch->stage);
	launch->stage = (int)sys(openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (launch->stage < 0)
		return failed(launch, "openat", "stage area", launch->stage);
	// Device nodes are bound from the area itself. A copy in a new mount namespace stays unbindable up to some Linux before
	// 6.18 (6.1 was seen), and no longer there.
	long result = set_propagation(launch, launch->stage, MS_PRIVATE_, false);
	if (result < 0)
		return result;
	long tree = sys(open_tree, launch->stage, staged, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return failed(launch, "open_tree", "root", tree);
	// pivot_root(2) wants the new root to be a mount of this namespace that isn't locked: a clone is not.
	launch->root = (int)tree;
	if (!*at)
		return attach_tree(launch, (int)tree, launch->stage, "root");
	long target = sys(openat, AT_FDCWD, at, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (target < 0)
		return failed(launch, "openat", at, target);
	result = attach_tree(launch, (int)tree, (int)target, at);
	sys(close, target);
	return result;
}

// Attaches `tree` onto `target`, to which `path` has led, with the propagation that follows in the table, and closes both.
static long place_tree(struct launch *launch, int tree, int target, struct reader *reader, const char *path)
{
	uint32_t propagation = read_u32(reader);
	bool recursive = read_u32(reader);
	long result = reader->broken ? 0 : refuse_own_place(launch, path, target);

	if (result == 0 && !reader->broken)
		result = attach_tree(launch, tree, target, path);
	if (result == 0)
		result = note_own_place(launch, path, tree);
	if (result == 0)
		result = set_propagation(launch, tree, propagation, recursive);
	sys(close, tree);
	sys(close, target);
	return result;
}

// Gives the root of a new mount the permissions of the directory that it will cover.
static long take_mode(struct launch *launch, int covered, int tree, const char *detail)
{
	struct kernel_stat_ids status;
	long result = stat_fd(covered, "", &status);

	if (result < 0)
		return failed(launch, "statx", detail, result);
	// fsmount(2) returned an O_PATH descriptor, through which nothing can be changed.
	long root = sys(openat, tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (root < 0)
		return failed(launch, "openat", detail, root);
	result = sys(fchmod, root, status.mode & 07777);
	sys(close, root);
	return result < 0 ? failed(launch, "fchmod", detail, result) : 0;
}

// Bits of how a mount's root comes to be.
enum { WITH_COPY = 1, WITH_MODE = 2 };

long op_mount(struct launch *launch, struct reader *reader)
{
	const char *type = read_text(reader);
	const char *source = read_text(reader);
	const char *path = read_text(reader);
	uint64_t attributes = read_u64(reader);
	uint32_t how = read_u32(reader);
	bool with_copy = how & WITH_COPY;

	if (reader->broken)
		return 0;
	long target = how & WITH_MODE ? open_beneath(launch, path, O_PATH | O_DIRECTORY) : -ENOENT;
	bool covers = target >= 0;
	if (target == -ENOENT)
		target = make_beneath(launch, path, KIND_DIRECTORY, 0755);
	if (target < 0)
		return target;
	long fs = open_filesystem(launch, type, source, reader);
	if (fs < 0)
		return fs;
	// Copying up needs to write even where the mount becomes read-only.
	long tree = finish_filesystem(launch, (int)fs, with_copy ? attributes & ~(uint64_t)MOUNT_ATTR_RDONLY : attributes,
				      type);
	if (tree < 0)
		return tree;
	if (covers) {
		long result = take_mode(launch, (int)target, (int)tree, path);
		if (result < 0)
			return result;
	}
	if (with_copy) {
		long result = copy_up(launch, (int)target, (int)tree);
		if (result == 0)
			result = apply_attributes(launch, (int)tree,
						  (struct attributes){.set = attributes & MOUNT_ATTR_RDONLY}, false);
		if (result < 0)
			return result;
	}
	return place_tree(launch, (int)tree, (int)target, reader, path);
}

long op_attach(struct launch *launch, struct reader *reader)
{
	const char *staged = read_text(reader);
	const char *path = read_text(reader);
	enum kind kind = read_u32(reader);

	if (reader->broken)
		return 0;
	long tree = sys(open_tree, launch->stage, staged, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree < 0)
		return failed(launch, "open_tree", path, tree);
	if (kind == KIND_AS_SOURCE)
		kind = kind_of((int)tree);
	long target = make_beneath(launch, path, kind, kind == KIND_FILE ? 0644 : 0755);
	if (target < 0)
		return target;
	return place_tree(launch, (int)tree, (int)target, reader, path);
}

long op_remount(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);

	if (reader->broken)
		return 0;
	long target = open_beneath(launch, path, O_PATH);
	if (target < 0)
		return target;
	long result = apply_tree_attributes(launch, (int)target, reader);
	uint32_t propagation = read_u32(reader);
	bool recursive = read_u32(reader);
	if (result == 0 && !reader->broken)
		result = set_propagation(launch, (int)target, propagation, recursive);
	sys(close, target);
	return result;
}

// A path that isn't there needs no hiding.
static bool is_missing(long error)
{
	return error == -ENOENT || error == -ENOTDIR;
}

long clone_of(struct launch *launch, int source, bool recursive, const char *detail)
{
	long tree = sys(open_tree, source, "",
			OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0));
	return tree < 0 ? failed(launch, "open_tree", detail, tree) : tree;
}

// The empty directory is made once; further masks are clones of the first, which is attached by then.
static long mask_directory(struct launch *launch, int target, const char *path)
{
	struct reader none = {.at = "\0\0\0", .end = NULL};
	long tree, result;

	none.end = none.at + 4;
	if (launch->mask_directory >= 0) {
		tree = clone_of(launch, launch->mask_directory, false, path);
	} else {
		tree = open_filesystem(launch, "tmpfs", "tmpfs", &none);
		if (tree >= 0)
			tree = finish_filesystem(launch, (int)tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
				MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, "tmpfs");
	}
	if (tree < 0)
		return tree;
	result = attach_tree(launch, (int)tree, target, path);
	if (launch->mask_directory < 0)
		launch->mask_directory = (int)tree;
	else
		sys(close, tree);
	return result;
}

// /dev/null of the container, verified to be the device: an image's file of that name would show through the mask
// (CVE-2025-31133).
static long mask_file(struct launch *launch, int target, const char *path)
{
	if (launch->mask_file < 0) {
		long null = open_beneath(launch, "/dev/null", O_PATH | O_NOFOLLOW);
		if (null < 0)
			return null;
		launch->mask_file = (int)null;
		if (!is_char_device((int)null, 1, 3))
			return failed(launch, "statx", "/dev/null is not the null device", -ENODEV);
	}
	long tree = clone_of(launch, launch->mask_file, false, path);
	if (tree < 0)
		return tree;
	long result = attach_tree(launch, (int)tree, target, path);
	sys(close, tree);
	return result;
}

long op_mask(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	struct kernel_stat_ids status;

	if (reader->broken)
		return 0;
	long target = open_beneath(launch, path, O_PATH);
	if (target < 0)
		return is_missing(target) ? 0 : target;
	long result = stat_fd((int)target, "", &status);
	if (result < 0)
		return failed(launch, "statx", path, result);
	if ((status.mode & 0170000) == 0040000)
		result = mask_directory(launch, (int)target, path);
	else
		result = mask_file(launch, (int)target, path);
	sys(close, target);
	return result;
}

long op_readonly_path(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);

	if (reader->broken)
		return 0;
	long target = open_beneath(launch, path, O_PATH);
	if (target < 0)
		return is_missing(target) ? 0 : target;
	long tree = clone_of(launch, (int)target, true, path);
	if (tree < 0)
		return tree;
	long result = apply_attributes(launch, (int)tree, (struct attributes){.set = MOUNT_ATTR_RDONLY}, true);
	if (result == 0)
		result = attach_tree(launch, (int)tree, (int)target, path);
	sys(close, tree);
	sys(close, target);
	return result;
}

static long pivot(struct launch *launch, int old)
{
	long result = sys(fchdir, launch->root);

	if (result < 0)
		return failed(launch, "fchdir", "root", result);
	// The old root is then stacked upon the new one: no directory for it is needed in the image.
	result = sys(pivot_root, ".", ".");
	if (result < 0)
		return failed(launch, "pivot_root", "", result);
	// Its end must not reach the host's mounts. Not before the pivot: it held the container's, and those may be shared.
	result = set_propagation(launch, old, MS_SLAVE_, true);
	if (result < 0)
		return result;
	result = sys(fchdir, old);
	if (result < 0)
		return failed(launch, "fchdir", "old root", result);
	result = sys(umount2, ".", 2 /* MNT_DETACH */);
	return result < 0 ? failed(launch, "umount2", "old root", result) : 0;
}

// What the host has there would stay in the namespace, out of sight: a procfs without masks, by which the kernel
// takes it that the container may see another one (mount_too_revealing).
static long detach_all_at(struct launch *launch, const char *path)
{
	long result;

	while ((result = sys(umount2, path, 2 /* MNT_DETACH */ | 8 /* UMOUNT_NOFOLLOW */)) == 0)
		;
	// EINVAL: nothing is mounted there, or nothing that this user namespace may take away.
	return result == -EINVAL || result == -ENOENT ? 0 : failed(launch, "umount2", path, result);
}

static long make_root(struct launch *launch, int directory)
{
	long result = sys(fchdir, directory);

	if (result < 0)
		return failed(launch, "fchdir", "root", result);
	result = sys(chroot, ".");
	return result < 0 ? failed(launch, "chroot", "root", result) : 0;
}

static long move_and_chroot(struct launch *launch, int old)
{
	long result = detach_all_at(launch, "/proc");

	if (result == 0)
		result = detach_all_at(launch, "/sys");
	if (result == 0)
		result = attach_tree(launch, launch->root, old, "/");
	if (result < 0)
		return result;
	return make_root(launch, launch->root);
}

long op_pivot(struct launch *launch, struct reader *reader)
{
	bool by_chroot = read_u32(reader);

	if (reader->broken)
		return 0;
	long old = sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (old < 0)
		return failed(launch, "openat", "/", old);
	long result = by_chroot ? move_and_chroot(launch, (int)old) : pivot(launch, (int)old);
	sys(close, old);
	close_fd(&launch->stage);
	if (result < 0)
		return result;
	result = sys(chdir, "/");
	return result < 0 ? failed(launch, "chdir", "/", result) : 0;
}

// The mount namespace that everything was made in goes with the processes that leave it.
long op_plant_root(struct launch *launch, struct reader *reader)
{
	int namespace = read_fd(reader);
	const char *at = read_text(reader);

	if (reader->broken)
		return 0;
	long tree = clone_of(launch, launch->root, true, "root");
	if (tree < 0)
		return tree;
	close_fd(&launch->root);
	close_fd(&launch->stage);
	launch->root = (int)tree;
	long result = sys(setns, namespace, CLONE_NEWNS);
	if (result < 0)
		return failed(launch, "setns", "mnt", result);
	long target = sys(openat, AT_FDCWD, at, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (target < 0)
		return failed(launch, "openat", at, target);
	// Upon a private mount in between: where the namespace's own mount is shared, everything in the tree would become so.
	long between = clone_of(launch, (int)target, false, at);
	if (between < 0)
		return between;
	result = attach_tree(launch, (int)between, (int)target, at);
	if (result == 0)
		result = set_propagation(launch, (int)between, MS_PRIVATE_, false);
	if (result == 0)
		result = attach_tree(launch, (int)tree, (int)between, at);
	sys(close, target);
	sys(close, between);
	return result < 0 ? result : make_root(launch, (int)tree);
}

long op_change_root(struct launch *launch, struct reader *reader)
{
	int directory = read_fd(reader);

	return reader->broken ? 0 : make_root(launch, directory);
}

long op_root_attributes(struct launch *launch, struct reader *reader)
{
	struct attributes attributes = read_attributes(reader);
	uint32_t propagation = read_u32(reader);
	bool recursive = read_u32(reader);

	if (reader->broken)
		return 0;
	long root = open_root(launch);
	if (root < 0)
		return root;
	long result = apply_attributes(launch, (int)root, attributes, false);
	return result < 0 ? result : set_propagation(launch, (int)root, propagation, recursive);
}
