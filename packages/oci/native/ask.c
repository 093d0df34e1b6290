// One verb through the planner. Each message is one packet, its first byte says what it is:
//
//   front end                                      planner
//     q request  [memfd: what was asked] ──────────►
//     ◄───────────────── a answered: it was read, and is being carried out
//     ◄───────────────── w warning: text
//     ◄───────────────── t text for stdout  [memfd]            (events: again and again)
//     ◄───────────────── x exit: u8 flags, u32 status  [memfds: stdout where flags & 1, error where flags & 2]
//     ◄───────────────── p path: to be opened here  (a file under /dev/fd or /proc)
//     r, with the descriptor or the reason ─────────►
//     ◄───────────────── l launch: see launch.c
//     ◄───────────────── h hooks to run  [memfd]
//     r hooks ran; with a text: one failed ─────────►
//
// The planner undoes what it made when this end closes before the verb is done. Where the planner goes first, this end
// asks another one to undo what bears this call's name; or, where it went before it had read anything, all of it: a
// listening socket may outlive its process's other descriptors by a moment, and then takes calls that nobody answers.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PROTOCOL "3"

static void put_bounding_set(FILE *out)
{
	uint64_t set = 0;

	for (int capability = 0; capability < 64; capability++)
		if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1)
			set |= 1ULL << capability;
	fprintf(out, "%llx%c", (unsigned long long)set, 0);
}

// Texts, each ended by NUL: protocol, this call's name, working directory, runtime root, pid, capabilities, LISTEN_FDS, the
// command line.
static int request_memfd(int argc, char **argv)
{
	char *text = NULL, directory[PATH_MAX];
	size_t size = 0;
	const char *listen_fds = getenv("LISTEN_FDS");
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "%s%c%s%c", PROTOCOL, 0, front.call, 0);
	fprintf(out, "%s%c", getcwd(directory, sizeof directory) ? directory : "/", 0);
	fprintf(out, "%s%c%d%c", front.root, 0, (int)getpid(), 0);
	put_bounding_set(out);
	fprintf(out, "%s%c", listen_fds ? listen_fds : "", 0);
	for (int i = 0; i < argc; i++)
		fprintf(out, "%s%c", argv[i], 0);
	fclose(out);
	int fd = memfd_of("request", text, size);
	free(text);
	return fd;
}

static void print_memfd(int fd)
{
	size_t size;
	char *text = read_memfd(fd, &size);

	for (size_t at = 0; at < size;) {
		ssize_t written = write(STDOUT_FILENO, text + at, size - at);
		if (written < 0 && errno != EINTR)
			die(1, "stdout: %s", strerror(errno));
		at += written > 0 ? (size_t)written : 0;
	}
	free(text);
}

static int exit_of(const struct packet *packet)
{
	uint32_t status;
	int at = 0;

	memcpy(&status, packet->data + 2, sizeof status);
	if (packet->data[1] & 1)
		print_memfd(packet->fds[at++]);
	if (packet->data[1] & 2)
		fail_text(read_memfd(packet->fds[at], NULL));
	return (int)status;
}

// Some paths mean another file in another process.
static void open_for(int planner, const char *path)
{
	char answer[256] = "r";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		snprintf(answer + 1, sizeof answer - 1, "%s", strerror(errno));
	send_packet(planner, answer, strlen(answer), &fd, fd < 0 ? 0 : 1);
	if (fd >= 0)
		close(fd);
}

// False where no planner came to read it.
static bool hand_over(int planner, int request)
{
	static struct packet packet;
	// `update --resources -` reads what this process was given.
	int fds[] = {request, STDIN_FILENO}, count = !strcmp(front.verb, "update") && fcntl(STDIN_FILENO, F_GETFD) >= 0 ? 2 : 1;

	return send_packet(planner, "q", 1, fds, count) && receive_packet(planner, &packet) && packet.data[0] == 'a';
}

// A planner that carries out what was asked; -1 where none would.
static int hand_to_some(int argc, char **argv)
{
	int request = request_memfd(argc, argv), planner = -1;

	for (int attempt = 0; attempt < 3 && planner < 0; attempt++) {
		planner = connect_planner();
		if (hand_over(planner, request))
			break;
		say("debug", "the planner was just ending");
		close(planner);
		planner = -1;
	}
	close(request);
	return planner;
}

// The exit status; -1 where the planner ended without an answer.
static int ask(int argc, char **argv)
{
	int planner = hand_to_some(argc, argv), status = -1;
	static struct packet packet;

	while (planner >= 0 && status < 0) {
		if (!receive_packet(planner, &packet) || !packet.size)
			break;
		if (packet.data[0] == 'x')
			status = exit_of(&packet);
		else if (packet.data[0] == 'w')
			say("warning", "%s", packet.data + 1);
		else if (packet.data[0] == 't')
			print_memfd(packet.fds[0]);
		else if (packet.data[0] == 'h')
			answer_hooks(planner, &packet);
		else if (packet.data[0] == 'p')
			open_for(planner, packet.data + 1);
		else if (packet.data[0] == 'l')
			return launch_container(planner, &packet);
		else
			die(1, "holdfast-oci: unknown message of the planner");
		close_packet(&packet);
	}
	if (planner >= 0)
		close(planner);
	return status;
}

static void complain(void)
{
	const char *said = planner_complaint();
	char text[2048];

	snprintf(text, sizeof text, "holdfast-oci: the planner ended without an answer%s%s", *said ? ": " : "", said);
	fail_text(text);
}

int ask_planner(int argc, char **argv)
{
	int status = ask(argc, argv);

	if (status >= 0)
		return status;
	complain();
	undo_call();
	return 1;
}

void undo_call(void)
{
	int count = 0;
	char **arguments = calloc((size_t)front.argc + 4, sizeof *arguments);

	if (strcmp(front.verb, "create") && strcmp(front.verb, "run"))
		return;
	arguments[count++] = "holdfast-oci";
	arguments[count++] = "--root";
	arguments[count++] = (char *)front.root;
	arguments[count++] = "undo";
	for (int at = front.verb_at + 1; at < front.argc; at++)
		arguments[count++] = front.argv[at];
	if (ask(count, arguments) < 0)
		complain();
	free(arguments);
}

int ask_verb(const char *verb, const char *id, const char *option)
{
	char *arguments[] = {"holdfast-oci", "--root", (char *)front.root, (char *)verb, (char *)option, (char *)id};

	return ask_planner(6, arguments);
}
