// One call through the helper. Each message is one packet, its first byte says what it is:
//
//   front end                                      helper
//     ◄──────────────────────────────────── h hello: it is there, and takes calls
//     q request  [memfd: what was asked] [network namespace] ──►
//     ◄──────────────────────────────────── w warning: a line for standard error
//     ◄──────────────────────────────────── d plugin to run: program, NUL, CNI_COMMAND, NUL
//     r what came of it: see bridge.h ─────────────────────────►
//     ◄──────────────────────────────────── x exit: u8 status  [memfd: text for standard output]
//
// The request is sent once somebody is there to take it: no call is carried out twice because a helper was slow.
#include "bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROTOCOL "1"
// More than Node needs to start on a busy machine; a helper that is stopped or hangs is passed by.
#define HELLO_MILLISECONDS 10000

extern char **environ;

// Texts ended by NUL: the protocol, the variables that CNI knows, an empty one; then the configuration.
static int request_memfd(const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -1;
	fprintf(out, "%s%c", PROTOCOL, 0);
	for (char **each = environ; *each; each++)
		if (!strncmp(*each, "CNI_", 4))
			fprintf(out, "%s%c", *each, 0);
	fputc(0, out);
	fwrite(config->text, 1, config->size, out);
	int fd = fclose(out) == 0 ? memfd_with("request", text, size) : -1;
	free(text);
	return fd;
}

// 1: it said hello; 0: it was just ending; -1: it says nothing.
static int await_hello(int helper, struct packet *packet)
{
	struct pollfd poll_fd = {.fd = helper, .events = POLLIN};
	int ready;

	do
		ready = poll(&poll_fd, 1, HELLO_MILLISECONDS);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return -1;
	return receive_packet(helper, packet) && packet->size == 1 && packet->data[0] == 'h';
}

static bool send_request(int helper, const struct config *config)
{
	int fds[] = {request_memfd(config), open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
	bool sent = fds[0] >= 0 && fds[1] >= 0 && send_packet(helper, "q", 1, fds, 2);

	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return sent;
}

static void print(int fd)
{
	size_t size = 0;
	char *text = memfd_text(fd, &size);

	for (size_t at = 0; text && at < size;) {
		ssize_t written = write(STDOUT_FILENO, text + at, size - at);
		struct pollfd full = {.fd = STDOUT_FILENO, .events = POLLOUT};
		if (written < 0 && errno == EAGAIN)
			poll(&full, 1, -1); // a runtime's pipe may be non-blocking
		else if (written < 0 && errno != EINTR)
			exit(1);
		at += written > 0 ? (size_t)written : 0;
	}
	free(text);
}

static int answer(int helper, struct packet *packet, const struct config *config)
{
	while (receive_packet(helper, packet) && packet->size > 0) {
		const char *text = packet->data + 1;
		if (packet->data[0] == 'x' && packet->size == 2) {
			if (packet->count > 0)
				print(packet->fds[0]);
			return (unsigned char)*text;
		}
		if (packet->data[0] == 'w')
			dprintf(STDERR_FILENO, "%s\n", text);
		else if (packet->data[0] == 'd')
			run_plugin(helper, text, text + strlen(text) + 1, config);
		close_packet(packet);
	}
	return -1;
}

int ask_helper(const struct helper *helper, const struct config *config)
{
	static struct packet packet;
	int status = -1, hello = 0, asked = 0;

	// One that is killed over it is followed by the next, or all whom it served would start a Node of their own at once. A
	// call that is the death of helpers has its own after two. One that was just ending, or whose listening socket outlives
	// it by a moment, was not asked.
	for (int attempt = 0; attempt < 4 && asked < 2 && hello >= 0 && status < 0; attempt++) {
		int connection = connect_helper(helper);
		if (connection < 0)
			return -1;
		hello = await_hello(connection, &packet);
		asked += hello > 0;
		if (hello > 0 && send_request(connection, config))
			status = answer(connection, &packet, config);
		close(connection);
	}
	return status;
}
