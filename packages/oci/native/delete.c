// `delete [--force] ID` of a container that ended and left nothing but empty cgroups and its directory: no planner is
// started for that. Whatever is found to be more (hooks, a unit of systemd's, a mounted root, processes, a create under way) is left to
// the planner, which goes on from wherever this has come.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// The kernel takes a moment from a process's end to its cgroup's being empty.
enum { CGROUP_TRIES = 20, KILL_TIMEOUT_MS = 10000 };

static bool remove_cgroup(const char *path)
{
	const struct timespec moment = {.tv_nsec = 500000};

	for (int try = 0; try < CGROUP_TRIES; try++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return true;
		if (errno != EBUSY)
			return false;
		nanosleep(&moment, NULL);
	}
	return false;
}

static bool remove_cgroups(const struct container *container)
{
	for (const char *path = container->cgroups; *path; path += strlen(path) + 1)
		if (!remove_cgroup(path))
			return false;
	return true;
}

// What the planner puts there (src/store.ts). The record first: without it there is no container.
static bool remove_directory(const struct container *container)
{
	static const char *const files[] = {"record.json", "door", "config.json", "status"};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		unlinkat(container->directory, files[i], 0);
	unlinkat(container->directory, "stage", AT_REMOVEDIR);
	return unlinkat(front.root_fd, container->id, AT_REMOVEDIR) == 0;
}

// False where it has not ended in time, or cannot be killed.
static bool kill_init(const struct container *container)
{
	int pidfd = (int)syscall(SYS_pidfd_open, container->pid, 0);
	struct pollfd end = {pidfd, POLLIN, 0};

	// Opened now, and still the same process: no later one can be hit.
	if (pidfd < 0 || find_container(container->id).status == STATUS_STOPPED)
		return pidfd >= 0 || errno == ESRCH;
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0 && poll(&end, 1, KILL_TIMEOUT_MS) == 1;
}

static bool delete_here(const struct container *container)
{
	bool paused = container->status == STATUS_PAUSED, creating = container->status == STATUS_CREATING;

	if (creating || paused || strpbrk(container->flags, "sum"))
		return false;
	if (container->status != STATUS_STOPPED && !kill_init(container))
		return false;
	return remove_cgroups(container) && remove_directory(container);
}

int delete_ended(const char *id)
{
	struct container container;

	return load_container(id, &container) && delete_here(&container) ? 0 : ask_verb("delete", id, "--force");
}

int verb_delete(void)
{
	const char *id = NULL;
	bool force = false;

	for (int at = front.verb_at + 1; at < front.argc; at++) {
		const char *argument = front.argv[at];
		if (!strcmp(argument, "--force") || !strcmp(argument, "-f") || !strcmp(argument, "-force"))
			force = true;
		else if (argument[0] == '-' || !*argument || id)
			return ask_planner(front.argc, front.argv);
		else
			id = argument;
	}
	if (!id)
		return ask_planner(front.argc, front.argv);
	if (force && !has_container(id))
		return has_directory(id) ? ask_planner(front.argc, front.argv) : 0;
	struct container container = find_container(id);
	if (!force && container.status != STATUS_STOPPED && container.status != STATUS_CREATED)
		die(1, "cannot delete container %s that is not stopped: %s", id, status_name(container.status));
	return delete_here(&container) ? 0 : ask_planner(front.argc, front.argv);
}
