// createContainer and startContainer hooks: a program with the container's state on its stdin, and a time limit.
#include "launcher.h"

#include "text.h"

#include <linux/poll.h>
#include <linux/time_types.h>

#define ARGUMENT_LIMIT 1024

static bool read_vector(struct reader *reader, const char **vector, uint32_t limit)
{
	uint32_t count = read_u32(reader);

	if (count >= limit)
		return false;
	for (uint32_t i = 0; i < count; i++)
		vector[i] = read_text(reader);
	vector[count] = NULL;
	return true;
}

static bool write_all(long fd, const char *text)
{
	long size = (long)text_length(text);

	return sys(write, fd, text, size) == size;
}

// The state, with this process's pid between its parts, as its own pid namespace counts it.
static long state_file(struct launch *launch, const char *before, const char *after)
{
	char pid[24];
	struct line line = {pid, pid + sizeof pid - 1, false};
	long fd = sys(memfd_create, "state", 1 /* MFD_CLOEXEC */);

	if (fd < 0)
		return failed(launch, "memfd_create", "hook state", fd);
	put_number(&line, (uint64_t)sys(getpid));
	*line.at = 0;
	if (!write_all(fd, before) || (*after && !(write_all(fd, pid) && write_all(fd, after))))
		return failed(launch, "write", "hook state", -ENOSPC);
	sys(lseek, fd, 0, 0);
	return fd;
}

static _Noreturn void run_hook(struct launch *launch, long state, const char *path, const char **args, const char **env)
{
	sys(dup3, state, STDIN, 0);
	// A hook's output must not mix with the container's.
	sys(dup3, launch->null, STDOUT, 0);
	sys(dup3, launch->null, STDERR, 0);
	block_signals(0);
	// Before the pivot a hook stands in what will be the root, and finds by relative paths what is mounted there.
	long result = launch->stage < 0 ? 0 : sys(fchdir, launch->root);
	if (result == 0)
		result = sys(execve, path, args, env);
	// The first error that the shim receives counts: this one says more than the parent's.
	report_error(launch, failed(launch, "execve", path, result));
	leave(127);
}

// How it ended, behind its path.
static const char *outcome(const char *path, int status)
{
	static char text[512];
	struct line line = {text, text + sizeof text - 1, false};
	int signal = status & 0x7f;

	put_text(&line, path);
	put_text(&line, signal ? ": signal " : ": exit status ");
	put_number(&line, (uint64_t)(signal ? signal : status >> 8 & 0xff));
	*line.at = 0;
	return text;
}

static long await_hook(struct launch *launch, long child, int pidfd, const char *path, int64_t timeout)
{
	struct pollfd poll = {.fd = pidfd, .events = POLLIN};
	struct __kernel_timespec limit = {timeout / 1000, timeout % 1000 * 1000000};
	int status = 0;
	long result;

	// The kernel writes back what is left of the time.
	do
		result = sys(ppoll, &poll, 1, timeout < 0 ? NULL : &limit, NULL, 8);
	while (result == -EINTR);
	if (result == 0)
		sys(kill, child, SIG_KILL);
	while (sys(wait4, child, &status, WAIT_ALL, NULL) == -EINTR)
		;
	if (result == 0)
		return failed(launch, "hook timed out", path, -ETIMEDOUT);
	return status ? failed(launch, "error running hook", outcome(path, status), -ECANCELED) : 0;
}

long op_hook(struct launch *launch, struct reader *reader)
{
	const char *path = read_text(reader);
	const char *args[ARGUMENT_LIMIT], *env[ARGUMENT_LIMIT];
	bool fits = read_vector(reader, args, ARGUMENT_LIMIT) && read_vector(reader, env, ARGUMENT_LIMIT);
	int64_t timeout = (int64_t)read_u64(reader);
	const char *before = read_text(reader), *after = read_text(reader);
	int pidfd = -1;

	if (!fits)
		return failed(launch, "execve", path, -E2BIG);
	if (reader->broken)
		return 0;
	long state = state_file(launch, before, after);
	if (state < 0)
		return state;
	long child = fork_process(&pidfd);
	if (child < 0)
		return failed(launch, "clone", path, child);
	if (child == 0)
		run_hook(launch, state, path, args, env);
	sys(close, state);
	long result = await_hook(launch, child, pidfd, path, timeout);
	sys(close, pidfd);
	return result;
}
