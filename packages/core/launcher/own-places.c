// Mounts that are the runtime's own: the root, /proc, /sys, /dev and what is mounted beneath these. A mount goes there
// where the configuration says so in so many words. By a link of the image it does not: a volume would be the procfs
// that programs ask, with the real one, unmasked, beneath it; devices would be made in somebody's directory; and what
// lies on the root is what every exec starts from.
//
// A link to /dev/shm is followed: distributions have had one at /run/shm.
#include "launcher.h"

#include "text.h"

#include <linux/stat.h>

struct place {
	uint64_t mount, inode;
};

static long identify(int fd, struct place *place)
{
	struct statx status = {0};
	long result = sys(statx, fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &status);

	*place = (struct place){.mount = status.stx_mnt_id, .inode = status.stx_ino};
	return result;
}

long refuse_own_place(struct launch *launch, const char *path, int target)
{
	struct place place, root;

	if (is_guarded(path) || text_equal(path, "/"))
		return 0;
	long result = identify(target, &place);
	if (result == 0)
		result = identify((int)open_root(launch), &root);
	if (result < 0)
		return failed(launch, "statx", path, result);
	bool own = place.mount == root.mount && place.inode == root.inode;
	for (uint32_t i = 0; i < launch->own_places_count && !own; i++)
		own = launch->own_places[i] == place.mount;
	return own ? failed(launch, "move_mount", path, -ELOOP) : 0;
}

long note_own_place(struct launch *launch, const char *path, int tree)
{
	struct place place;

	if (!is_guarded(path) || text_equal(path, "/dev/shm") || kind_of(tree) != KIND_DIRECTORY)
		return 0;
	if (launch->own_places_count == OWN_PLACES_LIMIT)
		return failed(launch, "move_mount", "too many mounts in /proc, /sys and /dev", -E2BIG);
	long result = identify(tree, &place);
	if (result < 0)
		return failed(launch, "statx", path, result);
	launch->own_places[launch->own_places_count++] = place.mount;
	return 0;
}
