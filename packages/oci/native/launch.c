// One launch: the planner has prepared everything, this process starts the launcher and follows it.
//
//   planner                        front end                          launcher
//     l [program, table, spec, …] ──►  clone, execveat ─────────────────►
//                       ◄── b pid      ◄─────────────────────────── born
//                                      hooks: createRuntime ◄─────── sync
//     takes a seccomp listener ◄── n   ◄─────────────────────────── listener
//     writes the state         ◄── c   ◄─────────────────────────── ready, at the door
//     o ─────────────────────────────► pid file; `create` ends here
//                                      opens the door ──────────────► execve
//                       ◄── s          ◄─────────────────────────── end
//     h (poststart hooks), o ────────► detached: ends here. Else waits for the process.
//
// What it says with --debug are runc's words for the same moments, since they are looked for.
//
// A failure goes to the planner (e: as the launcher reported it, f: as text), which undoes what it made and answers
// with the words for it.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TERMINAL = 1, DETACH = 2, KEEP = 4, DOOR = 8, EXEC = 16 };
// Descriptors that are this process's own, where the planner names one.
enum { OWN_STDIN = -1, OWN_STDOUT = -2, OWN_STDERR = -3, OWN_REPORT = -4, OWN_DOOR = -5, OWN_PRESERVED = -100 };
// The launcher's messages (core/launcher/launcher.h).
enum { REPORT_ERROR = 1, REPORT_BORN, REPORT_SYNC, REPORT_READY, REPORT_CONSOLE, REPORT_LISTENER };

struct launch {
	int planner;
	uint32_t flags, uid;
	int cgroup;
	const char *id, *title, *pid_file, *console_path;
	struct flat hooks;
	int program, table, report, theirs, door;
	pid_t launcher, pid;
	int pidfd, console, console_socket;
};

static void read_spec(struct launch *launch, struct flat *flat)
{
	launch->flags = flat_u32(flat);
	launch->uid = flat_u32(flat);
	launch->cgroup = (int)flat_u32(flat);
	launch->id = flat_text(flat);
	launch->title = flat_text(flat);
	launch->pid_file = flat_text(flat);
	launch->console_path = flat_text(flat);
}

static int make_door(const char *id)
{
	int directory = openat(front.root_fd, id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int door = directory < 0 ? -1 : listen_at(directory, "door", SOCK_SEQPACKET);

	if (directory >= 0)
		close(directory);
	return door;
}

static int own_descriptor(const struct launch *launch, int which)
{
	switch (which) {
	case OWN_STDIN:
	case OWN_STDOUT:
	case OWN_STDERR:
		return -which - 1;
	case OWN_REPORT:
		return launch->theirs;
	case OWN_DOOR:
		return launch->door;
	default:
		return OWN_PRESERVED - which + 3;
	}
}

// Ends the call: the planner says in which words, and with which status.
static int give_up(struct launch *launch, const void *message, size_t size)
{
	static struct packet answer;

	if (launch->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, launch->pidfd, SIGKILL, NULL, 0);
	close(launch->report);
	if (launch->pid > 0)
		reap(launch->pid);
	if (launch->launcher > 0)
		reap(launch->launcher);
	send_packet(launch->planner, message, size, NULL, 0);
	while (receive_packet(launch->planner, &answer) && answer.size) {
		uint32_t status;
		if (answer.data[0] == 'h')
			answer_hooks(launch->planner, &answer);
		if (answer.data[0] != 'x')
			continue;
		memcpy(&status, answer.data + 2, sizeof status);
		if (answer.count > 0)
			fail_text(read_memfd(answer.fds[0], NULL));
		return (int)status;
	}
	// Without a planner nothing is undone by it.
	fail_text(((const char *)message)[0] == 'f' ? (const char *)message + 1 : "the planner is gone");
	undo_call();
	return 1;
}

__attribute__((format(printf, 2, 3))) static int give_up_with(struct launch *launch, const char *format, ...)
{
	char text[PACKET_LIMIT] = "f";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + 1, sizeof text - 1, format, arguments);
	va_end(arguments);
	return give_up(launch, text, strlen(text));
}

static bool start(struct launch *launch, const struct packet *packet, struct flat *spec)
{
	int ends[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	uint32_t count = flat_u32(spec);
	int *fds = calloc(count + 4, sizeof *fds);

	if (null < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return false;
	launch->report = ends[0];
	launch->theirs = ends[1];
	fds[0] = fds[1] = fds[2] = null;
	fds[3] = launch->table;
	for (uint32_t i = 0; i < count; i++) {
		int source = (int)flat_u32(spec);
		fds[4 + i] = source < 0 ? own_descriptor(launch, source) : packet->fds[source];
	}
	launch->hooks = *spec;
	int cgroup = launch->cgroup < 0 ? -1 : packet->fds[launch->cgroup];
	launch->launcher = start_launcher(launch->program, launch->title, fds, count + 4, cgroup);
	int error = errno;
	close(null);
	close(launch->theirs);
	free(fds);
	errno = error;
	return launch->launcher > 0;
}

// Waits for the planner to agree; what it says else is the end.
static bool agreed(struct launch *launch)
{
	static struct packet answer;

	if (!receive_packet(launch->planner, &answer) || !answer.size)
		return false;
	if (answer.data[0] == 'h') {
		answer_hooks(launch->planner, &answer);
		return agreed(launch);
	}
	if (answer.data[0] == 'x') {
		uint32_t status;
		memcpy(&status, answer.data + 2, sizeof status);
		if (answer.count > 0)
			fail_text(read_memfd(answer.fds[0], NULL));
		exit((int)status);
	}
	return answer.data[0] == 'o';
}

// 0, or what to end with.
static int on_sync(struct launch *launch)
{
	struct flat hooks = launch->hooks;
	const char *failure = run_hooks(&hooks, launch->pid);

	if (failure)
		return give_up_with(launch, "%s", failure);
	send(launch->report, "c", 1, MSG_NOSIGNAL);
	return 0;
}

static int on_born(struct launch *launch, const struct packet *report)
{
	char message[5] = "b";
	int64_t pid;

	memcpy(&pid, report->data + 8, sizeof pid);
	launch->pid = (pid_t)pid;
	launch->pidfd = report->fds[0];
	memcpy(message + 1, &launch->pid, sizeof launch->pid);
	say("debug", "child process in init(): it is process %d", launch->pid);
	send_packet(launch->planner, message, sizeof message, NULL, 0);
	return 0;
}

static int on_console(struct launch *launch, int master)
{
	if (launch->console_socket < 0) {
		launch->console = master;
		return 0;
	}
	bool sent = send_console(launch->console_socket, master);
	close(master);
	return sent ? 0 : give_up_with(launch, "%s: the console cannot be handed over: %s", launch->console_path, strerror(errno));
}

// Fetched under the number that it has in the init: until the planner has handed it over, any call of the launcher's may
// be waiting for it, so that it could not be sent.
static int on_listener(struct launch *launch, int number)
{
	int listener = (int)syscall(SYS_pidfd_getfd, launch->pidfd, number, 0);

	if (listener < 0)
		return give_up_with(launch, "the seccomp listener cannot be taken: %s", strerror(errno));
	send_packet(launch->planner, "n", 1, &listener, 1);
	close(listener);
	return agreed(launch) ? 0 : give_up_with(launch, "the planner is gone");
}

// Until the init is at its door; the report of its birth may come late.
static int follow(struct launch *launch)
{
	static struct packet report;
	bool synced = false, ready = false;
	int64_t listener = -1;
	uint32_t kind;
	int status = 0;

	while (!(ready && launch->pid > 0) && !status) {
		if (!receive_packet(launch->report, &report) || report.size < 16)
			return give_up_with(launch, "the launcher was killed before it was done: the memory limit may be too low to start "
						    "anything (see dmesg(1)), or the seccomp filter may refuse every call");
		memcpy(&kind, report.data, sizeof kind);
		if (kind == REPORT_ERROR) {
			char message[PACKET_LIMIT + 1] = "e";
			memcpy(message + 1, report.data, report.size);
			return give_up(launch, message, report.size + 1);
		}
		if (kind == REPORT_BORN)
			on_born(launch, &report);
		ready |= kind == REPORT_READY;
		synced |= kind == REPORT_SYNC;
		if (kind == REPORT_CONSOLE)
			status = on_console(launch, report.fds[0]);
		if (kind == REPORT_LISTENER)
			memcpy(&listener, report.data + 8, sizeof listener);
		if (listener >= 0 && launch->pid > 0) {
			status = on_listener(launch, (int)listener);
			listener = -1;
		}
		if (synced && launch->pid > 0) {
			synced = false;
			status = on_sync(launch);
		}
	}
	return status;
}

// The program runs from here on, or it is known why it doesn't.
static int open_own_door(struct launch *launch)
{
	static struct packet report;

	send(launch->report, "c", 1, MSG_NOSIGNAL);
	if (receive_packet(launch->report, &report) && report.size >= 16) {
		char message[PACKET_LIMIT + 1] = "e";
		memcpy(message + 1, report.data, report.size);
		return give_up(launch, message, report.size + 1);
	}
	if (!send_packet(launch->planner, "s", 1, NULL, 0) || !agreed(launch))
		return give_up_with(launch, "the planner is gone");
	return 0;
}

static int finish(struct launch *launch)
{
	bool exec = launch->flags & EXEC;

	close(launch->planner);
	if (launch->flags & DETACH)
		return 0;
	int status = attend(launch->pid, launch->pidfd, launch->console);
	if (!exec && !(launch->flags & KEEP) && delete_ended(launch->id) != 0)
		return 1;
	return status;
}

int launch_container(int planner, struct packet *packet)
{
	struct launch launch = {.planner = planner,
				.program = packet->fds[0],
				.table = packet->fds[1],
				.report = -1, .theirs = -1, .door = -1, .pidfd = -1, .console = -1, .console_socket = -1};
	size_t size;
	char *text = read_memfd(packet->fds[2], &size);
	struct flat spec = {text, text + size};
	int status = 0;

	read_spec(&launch, &spec);
	if ((launch.flags & DOOR) && (launch.door = make_door(launch.id)) < 0)
		return give_up_with(&launch, "%s/%s/door: %s", front.root, launch.id, strerror(errno));
	if (*launch.console_path && (launch.console_socket = connect_console(launch.console_path)) < 0)
		return give_up_with(&launch, "console-socket %s: %s", launch.console_path, strerror(errno));
	if (launch.uid != UINT32_MAX)
		chown_stdio(launch.uid);
	if (!start(&launch, packet, &spec))
		return give_up_with(&launch, "the launcher cannot be started: %s", strerror(errno));
	say("debug", "nsexec container setup: the launcher of %s is process %d", launch.id, launch.launcher);
	close_packet(packet);
	if (launch.door >= 0)
		close(launch.door);
	if ((status = follow(&launch)))
		return status;
	say("debug", launch.flags & EXEC ? "setns_init: about to exec" : "init: closing the pipe to signal completion");
	if (!send_packet(planner, "c", 1, NULL, 0) || !agreed(&launch))
		return give_up_with(&launch, "the planner is gone");
	reap(launch.launcher);
	launch.launcher = 0;
	if (*launch.pid_file && !write_pid_file(launch.pid_file, launch.pid))
		return give_up_with(&launch, "pid-file %s: %s", launch.pid_file, strerror(errno));
	if (!(launch.flags & DOOR) && (status = open_own_door(&launch)))
		return status;
	if ((launch.flags & DOOR) && !send_packet(planner, "s", 1, NULL, 0))
		return give_up_with(&launch, "the planner is gone");
	return finish(&launch);
}
