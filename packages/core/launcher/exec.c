// The program itself: execvp(3)'s rules, and the reaping init that stays as PID 1.
#include "launcher.h"

#include "text.h"

#include <linux/prctl.h>
#include <linux/time_types.h>
#include <asm/ioctls.h>

#define PATH_LIMIT 4096
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct program {
	const char **args, **env;
};

// Pointers to the texts of a list; they stay in the table's mapping.
static const char **read_list(struct launch *launch, struct reader *reader)
{
	struct reader ahead = *reader;
	uint32_t count = skip_texts(&ahead);
	long at = reader->broken || ahead.broken
			  ? -EBADMSG
			  : sys(mmap, 0, ((size_t)count + 1) * sizeof(char *), 3, 0x22 /* private, anonymous */, -1, 0);

	if (at < 0 && at > -4096) {
		failed(launch, "mmap", "arguments", at);
		return NULL;
	}
	const char **list = (const char **)at;
	read_u32(reader);
	for (uint32_t i = 0; i < count; i++)
		list[i] = read_text(reader);
	return list;
}

static const char *search_path(const char **env)
{
	for (; *env; env++)
		if (text_starts(*env, "PATH="))
			return *env + 5;
	return DEFAULT_PATH;
}

// One entry of PATH with the program's name behind it; false where it is too long to exist.
static bool join_path(char *out, const char *directory, size_t length, const char *name)
{
	size_t name_length = text_length(name);

	if (length + name_length + 3 > PATH_LIMIT)
		return false;
	if (!length) // an empty entry means the working directory
		out[length++] = '.';
	else
		memcpy(out, directory, length);
	out[length++] = '/';
	memcpy(out + length, name, name_length + 1);
	return true;
}

// Returns only on failure. As execvp(3): what may not be executed is remembered while the search goes on.
static long execute(const struct program *program)
{
	const char *name = program->args[0], *at = search_path(program->env);
	char path[PATH_LIMIT];
	long refused = 0;

	for (const char *c = name; *c; c++)
		if (*c == '/')
			return sys(execve, name, program->args, program->env);
	if (!*name)
		return -ENOENT;
	for (;; at++) {
		const char *start = at;
		while (*at && *at != ':')
			at++;
		if (join_path(path, start, (size_t)(at - start), name)) {
			long result = sys(execve, path, program->args, program->env);
			if (result == -EACCES)
				refused = result;
			else if (result != -ENOENT && result != -ENOTDIR)
				return result;
		}
		if (!*at)
			return refused ? refused : -ENOENT;
	}
}

// execvp(3) before its time, so that `create` says what `start` would: whether a file is there that may be executed.
// What else the call may answer, a filter of the container's for instance, is left to the execution itself.
static long executable(const char *path)
{
	struct kernel_stat_ids status;
	long result = sys(faccessat, AT_FDCWD, path, 1 /* X_OK */);

	if (result == -ENOENT || result == -ENOTDIR || result == -EACCES)
		return result;
	return stat_fd(AT_FDCWD, path, &status) == 0 && (status.mode & 0170000) == 0040000 ? -EACCES : 0;
}

static long look_up(const char *name, const char *at)
{
	char path[PATH_LIMIT];
	long refused = 0;

	for (const char *c = name; *c; c++)
		if (*c == '/')
			return executable(name);
	for (;; at++) {
		const char *start = at;
		while (*at && *at != ':')
			at++;
		if (join_path(path, start, (size_t)(at - start), name)) {
			long result = executable(path);
			if (result == 0)
				return 0;
			if (result == -EACCES)
				refused = result;
		}
		if (!*at)
			return refused ? refused : -ENOENT;
	}
}

long op_find_program(struct launch *launch, struct reader *reader)
{
	const char *name = read_text(reader), *path = read_text(reader);

	if (reader->broken)
		return 0;
	long result = *name ? look_up(name, *path ? path : DEFAULT_PATH) : -ENOENT;
	return result < 0 ? failed(launch, "execve", name, result) : 0;
}

// Out of the way of the numbers below `limit`.
static long move_above(int *fd, int limit)
{
	if (*fd < 0 || *fd >= limit)
		return 0;
	long moved = sys(fcntl, *fd, F_DUPFD_CLOEXEC, limit);
	if (moved < 0)
		return moved;
	sys(close, *fd);
	*fd = (int)moved;
	return 0;
}

// Descriptors that the program inherits, as 3 and on, in the table's order.
long op_preserve(struct launch *launch, struct reader *reader)
{
	uint32_t count = read_u32(reader);
	struct reader again = *reader;
	int limit = STDERR + 1 + (int)count;
	long result = 0;

	if (count > 1000)
		return failed(launch, "dup3", "too many descriptors to preserve", -EMFILE);
	int *own[] = {&launch->report, &launch->proc, &launch->null};
	for (size_t i = 0; i < sizeof own / sizeof *own && result >= 0; i++)
		result = move_above(own[i], limit);
	int moved[count + 1];
	for (uint32_t i = 0; i < count && result >= 0; i++)
		moved[i] = (int)(result = sys(fcntl, read_fd(&again), F_DUPFD_CLOEXEC, limit));
	for (uint32_t i = 0; i < count && result >= 0; i++)
		result = sys(dup3, moved[i], STDERR + 1 + (int)i, 0);
	for (uint32_t i = 0; i < count && result >= 0; i++)
		sys(close, moved[i]);
	reader->broken |= again.broken;
	return result < 0 ? failed(launch, "dup3", "descriptors to preserve", result) : 0;
}

static _Noreturn void become(struct launch *launch, const struct program *program)
{
	block_signals(0);
	long result = execute(program);
	// Nothing may act on signals or write to the container's stdio from here.
	failed(launch, "execve", program->args[0], result);
	report_error(launch, result);
	leave(result == -ENOENT || result == -ENOTDIR ? 127 : 126);
}

static uint64_t bit_of(int signal)
{
	return 1ULL << (signal - 1);
}

// Reaps everything; returns once `child` is among it.
static bool reap(long child, int *status)
{
	bool ended = false;
	int one = 0;

	for (;;) {
		long pid = sys(wait4, -1, &one, WAIT_ALL | WAIT_NOHANG, NULL);
		if (pid <= 0)
			return ended;
		if (pid == child) {
			*status = one;
			ended = true;
		}
	}
}

// PID 1: hands signals on, reaps orphans, ends as its child ends. Signals stay blocked and are fetched.
static _Noreturn void serve_as_init(long child)
{
	// Stopping and terminal signals are between the terminal and its foreground group.
	const uint64_t ignored = bit_of(21 /* SIGTTIN */) | bit_of(22 /* SIGTTOU */) | bit_of(20 /* SIGTSTP */);
	uint64_t all = ~0ULL;
	int status = 0;

	for (;;) {
		long signal = sys(rt_sigtimedwait, &all, NULL, NULL, sizeof all);
		if (signal <= 0)
			continue;
		if (signal != SIG_CHLD && !(ignored & bit_of((int)signal)))
			sys(kill, child, signal);
		if (reap(child, &status))
			leave(status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
	}
}

long op_exec(struct launch *launch, struct reader *reader)
{
	bool init = read_u32(reader);
	struct program program = {.args = read_list(launch, reader)};

	program.env = program.args ? read_list(launch, reader) : NULL;
	if (reader->broken || !program.args || !program.env)
		return -EBADMSG;
	if (!program.args[0])
		return failed(launch, "execve", "no program given", -EINVAL);
	if (!launch->has_umask)
		sys(umask, 022);
	if (!init)
		become(launch, &program);
	long child = fork_process(NULL);
	if (child < 0)
		return failed(launch, "clone", "init's child", child);
	if (child == 0) {
		// A group of its own, in the foreground: ctrl-C reaches the program, not PID 1.
		sys(setpgid, 0, 0);
		int group = (int)sys(getpid);
		if (launch->has_terminal)
			sys(ioctl, STDIN, TIOCSPGRP, &group);
		become(launch, &program);
	}
	// The report channel ends when the child executes; nothing of the launch stays open here.
	sys(close_range, 3, ~0U, 0);
	serve_as_init(child);
}
