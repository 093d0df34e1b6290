// Pieces of the mount API: fsopen(2), fsconfig(2), fsmount(2), mount_setattr(2), move_mount(2). Linux 5.12.
// None takes a target by path; mount(2) is not used.
#include "launcher.h"

#include "text.h"

#include <linux/mount.h>

struct attributes read_attributes(struct reader *reader)
{
	struct attributes attributes = {.set = read_u64(reader)};

	attributes.clear = read_u64(reader);
	return attributes;
}

long apply_attributes(struct launch *launch, int tree, struct attributes attributes, bool recursive)
{
	struct mount_attr attr = {.attr_set = attributes.set, .attr_clr = attributes.clear};

	if (!attributes.set && !attributes.clear)
		return 0;
	long result = sys(mount_setattr, tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);
	return result < 0 ? failed(launch, "mount_setattr", "attributes", result) : 0;
}

long set_propagation(struct launch *launch, int tree, uint32_t propagation, bool recursive)
{
	struct mount_attr attr = {.propagation = propagation};

	if (!propagation)
		return 0;
	long result = sys(mount_setattr, tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);
	return result < 0 ? failed(launch, "mount_setattr", "propagation", result) : 0;
}

long apply_tree_attributes(struct launch *launch, int tree, struct reader *reader)
{
	struct attributes top = read_attributes(reader);
	bool recursive = read_u32(reader);
	struct attributes whole = read_attributes(reader);

	if (reader->broken)
		return 0;
	long result = apply_attributes(launch, tree, top, false);
	if (result == 0 && recursive)
		result = apply_attributes(launch, tree, whole, true);
	return result;
}

long attach_tree(struct launch *launch, int tree, int target, const char *detail)
{
	long result = sys(move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
	return result < 0 ? failed(launch, "move_mount", detail, result) : 0;
}

long configure(struct launch *launch, int fs, unsigned command, const char *key, const void *value, int aux)
{
	long result = sys(fsconfig, fs, command, key, value, aux);
	return result < 0 ? failed(launch, "fsconfig", key, result) : 0;
}

long open_filesystem(struct launch *launch, const char *type, const char *source, struct reader *options)
{
	long fs = sys(fsopen, type, FSOPEN_CLOEXEC);
	long result = 0;

	if (fs < 0)
		return failed(launch, "fsopen", type, fs);
	if (*source)
		result = configure(launch, (int)fs, FSCONFIG_SET_STRING, "source", source, 0);
	for (uint32_t count = read_u32(options); count && result == 0 && !options->broken; count--) {
		const char *key = read_text(options);
		if (read_u32(options))
			result = configure(launch, (int)fs, FSCONFIG_SET_STRING, key, read_text(options), 0);
		else
			result = configure(launch, (int)fs, FSCONFIG_SET_FLAG, key, NULL, 0);
	}
	if (result < 0)
		sys(close, fs);
	return result < 0 ? result : fs;
}

// The kernel's own words about a failed mount, kept for the report: "e invalid value for option".
static const char *kernel_message(int fs, const char *otherwise)
{
	static char message[256];
	long size = sys(read, fs, message, sizeof message - 1);

	if (size <= 0)
		return otherwise;
	message[size] = 0;
	return message;
}

long finish_filesystem(struct launch *launch, int fs, uint64_t attributes, const char *detail)
{
	long tree = sys(fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);

	if (tree < 0) {
		failed(launch, "fsconfig", kernel_message(fs, detail), tree);
	} else {
		tree = sys(fsmount, fs, FSMOUNT_CLOEXEC, attributes);
		if (tree < 0)
			failed(launch, "fsmount", detail, tree);
	}
	sys(close, fs);
	return tree;
}
