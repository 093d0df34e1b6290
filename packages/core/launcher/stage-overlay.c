// Overlay, staged: its layers idmapped clones or plain directories.
#include "launcher.h"

#include "text.h"

#include <linux/mount.h>

// The kernel's own limit of lower layers (OVL_MAX_STACK).
#define LAYER_LIMIT 500

struct overlay {
	struct launch *launch;
	int fs;
	// Layers are named by descriptor; else by short names in the stage area, where this process stands, since
	// fsconfig(2) takes 255 bytes and overlay splits at colons.
	bool by_fd;
	int userns;
	// A detached clone lives as long as its descriptor, so these stay open until overlay has taken them.
	int layers[LAYER_LIMIT + 2];
	// What names them in the stage area.
	const char *prefix;
	uint32_t layer_count, lower_count;
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
	overlay->layers[overlay->layer_count++] = (int)tree;
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

// Closing the last descriptor of a detached clone waits for an RCU grace period, a millisecond for each layer. Attached to
// the stage area they all go at once, with its mount namespace, when nobody waits any more.
static long let_layers_go(struct overlay *overlay)
{
	long result = 0;

	for (uint32_t i = 0; i < overlay->layer_count; i++) {
		char name[16];
		bool clone = overlay->userns >= 0 && i < overlay->lower_count;
		layer_name(name, overlay->prefix, i);
		if (clone && overlay->launch->stage >= 0 && result == 0)
			result = attach_staged(overlay->launch, overlay->layers[i], name);
		sys(close, overlay->layers[i]);
	}
	return result;
}

static long add_lower(struct overlay *overlay, struct reader *reader)
{
	char names[256];
	struct line list = {names, names + sizeof names - 1, false};
	long result = 0;
	uint32_t count = overlay->lower_count = read_u32(reader);

	if (count > LAYER_LIMIT)
		return failed(overlay->launch, "fsconfig", "too many layers", -E2BIG);
	for (uint32_t i = 0; i < count && result == 0 && !reader->broken; i++) {
		const char *path = read_text(reader);
		if (overlay->by_fd) {
			result = add_layer_by_fd(overlay, "lowerdir+", path, overlay->userns);
			continue;
		}
		char name[16];
		layer_name(name, overlay->prefix, i);
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
	layer_name(upper_name, ".u", launch->step);
	layer_name(work_name, ".w", launch->step);
	layer_name(prefix, ".l", launch->step);
	prefix[text_length(prefix) + 1] = 0;
	prefix[text_length(prefix)] = '-';
	overlay.prefix = prefix;
	overlay.fs = (int)open_filesystem(launch, "overlay", "overlay", reader);
	if (overlay.fs < 0)
		return overlay.fs;
	long result = add_lower(&overlay, reader);
	if (result == 0 && *upper)
		result = add_writable(&overlay, "upperdir", upper_name, upper);
	if (result == 0 && *work)
		result = add_writable(&overlay, "workdir", work_name, work);
	if (result < 0 || reader->broken)
		return result;
	long tree = finish_filesystem(launch, overlay.fs, attributes, "overlay");
	if (tree < 0)
		return tree;
	result = let_layers_go(&overlay);
	if (result == 0)
		result = attach_staged(launch, (int)tree, as);
	sys(close, tree);
	return result;
}
