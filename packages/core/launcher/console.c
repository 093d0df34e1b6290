// A terminal from the container's own devpts. Every name is verified after it was opened: an image or a volume may
// have put a link or a file of its own there (CVE-2025-52565).
#include "launcher.h"

#include <linux/magic.h>
#include <linux/mount.h>
#include <asm/ioctls.h>

#ifndef DEVPTS_SUPER_MAGIC
#define DEVPTS_SUPER_MAGIC 0x1cd1
#endif

struct window_size {
	uint16_t rows, columns, x, y;
};

static bool is_devpts(int fd)
{
	uint64_t statfs[15];

	return sys(fstatfs, fd, statfs) == 0 && statfs[0] == DEVPTS_SUPER_MAGIC;
}

// Master of a new pty, and by ioctl, not by name, its peer.
static long open_pty(struct launch *launch, int *peer)
{
	int unlock = 0;
	struct kernel_stat_ids status;
	long master = open_beneath(launch, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);

	if (master < 0)
		return master;
	if (!is_devpts((int)master) || !is_char_device((int)master, 5, 2))
		return failed(launch, "fstatfs", "/dev/pts/ptmx is not devpts", -ENODEV);
	long result = sys(ioctl, master, TIOCSPTLCK, &unlock);
	if (result < 0)
		return failed(launch, "ioctl", "TIOCSPTLCK", result);
	result = sys(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (result < 0)
		return failed(launch, "ioctl", "TIOCGPTPEER", result);
	*peer = (int)result;
	// Majors 136 to 143 are the Unix98 pty slaves.
	if (!is_devpts(*peer) || stat_fd(*peer, "", &status) < 0 || status.rdev_major < 136 || status.rdev_major > 143)
		return failed(launch, "fstatfs", "the terminal is not devpts", -ENODEV);
	return master;
}

static long bind_console(struct launch *launch, int peer)
{
	long target = make_beneath(launch, "/dev/console", KIND_FILE, 0600);

	if (target < 0)
		return target;
	long tree = sys(open_tree, peer, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return failed(launch, "open_tree", "/dev/console", tree);
	long result = attach_tree(launch, (int)tree, (int)target, "/dev/console");
	sys(close, tree);
	sys(close, target);
	return result;
}

long op_console(struct launch *launch, struct reader *reader)
{
	struct window_size size = {.rows = (uint16_t)read_u32(reader)};
	int peer = -1;

	size.columns = (uint16_t)read_u32(reader);
	bool bind = read_u32(reader);
	uint32_t uid = read_u32(reader), gid = read_u32(reader);
	if (reader->broken)
		return 0;
	long master = open_pty(launch, &peer);
	if (master < 0)
		return master;
	long result = sys(ioctl, peer, TIOCSWINSZ, &size);
	if (result < 0)
		return failed(launch, "ioctl", "TIOCSWINSZ", result);
	result = sys(fchown, peer, uid, gid);
	if (result < 0)
		return failed(launch, "fchown", "terminal", result);
	result = report(launch, MESSAGE_CONSOLE, 0, (int)master);
	sys(close, master);
	if (result == 0 && bind)
		result = bind_console(launch, peer);
	if (result < 0)
		return result;
	result = sys(ioctl, peer, TIOCSCTTY, 0);
	if (result < 0)
		return failed(launch, "ioctl", "TIOCSCTTY", result);
	for (int target = STDIN; target <= STDERR; target++)
		sys(dup3, peer, target, 0);
	sys(close, peer);
	launch->has_terminal = true;
	return 0;
}
