// Finds the helper, and starts it where there is none.
//
// The name of its socket is made of everything that it must have in common with its caller. So a caller from another
// mount namespace gets a helper there, and after an upgrade the old version's helper is not asked any more; each ends
// by itself when nobody asks it for a while.
//
// The listening socket is made here and handed to the helper, so that nobody waits for it to come up but in the
// socket's own queue.
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELPER_FD 3
#define NAME_LIMIT 64

void mix(uint64_t *key, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		*key = (*key ^ ((const unsigned char *)data)[i]) * 0x100000001b3ULL;
}

void mix_file(uint64_t *key, const char *path)
{
	struct stat status = {0};

	stat(path, &status);
	mix(key, &status.st_dev, sizeof status.st_dev);
	mix(key, &status.st_ino, sizeof status.st_ino);
}

bool mix_program(uint64_t *key, const char *path)
{
	struct stat status = {0};

	if (stat(path, &status) < 0)
		return false;
	mix(key, &status.st_dev, sizeof status.st_dev);
	mix(key, &status.st_ino, sizeof status.st_ino);
	mix(key, &status.st_size, sizeof status.st_size);
	mix(key, &status.st_mtim, sizeof status.st_mtim);
	return true;
}

void mix_world(uint64_t *key)
{
	uid_t user = geteuid();

	mix(key, &user, sizeof user);
	mix_file(key, "/proc/self/ns/mnt");
	mix_file(key, "/proc/self/ns/pid");
	mix_file(key, "/proc/self/ns/user");
	mix_file(key, "/");
}

static void name_of(const struct helper *helper, const char *suffix, char name[NAME_LIMIT])
{
	snprintf(name, NAME_LIMIT, ".%s-%016llx%s", helper->kind, (unsigned long long)helper->key, suffix);
}

static void allow_killing(void)
{
	// The caller may be protected from the out-of-memory killer; the helper can be started again any time.
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, "0", 1) == 1)
		close(fd);
}

static void forget_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
}

static void redirect(const struct helper *helper)
{
	char name[NAME_LIMIT];

	name_of(helper, ".log", name);
	int log = openat(helper->directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(log >= 0 ? log : null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
}

static _Noreturn void become(const struct helper *helper, int socket, const char *path)
{
	// Nothing of the caller's environment: NODE_OPTIONS would run code, extra certificates cost 40 ms.
	char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/",
			       "MALLOC_ARENA_MAX=1", NULL};
	char *arguments[] = {(char *)helper->title, "--v8-pool-size=0", "--single-threaded", "--max-semi-space-size=1",
			     (char *)helper->script, path ? "--serve" : "--once", (char *)path, NULL};

	if (helper->own_network)
		unshare(CLONE_NEWNET); // or else it stays in its first caller's
	setsid();
	setpriority(PRIO_PROCESS, 0, 0); // others will wait for it
	forget_signals();
	umask(022);
	if (path)
		redirect(helper);
	// dup2 to itself would leave it closed by execve.
	if (socket != HELPER_FD)
		dup2(socket, HELPER_FD);
	else
		fcntl(socket, F_SETFD, 0);
	syscall(SYS_close_range, HELPER_FD + 1, ~0U, 0);
	if (chdir("/") == 0)
		execve(helper->node, arguments, environment);
	dprintf(STDERR_FILENO, "%s: %s; install Node 24 or later, or name it in HOLDFAST_NODE\n", helper->node,
		strerror(errno));
	_exit(1);
}

// Not a child of this process: the caller's subreaper, or init, gets it.
static void start(const struct helper *helper, int socket, const char *name)
{
	char path[PATH_MAX];
	pid_t pid = fork();

	if (pid == 0) {
		allow_killing();
		if (fork() == 0 && snprintf(path, sizeof path, "%s/%s", helper->path, name) < PATH_MAX)
			become(helper, socket, path);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start_and_connect(const struct helper *helper, const char *name)
{
	char lock_name[NAME_LIMIT];
	snprintf(lock_name, sizeof lock_name, ".%s.lock", helper->kind);
	int lock = openat(helper->directory, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (lock < 0)
		return -1;
	int connection = -1, listener = -1;
	if (flock(lock, LOCK_EX) == 0)
		connection = connect_at(helper->directory, name, SOCK_SEQPACKET); // somebody else may have been faster
	if (connection < 0) {
		unlinkat(helper->directory, name, 0);
		listener = listen_at(helper->directory, name, SOCK_SEQPACKET);
	}
	if (listener >= 0) {
		start(helper, listener, name);
		// While this end still listens: a helper that fails to start is noticed by the connection's end.
		connection = connect_at(helper->directory, name, SOCK_SEQPACKET);
		close(listener);
	}
	int error = errno;
	close(lock);
	errno = error;
	return connection;
}

static bool is_ours(int connection)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0))
		return true;
	close(connection);
	errno = EPERM;
	return false;
}

int connect_helper(const struct helper *helper)
{
	char name[NAME_LIMIT];

	name_of(helper, "", name);
	int connection = connect_at(helper->directory, name, SOCK_SEQPACKET);
	if (connection < 0)
		connection = start_and_connect(helper, name);
	return connection >= 0 && is_ours(connection) ? connection : -1;
}

int private_helper(const struct helper *helper)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	if (fork() == 0)
		become(helper, ends[1], NULL);
	close(ends[1]);
	return ends[0];
}

void helper_complaint(const struct helper *helper, char *text, size_t size)
{
	char name[NAME_LIMIT];

	name_of(helper, ".log", name);
	int fd = openat(helper->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, size - 1);
	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = 0;
}
