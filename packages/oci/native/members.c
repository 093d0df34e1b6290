// Signals to everything in a container's cgroup.
#include "front.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What forks while it is killed has children that the first round didn't see. Of any other signal they may be the answer.
enum { KILL_ROUNDS = 10 };

struct pids {
	pid_t *list;
	size_t count;
};

static bool add(struct pids *pids, pid_t pid)
{
	for (size_t i = 0; i < pids->count; i++)
		if (pids->list[i] == pid)
			return false;
	pids->list = realloc(pids->list, (pids->count + 1) * sizeof *pids->list);
	pids->list[pids->count++] = pid;
	return true;
}

// Each of them once. True where there was a new one.
static bool signal_members(int directory, struct pids *seen, int number)
{
	int file = openat(directory, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *procs = file < 0 ? NULL : fdopen(file, "r");
	bool found = false;
	pid_t pid;

	while (procs && fscanf(procs, "%d", &pid) == 1) {
		// 0: a process that this pid namespace doesn't have.
		if (pid <= 0 || !add(seen, pid))
			continue;
		found = true;
		if (kill(pid, number) < 0 && errno != ESRCH)
			die(1, "unable to signal process %d: %s", pid, strerror(errno));
	}
	if (procs)
		fclose(procs);
	return found;
}

// With those beneath it. Closes the directory.
static bool signal_tree(int directory, struct pids *seen, int number)
{
	DIR *entries = directory < 0 ? NULL : fdopendir(directory);
	bool found = entries && signal_members(directory, seen, number);
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			found |= signal_tree(openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), seen, number);
	if (entries)
		closedir(entries);
	return found;
}

void signal_all(const struct container *container, int number)
{
	struct pids seen = {0};
	int rounds = number == SIGKILL ? KILL_ROUNDS : 1;

	// Each hierarchy has all of them: the first will do.
	for (int round = 0; *container->cgroups && round < rounds; round++)
		if (!signal_tree(open(container->cgroups, O_RDONLY | O_DIRECTORY | O_CLOEXEC), &seen, number))
			return;
}
