// `start ID`: connects to the socket at which the created container's init waits.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *reason_of(const char *program, int error)
{
	if ((error == ENOENT || error == ENOTDIR) && !strchr(program, '/'))
		return "executable file not found in $PATH";
	switch (error) {
	case ENOENT:
		return "no such file or directory";
	case EACCES:
		return "permission denied";
	case ENOEXEC:
		return "exec format error";
	default:
		return strerror(error);
	}
}

// u32 type, u32 step, i64 errno, system call NUL detail NUL
const char *failure_text(const struct packet *report)
{
	static char text[PACKET_LIMIT];
	int64_t error;
	const char *call = report->data + 16, *detail = call + strlen(call) + 1;

	memcpy(&error, report->data + 8, sizeof error);
	if (!strcmp(call, "execve"))
		snprintf(text, sizeof text, "exec: \"%s\": %s", detail, reason_of(detail, (int)error));
	else
		snprintf(text, sizeof text, "%s %s: %s", call, detail, strerror((int)error));
	return text;
}

const char *open_door(int socket)
{
	static struct packet report;

	if (send(socket, "s", 1, MSG_NOSIGNAL) != 1)
		return "the container ended before it was started";
	if (!receive_packet(socket, &report))
		return "the container ended before it was started";
	return report.size >= 16 ? failure_text(&report) : NULL;
}

static void refuse(const struct container *container)
{
	switch (container->status) {
	case STATUS_CREATED:
		if (strchr(container->flags, 'n'))
			die(1, "cannot start a container without a process in its configuration");
		return;
	case STATUS_STOPPED:
		die(1, "cannot start a container that has stopped");
	case STATUS_RUNNING:
		die(1, "cannot start an already running container");
	default:
		die(1, "cannot start a container in the %s state", status_name(container->status));
	}
}

int verb_start(void)
{
	int count;
	char **ids = positional(1, 1, &count);

	struct container container = find_container(ids[0]);
	refuse(&container);
	int socket = connect_at(container.directory, "door", SOCK_SEQPACKET);
	if (socket < 0)
		die(1, "cannot start a container that has stopped");
	const char *failure = open_door(socket);
	// Without it the container counts as started, whatever came of it.
	unlinkat(container.directory, "door", 0);
	if (failure)
		die(1, "unable to start container process: %s", failure);
	// Hooks that follow the start; a failure of one ends the container.
	return strchr(container.flags, 'p') ? ask_verb("poststart", ids[0], "--") : 0;
}
