// Starting the launcher, and what a process leaves behind.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

// Copies above every number that is a target, then each to its place; the program right behind them.
static int place_descriptors(int program, const int *fds, unsigned count)
{
	int above = (int)count + 1;
	int *moved = calloc(count, sizeof *moved);

	for (unsigned i = 0; i < count; i++)
		if (fds[i] > above)
			above = fds[i];
	program = fcntl(program, F_DUPFD_CLOEXEC, above + 1);
	for (unsigned i = 0; i < count; i++)
		if ((moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above + 1)) < 0)
			return -1;
	for (unsigned i = 0; i < count; i++)
		if (dup3(moved[i], (int)i, 0) < 0)
			return -1;
	if (program < 0 || dup3(program, (int)count, O_CLOEXEC) < 0)
		return -1;
	return (int)syscall(SYS_close_range, count + 1, ~0U, 0);
}

static _Noreturn void become_launcher(int program, const char *title, const int *fds, unsigned count)
{
	sigset_t all;
	char *arguments[] = {(char *)title, NULL}, *environment[] = {NULL};

	// It starts with everything blocked, and nothing ignored: both would survive into the program.
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	if (place_descriptors(program, fds, count) == 0)
		syscall(SYS_execveat, (int)count, "", arguments, environment, AT_EMPTY_PATH);
	_exit(125);
}

pid_t start_launcher(int program, const char *title, const int *fds, unsigned count, int cgroup)
{
	struct clone_args args = {.exit_signal = SIGCHLD};

	if (cgroup >= 0) {
		// Born there rather than moved: a write to cgroup.procs waits for an RCU grace period.
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
	if (pid == 0)
		become_launcher(program, title, fds, count);
	return pid;
}

void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void chown_stdio(uid_t uid)
{
	struct stat status, null;
	bool has_null = stat("/dev/null", &null) == 0;

	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &status) < 0 || status.st_uid == uid)
			continue;
		if (has_null && status.st_rdev == null.st_rdev && S_ISCHR(status.st_mode))
			continue;
		// What can't be given away (a socket's end, a read-only file system) works as it is.
		if (fchown(fd, uid, (gid_t)-1) < 0)
			say("debug", "descriptor %d stays its owner's: %s", fd, strerror(errno));
	}
}

// Renamed into place: a watcher sees the whole number or nothing.
bool write_pid_file(const char *path, pid_t pid)
{
	char *temporary = NULL, text[24];
	const char *slash = strrchr(path, '/');
	int length = slash ? (int)(slash - path) + 1 : 0;

	if (asprintf(&temporary, "%.*s.%s", length, path, path + length) < 0)
		return false;
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int size = snprintf(text, sizeof text, "%d", pid);
	bool written = fd >= 0 && write(fd, text, (size_t)size) == size;
	if (fd >= 0)
		close(fd);
	written = written && rename(temporary, path) == 0;
	int error = errno;
	if (!written)
		unlink(temporary);
	free(temporary);
	errno = error;
	return written;
}
