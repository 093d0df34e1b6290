// Nodes, links and directories beneath the container's root, and the working directory.
#include "launcher.h"

#include "text.h"

long op_mkdir(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	uint32_t mode = read_u32(reader);

	if (reader->broken)
		return 0;
	long fd = make_beneath(launch, path, KIND_DIRECTORY, mode);
	if (fd < 0)
		return fd;
	sys(close, fd);
	return 0;
}

long op_symlink(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	const char *target = read_text(reader);
	const char *if_exists = read_text(reader);
	const char *name;

	if (reader->broken)
		return 0;
	if (*if_exists) {
		long there = open_beneath(launch, if_exists, O_PATH | O_NOFOLLOW);
		if (there == -ENOENT || there == -ENOTDIR)
			return 0;
		// The last component may itself be a link, which exists all the same.
		if (there < 0 && there != -ELOOP)
			return there;
		if (there >= 0)
			sys(close, there);
	}
	long parent = open_parent(launch, path, &name);
	if (parent < 0)
		return parent;
	long result = sys(symlinkat, target, parent, name);
	sys(close, parent);
	return result < 0 && result != -EEXIST ? failed(launch, "symlinkat", path, result) : 0;
}

static bool matches(const struct kernel_stat_ids *status, uint32_t type, uint32_t major, uint32_t minor)
{
	return (status->mode & 0170000) == type &&
	       (type == 0010000 || (status->rdev_major == major && status->rdev_minor == minor));
}

long op_mknod(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	uint32_t type = read_u32(reader), major = read_u32(reader), minor = read_u32(reader);
	uint32_t mode = read_u32(reader), uid = read_u32(reader), gid = read_u32(reader);
	struct kernel_stat_ids status;
	const char *name;

	if (reader->broken)
		return 0;
	long parent = open_parent(launch, path, &name);
	if (parent < 0)
		return parent;
	// The mode is exact, the umask being 0: a chmod by name might follow a link that was put there meanwhile.
	long result = sys(mknodat, parent, name, type | mode, device_number(major, minor));
	if (result == 0) {
		result = sys(fchownat, parent, name, uid, gid, AT_SYMLINK_NOFOLLOW);
		if (result < 0)
			failed(launch, "fchownat", path, result);
	} else {
		if (result == -EEXIST && stat_fd((int)parent, name, &status) == 0 &&
		    matches(&status, type, major, minor))
			result = 0;
		else
			failed(launch, "mknodat", path, result);
	}
	sys(close, parent);
	return result;
}

long op_chdir(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	bool create = read_u32(reader);
	char where[4096];

	if (reader->broken)
		return 0;
	// By descriptor and without magic links: `/proc/self/fd/N` would lead out (CVE-2024-21626).
	long fd = create ? make_beneath(launch, path, KIND_DIRECTORY, 0755)
			 : open_beneath(launch, path, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return fd;
	long result = sys(fchdir, fd);
	sys(close, fd);
	if (result < 0)
		return failed(launch, "fchdir", path, result);
	// The kernel says "(unreachable)/…" of a directory outside the root. ENAMETOOLONG says nothing bad of it.
	result = sys(getcwd, where, sizeof where);
	if (result < 0 && result != -ERANGE && result != -ENAMETOOLONG)
		return failed(launch, "getcwd", path, result);
	if (result > 0 && where[0] != '/')
		return failed(launch, "getcwd", "the working directory lies outside the root", -ENOENT);
	return 0;
}
