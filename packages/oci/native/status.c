// A container's state, from the file `status` in its directory beneath the root, which the planner writes (src/store.ts):
// texts ended by NUL: pid, start time, freezer file, flags, the JSON before and behind pid and status, then the cgroups,
// an empty text, bundle, time of creation.
// Flags: n, there is no process to start; p, s: there are hooks behind a start, or an end; u: it is a unit of systemd's; m: its root is mounted in
// a mount namespace that it shares.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *read_at(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return NULL;
	size_t limit = fstat(fd, &status) == 0 && status.st_size > 0 ? (size_t)status.st_size : 4096;
	char *text = calloc(1, limit + 8); // a NUL for each text, even where the file is cut short
	ssize_t size = read(fd, text, limit);
	close(fd);
	if (size < 0)
		text[0] = 0;
	return text;
}

static const char *next_text(const char **at)
{
	const char *text = *at;

	*at += strlen(text) + 1;
	return text;
}

// Field 22 of /proc/PID/stat names the process together with its pid; field 3 is its state.
static bool is_alive(pid_t pid, const char *start_time)
{
	char path[40];

	if (pid <= 0)
		return false;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	char *text = read_at(AT_FDCWD, path);
	char *fields = text ? strrchr(text, ')') : NULL;
	bool alive = false;
	if (fields && strlen(fields) > 4 && fields[2] != 'Z' && fields[2] != 'X') {
		char *at = fields + 2, *save = NULL, *field = strtok_r(at, " ", &save);
		for (int i = 3; i < 22 && field; i++)
			field = strtok_r(NULL, " ", &save);
		alive = field && !strcmp(field, start_time);
	}
	free(text);
	return alive;
}

// v1: freezer.state; v2: cgroup.freeze.
static bool is_frozen(const char *freezer)
{
	char *text = *freezer ? read_at(AT_FDCWD, freezer) : NULL;
	bool frozen = text && (text[0] == '1' || !strncmp(text, "FR", 2));

	free(text);
	return frozen;
}

static enum status status_of(const struct container *container)
{
	if (!strcmp(container->start_time, ""))
		return STATUS_CREATING;
	if (!is_alive(container->pid, container->start_time))
		return STATUS_STOPPED;
	if (is_frozen(container->freezer))
		return STATUS_PAUSED;
	return faccessat(container->directory, "door", F_OK, 0) == 0 ? STATUS_CREATED : STATUS_RUNNING;
}

static int open_directory(const char *id)
{
	bool plain = *id && *id != '.' && !strchr(id, '/');

	return plain && front.root_fd >= 0 ? openat(front.root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
					   : -1;
}

bool has_directory(const char *id)
{
	int directory = open_directory(id);

	if (directory >= 0)
		close(directory);
	return directory >= 0;
}

bool has_container(const char *id)
{
	int directory = open_directory(id);
	bool found = directory >= 0 && faccessat(directory, "status", F_OK, 0) == 0;

	if (directory >= 0)
		close(directory);
	return found;
}

bool load_container(const char *id, struct container *container)
{
	int directory = open_directory(id);
	const char *at = directory < 0 ? NULL : read_at(directory, "status");

	if (!at) {
		if (directory >= 0)
			close(directory);
		return false;
	}
	*container = (struct container){.id = id, .directory = directory};
	container->pid = atoi(next_text(&at));
	container->start_time = next_text(&at);
	container->freezer = next_text(&at);
	container->flags = next_text(&at);
	container->head = next_text(&at);
	container->tail = next_text(&at);
	container->cgroups = at;
	while (*next_text(&at))
		;
	container->bundle = next_text(&at);
	container->created = next_text(&at);
	container->status = status_of(container);
	return true;
}

struct container find_container(const char *id)
{
	struct container container;

	if (!load_container(id, &container))
		die(1, "container does not exist");
	return container;
}

const char *status_name(enum status status)
{
	static const char *const names[] = {"creating", "created", "running", "paused", "stopped"};

	return names[status];
}

int verb_state(void)
{
	int count;
	char **ids = positional(1, 1, &count);

	struct container container = find_container(ids[0]);
	printf("%s  \"pid\": %d,\n  \"status\": \"%s\",\n%s\n", container.head,
	       container.status == STATUS_STOPPED ? 0 : container.pid, status_name(container.status), container.tail);
	return fflush(stdout) == 0 ? 0 : 1;
}
