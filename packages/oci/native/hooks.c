// Hooks of the host's side: createRuntime, poststart, poststop. They run as children of this process, and so with the
// caller's namespaces, limits and cgroup.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct hook {
	const char *kind, *directory, *path;
	char **args, **env;
	int64_t timeout; // milliseconds, -1 for none
	const char *before, *after; // the state, around the pid
};

static struct hook read_hook(struct flat *flat)
{
	struct hook hook = {.kind = flat_text(flat)};

	hook.directory = flat_text(flat);
	hook.path = flat_text(flat);
	hook.args = flat_texts(flat);
	hook.env = flat_texts(flat);
	hook.timeout = flat_i64(flat);
	hook.before = flat_text(flat);
	hook.after = flat_text(flat);
	return hook;
}

static int state_memfd(const struct hook *hook, pid_t pid)
{
	char *text = NULL;
	int size = *hook->after ? asprintf(&text, "%s%d%s", hook->before, pid, hook->after)
				: asprintf(&text, "%s", hook->before);
	int fd = memfd_of("state", text, (size_t)size);

	lseek(fd, 0, SEEK_SET);
	free(text);
	return fd;
}

static _Noreturn void become_hook(const struct hook *hook, int state, int output)
{
	sigset_t none;

	setsid(); // so that what it starts can be ended with it
	dup2(state, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir(hook->directory) == 0)
		execve(hook->path, hook->args, hook->env);
	dprintf(STDERR_FILENO, "%s: %s", hook->path, strerror(errno));
	_exit(127);
}

// False where it did not end in time.
static bool await_hook(pid_t pid, int64_t timeout, int *status)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	int ready;

	do
		ready = poll(&poll_fd, 1, timeout > 0x7fffffff ? -1 : (int)timeout);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		kill(-pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	close(pidfd);
	return ready != 0;
}

static const char *run_hook(const struct hook *hook, int index, pid_t pid)
{
	static char failure[2048];
	int state = state_memfd(hook, pid), output = memfd_create("output", MFD_CLOEXEC), status = 0;
	char said[1024] = "";

	say("debug", "running %s hook #%d: %s", hook->kind, index, hook->path);
	pid_t child = fork();
	if (child == 0)
		become_hook(hook, state, output);
	bool in_time = child > 0 && await_hook(child, hook->timeout, &status);
	ssize_t size = pread(output, said, sizeof said - 1, 0);
	said[size > 0 ? size : 0] = 0;
	close(state);
	close(output);
	if (in_time && status == 0)
		return NULL;
	char why[64] = "cannot be started";
	if (child > 0 && !in_time)
		snprintf(why, sizeof why, "timed out after %lld ms", (long long)hook->timeout);
	else if (child > 0 && WIFSIGNALED(status))
		snprintf(why, sizeof why, "was killed by signal %d", WTERMSIG(status));
	else if (child > 0)
		snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
	snprintf(failure, sizeof failure, "error running %s hook #%d: %s: %s, output: %s", hook->kind, index, hook->path,
		 why, said);
	return failure;
}

const char *run_hooks(struct flat *flat, pid_t pid)
{
	uint32_t count = flat_u32(flat), goes_on = flat_u32(flat);
	const char *failure = NULL;

	for (uint32_t i = 0; i < count; i++) {
		struct hook hook = read_hook(flat);
		failure = run_hook(&hook, (int)i, pid);
		// poststop hooks: the rest run whatever became of one (runtime.md#lifecycle)
		if (failure && !goes_on)
			return failure;
		if (failure)
			say("warning", "%s", failure);
	}
	return NULL;
}

void answer_hooks(int planner, struct packet *packet)
{
	size_t size;
	char *text = read_memfd(packet->fds[0], &size), answer[PACKET_LIMIT] = "r";
	struct flat flat = {text, text + size};
	const char *failure = run_hooks(&flat, 0);

	if (failure)
		snprintf(answer + 1, sizeof answer - 1, "%s", failure);
	close_packet(packet);
	send_packet(planner, answer, strlen(answer), NULL, 0);
	free(text);
}
