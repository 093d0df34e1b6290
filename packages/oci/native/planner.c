// Finds the planner, and starts it where there is none.
//
// It listens beneath the runtime root, on a socket whose name is made of everything that a planner must have in common
// with its caller: the version of both programs, the user, the namespaces in which paths and pids mean something, and
// the root directory. So a caller from another mount namespace gets a planner there, and after an upgrade the old
// version's planner is not asked any more; each ends by itself when nobody asks it for a while.
//
// The listening socket is made here and handed to the planner, so that nobody waits for it to come up but in the
// socket's own queue.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLANNER_FD 3

static char complaint_name[72];

static void mix(uint64_t *hash, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3ULL;
}

static void mix_file(uint64_t *hash, const char *path)
{
	struct stat status = {0};

	stat(path, &status);
	mix(hash, &status.st_dev, sizeof status.st_dev);
	mix(hash, &status.st_ino, sizeof status.st_ino);
}

// The planner's program lies beside the directory of this one.
static void program_path(char path[PATH_MAX], const char *beneath)
{
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (size < 0)
		die(1, "/proc/self/exe: %s", strerror(errno));
	path[size] = 0;
	for (int up = 0; up < 3; up++) // prebuilds/linux-x64/holdfast-oci
		*strrchr(path, '/') = 0;
	if (strlen(path) + strlen(beneath) + 1 > PATH_MAX)
		die(1, "the path of holdfast-oci is too long");
	strcat(path, beneath);
}

static bool modified(const char *beneath, struct timespec *time)
{
	char path[PATH_MAX];
	struct stat status;

	program_path(path, beneath);
	if (stat(path, &status) < 0)
		return false;
	*time = status.st_mtim;
	return true;
}

// The one file that tools/bundle.ts makes of the planner's modules starts in half the time. In a checkout it is passed
// over where something was compiled since.
static void script_path(char path[PATH_MAX])
{
	static const char bundle[] = "/dist/main-planner.bundle.js";
	static const char *const compiled[] = {
		"/dist/.tsbuildinfo",
		"/node_modules/@holdfast/core/dist/.tsbuildinfo",
		"/node_modules/@holdfast/plan/dist/.tsbuildinfo",
		"/node_modules/@holdfast/shim/dist/.tsbuildinfo",
		"/node_modules/@holdfast/errors/dist/.tsbuildinfo",
	};
	struct timespec made, time;
	bool current = modified(bundle, &made);

	for (size_t i = 0; i < sizeof compiled / sizeof *compiled && current; i++)
		if (modified(compiled[i], &time))
			current = time.tv_sec < made.tv_sec ||
				  (time.tv_sec == made.tv_sec && time.tv_nsec <= made.tv_nsec);
	program_path(path, current ? bundle : "/dist/main-planner.js");
}

static void planner_name(char name[64], const char *script)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	struct stat status = {0};
	uid_t user = geteuid();

	mix(&hash, VERSION, strlen(VERSION));
	if (stat(script, &status) < 0)
		die(1, "%s: %s", script, strerror(errno));
	mix(&hash, &status.st_ino, sizeof status.st_ino);
	mix(&hash, &status.st_mtim, sizeof status.st_mtim);
	mix(&hash, &user, sizeof user);
	mix_file(&hash, "/proc/self/ns/mnt");
	mix_file(&hash, "/proc/self/ns/pid");
	mix_file(&hash, "/proc/self/ns/net"); // network devices are moved from there
	mix_file(&hash, "/proc/self/ns/user");
	mix_file(&hash, "/proc/self/ns/cgroup");
	mix_file(&hash, "/");
	snprintf(name, 64, ".planner-%016llx", (unsigned long long)hash);
	snprintf(complaint_name, sizeof complaint_name, "%s.log", name);
}

// A Node that is named, the one that this was built with, or the one in PATH.
static void find_node(char path[PATH_MAX])
{
	const char *named = getenv("HOLDFAST_NODE"), *search = getenv("PATH");
	char file[PATH_MAX];

	if (named && *named) {
		snprintf(path, PATH_MAX, "%s", named);
		return;
	}
	program_path(file, "/prebuilds/node");
	ssize_t size = readlink(file, path, PATH_MAX - 1);
	if (size > 0) {
		path[size] = 0;
		if (access(path, X_OK) == 0)
			return;
	}
	for (const char *at = search && *search ? search : "/usr/local/bin:/usr/bin:/bin"; *at;) {
		size_t length = strcspn(at, ":");
		snprintf(path, PATH_MAX, "%.*s/node", (int)length, at);
		if (access(path, X_OK) == 0)
			return;
		at += length + (at[length] == ':');
	}
	snprintf(path, PATH_MAX, "%s", "/usr/bin/node");
}

static void keep_score(void)
{
	// The caller may be protected from the out-of-memory killer; the planner can be started again any time.
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "0", 1) < 0)
		say("debug", "oom_score_adj: %s", strerror(errno));
	close(fd);
}

static _Noreturn void become_planner(int socket, const char *script, const char *name)
{
	bool once = !name;
	char node[PATH_MAX], path[PATH_MAX] = "";
	sigset_t none;
	// Nothing of the caller's environment: NODE_OPTIONS would run code, extra certificates cost 40 ms.
	char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/",
			       "MALLOC_ARENA_MAX=1", NULL};

	find_node(node);
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	umask(022);
	if (!once) {
		char *root = realpath(front.root, NULL);
		snprintf(path, sizeof path, "%s/%s", root ? root : front.root, name);
		int log = openat(front.root_fd, complaint_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		int null = open("/dev/null", O_RDONLY);
		dup2(null, STDIN_FILENO);
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
	}
	char *arguments[] = {"holdfast-oci-planner", "--v8-pool-size=0", "--single-threaded", "--max-semi-space-size=1", (char *)script,
			     once ? "--once" : "--serve", once ? NULL : path, NULL};
	dup2(socket, PLANNER_FD);
	syscall(SYS_close_range, PLANNER_FD + 1, ~0U, 0);
	if (chdir("/") == 0)
		execve(node, arguments, environment);
	dprintf(STDERR_FILENO, "%s: %s; install Node 24 or later, or name it in HOLDFAST_NODE\n", node, strerror(errno));
	_exit(1);
}

// Not a child of this process: the caller's subreaper, or init, gets it.
static void start_planner(int socket, const char *script, const char *name)
{
	pid_t pid = fork();

	if (pid == 0) {
		keep_score();
		if (fork() == 0)
			become_planner(socket, script, name);
		_exit(0);
	}
	if (pid > 0)
		reap(pid);
}

static int start_and_connect(const char *name, const char *script)
{
	int lock = openat(front.root_fd, ".planner.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		die(1, "%s/.planner.lock: %s", front.root, strerror(errno));
	// Somebody else may have been faster.
	int connection = connect_at(front.root_fd, name, SOCK_SEQPACKET);
	if (connection < 0) {
		unlinkat(front.root_fd, name, 0);
		int listener = listen_at(front.root_fd, name, SOCK_SEQPACKET);
		if (listener < 0)
			die(1, "%s/%s: %s", front.root, name, strerror(errno));
		say("debug", "starting a planner for %s", front.root);
		start_planner(listener, script, name);
		close(listener);
		connection = connect_at(front.root_fd, name, SOCK_SEQPACKET);
	}
	close(lock);
	return connection;
}

// One of this call's own: where the root can't be used, or is not to be.
static int private_planner(const char *script)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die(1, "socketpair: %s", strerror(errno));
	if (fork() == 0)
		become_planner(ends[1], script, NULL);
	close(ends[1]);
	return ends[0];
}

static void open_root(void)
{
	char path[PATH_MAX];

	if (front.root_fd >= 0)
		return;
	snprintf(path, sizeof path, "%s", front.root);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	mkdir(path, 0700);
	front.root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void check_peer(int connection)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || (peer.uid != geteuid() && peer.uid != 0))
		die(1, "%s: the planner's socket belongs to somebody else", front.root);
}

int connect_planner(void)
{
	char script[PATH_MAX], name[64];
	const char *mode = getenv("HOLDFAST_OCI_PLANNER");

	script_path(script);
	open_root();
	if (front.root_fd < 0 || (mode && !strcmp(mode, "once")))
		return private_planner(script);
	planner_name(name, script);
	int connection = connect_at(front.root_fd, name, SOCK_SEQPACKET);
	if (connection < 0)
		connection = start_and_connect(name, script);
	if (connection < 0)
		die(1, "%s/%s: %s", front.root, name, strerror(errno));
	check_peer(connection);
	return connection;
}

const char *planner_complaint(void)
{
	static char text[1024];
	int fd = front.root_fd < 0 ? -1 : openat(front.root_fd, complaint_name, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	text[size > 0 ? size : 0] = 0;
	return text;
}
