// `kill [--all] ID [SIGNAL]`: to the init, or to everything in the cgroup.
#include "front.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// The number, or the name with or without SIG in any case; -1 for neither.
static int signal_number(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text && !*end)
		return number >= 0 && number <= 64 ? (int)number : -1;
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (int each = 1; each < 32; each++) {
		const char *name = sigabbrev_np(each);
		if (name && !strcasecmp(name, text))
			return each;
	}
	static const struct {
		const char *name;
		int number;
	} others[] = {{"IOT", SIGIOT}, {"CLD", SIGCHLD}, {"IO", SIGIO}, {"UNUSED", SIGSYS}};
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcasecmp(others[i].name, text))
			return others[i].number;
	if (!strncasecmp(text, "RTMIN+", 6))
		return 34 + atoi(text + 6);
	return !strcasecmp(text, "RTMIN") ? 34 : !strcasecmp(text, "RTMAX") ? 64 : -1;
}

// cgroup v1 delivers nothing to what is frozen, not even SIGKILL.
static void thaw(const char *freezer)
{
	const char *slash = strrchr(freezer, '/');

	if (!slash || strcmp(slash, "/freezer.state"))
		return;
	int fd = open(freezer, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "THAWED", 6) != 6)
		say("warning", "%s: %s", freezer, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void signal_init(const struct container *container, int number)
{
	if (container->status == STATUS_STOPPED || container->status == STATUS_CREATING)
		die(1, "container not running");
	int pidfd = (int)syscall(SYS_pidfd_open, container->pid, 0);
	// Opened now, and still the same process: no later one can be hit.
	if (pidfd < 0 || find_container(container->id).status == STATUS_STOPPED)
		die(1, "container not running");
	if (syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) < 0)
		die(1, "unable to signal init: %s", errno == ESRCH ? "container not running" : strerror(errno));
}

int verb_kill(void)
{
	const char *id = NULL, *name = NULL;
	bool all = false;

	for (int at = front.verb_at + 1; at < front.argc; at++) {
		const char *argument = front.argv[at];
		if (is_switch(argument, "all", &all) || is_switch(argument, "a", &all) || !strcmp(argument, "--"))
			continue;
		if (argument[0] == '-' && !isdigit(argument[1]))
			die(1, "flag provided but not defined: %s", argument);
		if (id && name)
			die(1, "\"kill\" takes a container id and a signal");
		*(id ? &name : &id) = argument;
	}
	if (!id)
		die(1, "\"kill\" requires a minimum of 1 argument: a container id");
	int number = signal_number(name && *name ? name : "TERM");
	if (number < 0)
		die(1, "unknown signal %s", name);
	struct container container = find_container(id);
	if (all)
		signal_all(&container, number);
	else
		signal_init(&container, number);
	if (number == SIGKILL && container.status == STATUS_PAUSED)
		thaw(container.freezer);
	return 0;
}
