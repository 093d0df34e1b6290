// Namespaces: unshare(2), setns(2), and what is set inside them.
#include "launcher.h"

#include "text.h"

#include <linux/openat2.h>
#include <linux/sockios.h>

long op_unshare(struct launch *launch, struct reader *reader)
{
	uint32_t flags = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = sys(unshare, flags);
	return result < 0 ? failed(launch, "unshare", "", result) : 0;
}

// The descriptor is a namespace's, or a pidfd with the types to join.
long op_join(struct launch *launch, struct reader *reader)
{
	int fd = read_fd(reader);
	uint32_t flags = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = sys(setns, fd, flags);
	if (result == 0 && (flags & CLONE_NEWNS))
		close_fd(&launch->root); // `/` is another directory now
	return result < 0 ? failed(launch, "setns", "", result) : 0;
}

long op_become_root(struct launch *launch, struct reader *reader)
{
	bool rootless = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = set_groups(0, NULL, rootless);
	if (result < 0)
		return failed(launch, "setgroups", "", result);
	result = sys(setresgid, 0, 0, 0);
	if (result < 0)
		return failed(launch, "setresgid", "0", result);
	result = sys(setresuid, 0, 0, 0);
	return result < 0 ? failed(launch, "setresuid", "0", result) : 0;
}

long op_time_offsets(struct launch *launch, struct reader *reader)
{
	const char *lines = read_text(reader);

	if (reader->broken)
		return 0;
	long size = (long)text_length(lines);
	long result = sys(write, launch->timens, lines, size);
	if (result != size)
		return failed(launch, "write", "/proc/self/timens_offsets", result < 0 ? result : -EIO);
	close_fd(&launch->timens);
	return 0;
}

long op_hostname(struct launch *launch, struct reader *reader)
{
	const char *name = read_text(reader);

	if (reader->broken)
		return 0;
	long result = sys(sethostname, name, text_length(name));
	return result < 0 ? failed(launch, "sethostname", name, result) : 0;
}

long op_domainname(struct launch *launch, struct reader *reader)
{
	const char *name = read_text(reader);

	if (reader->broken)
		return 0;
	long result = sys(setdomainname, name, text_length(name));
	return result < 0 ? failed(launch, "setdomainname", name, result) : 0;
}

// struct ifreq as SIOCGIFFLAGS has it; linux/if.h draws in headers of the C library.
struct interface_request {
	char name[16];
	short flags;
	char padding[22];
};
#define INTERFACE_UP 1 // IFF_UP

long op_loopback_up(struct launch *launch, struct reader *reader)
{
	struct interface_request request = {.name = "lo"};

	(void)reader;
	long socket = sys(socket, 1 /* AF_UNIX: any socket takes these ioctls */, 2 | O_CLOEXEC, 0);
	if (socket < 0)
		return failed(launch, "socket", "lo", socket);
	long result = sys(ioctl, socket, SIOCGIFFLAGS, &request);
	if (result == 0) {
		request.flags |= INTERFACE_UP;
		result = sys(ioctl, socket, SIOCSIFFLAGS, &request);
	}
	sys(close, socket);
	return result < 0 ? failed(launch, "ioctl", "lo up", result) : 0;
}

// Through the procfs that was opened while only the host's mounts were visible (CVE-2025-52881): an image can neither
// put a link nor a mount in the way.
long op_sysctl(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader); // relative to /proc: sys/net/ipv4/ip_forward
	const char *value = read_text(reader);
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};

	if (reader->broken)
		return 0;
	long fd = sys(openat2, launch->proc, path, &how, sizeof how);
	if (fd < 0)
		return failed(launch, "openat2", path, fd);
	long size = (long)text_length(value);
	long result = sys(write, fd, value, size);
	sys(close, fd);
	return result != size ? failed(launch, "write", path, result < 0 ? result : -EIO) : 0;
}
