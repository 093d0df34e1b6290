// holdfast-bridge, the CNI plugin: what runtimes execute. needs: root, for a helper; execve(2), unix(7), proc(5).
//
// A failure before Node runs is said as the specification wants it: JSON on standard output.
#include "bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RUNTIME_DIRECTORY "/run/holdfast-bridge"

extern char **environ;

static int fail(const char *message, const char *details)
{
	printf("{\"cniVersion\":\"1.1.0\",\"code\":199,\"msg\":\"holdfast-bridge: %s\",\"details\":\"%s\"}\n", message, details);
	return 1;
}

static bool read_input(struct config *config)
{
	size_t room = 0;

	for (;;) {
		if (config->size == room) {
			char *larger = realloc(config->text, room += 65536);
			if (!larger)
				return false;
			config->text = larger;
		}
		ssize_t size = read(STDIN_FILENO, config->text + config->size, room - config->size);
		if (size == 0)
			return true;
		if (size < 0 && errno != EINTR)
			return false;
		config->size += size > 0 ? (size_t)size : 0;
	}
}

// Node finds on standard input what was read here.
static bool put_input_back(const struct config *config)
{
	int fd = memfd_with("config", config->text, config->size);

	return fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO;
}

// Variables that change how Node starts are meant for other programs.
static void forget_node_variables(void)
{
	char **to = environ;

	for (char **from = environ; *from; from++)
		if (strncmp(*from, "NODE_", 5) != 0)
			*to++ = *from;
	*to = NULL;
}

// A path that names another file in each process, or in each working directory.
static bool is_of_this_process(const char *path, size_t size)
{
	static const char *const own[] = {"/proc/self", "/proc/thread-self", "/dev/"};

	if (size > 0 && path[0] != '/')
		return true;
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (size >= strlen(own[i]) && !strncmp(path, own[i], strlen(own[i])))
			return true;
	return false;
}

static bool means_the_same_elsewhere(void)
{
	const char *netns = getenv("CNI_NETNS"), *at = getenv("CNI_PATH");

	if (netns && is_of_this_process(netns, strlen(netns)))
		return false;
	while (at && *at) {
		size_t length = strcspn(at, ":");
		if (is_of_this_process(at, length))
			return false;
		at += length + (at[length] == ':');
	}
	return true;
}

// A helper must not have more rights than its caller, nor fewer: capabilities, filters, and the label of SELinux or
// AppArmor.
static bool mix_rights(uint64_t *key)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {0};
	int limits[] = {prctl(PR_GET_SECCOMP), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)};
	char label[4096];
	int fd = open("/proc/self/attr/current", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, label, sizeof label);

	if (fd >= 0)
		close(fd);
	mix(key, label, size > 0 ? (size_t)size : 0);
	mix(key, limits, sizeof limits);

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	for (int i = 0; i < 2; i++)
		mix(key, &data[i].effective, sizeof data[i].effective);
	return true;
}

// Nobody else may have a hand in it.
static int open_directory(const char *path)
{
	struct stat status;

	mkdir(path, 0700);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &status) == 0 && status.st_uid == geteuid() && (status.st_mode & 022) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

// HOLDFAST_BRIDGE_HELPERS: another directory for their sockets, or `none`. False where there can be no helper.
static bool name_helper(struct helper *helper)
{
	const char *named = getenv("HOLDFAST_BRIDGE_HELPERS");

	helper->path = named && *named ? named : RUNTIME_DIRECTORY;
	if (geteuid() != 0 || helper->path[0] != '/')
		return false;
	mix(&helper->key, VERSION, sizeof VERSION);
	if (!mix_program(&helper->key, helper->script) || !mix_program(&helper->key, helper->node) || !mix_rights(&helper->key))
		return false;
	mix_world(&helper->key);
	helper->directory = open_directory(helper->path);
	return helper->directory >= 0;
}

// While the runtime prepares what it asks next. Nobody waits.
static void look_in(const struct helper *helper)
{
	int connection = connect_helper(helper);

	if (connection >= 0)
		close(connection);
}

int main(void)
{
	char script[PATH_MAX], beside[PATH_MAX], node[PATH_MAX];
	struct config config = {0};
	int fd;

	// Where a caller closed one of its three, the next file must not become it.
	while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
		;
	close(fd);
	// A caller that ignores it would leave this process without the status of its children.
	signal(SIGCHLD, SIG_DFL);
	// It lies in prebuilds/linux-x64.
	if (!program_path(script, 3, "/dist/holdfast-bridge.cjs") || !program_path(beside, 1, "/node"))
		return fail("cannot tell where it lies", "/proc must be mounted.");
	if (access(script, R_OK) < 0)
		return fail("dist/holdfast-bridge.cjs is missing", "Link to this file instead of copying it.");
	if (!find_node(node, beside))
		return fail("no Node to run on", "Install Node 24 or later, or set HOLDFAST_NODE to its path.");
	if (!read_input(&config))
		return fail("the configuration cannot be read from standard input", strerror(errno));
	struct helper helper = {.directory = -1,
				.kind = "helper",
				.key = HELPER_KEY,
				.node = node,
				.script = script,
				.title = "holdfast-bridge",
				.own_network = true};
	bool helped = name_helper(&helper);
	if (answer_version(&config)) {
		if (helped)
			look_in(&helper);
		return 0;
	}
	int status = helped && means_the_same_elsewhere() ? ask_helper(&helper, &config) : -1;
	if (status >= 0)
		return status;
	if (!put_input_back(&config))
		return fail("the configuration cannot be handed on", strerror(errno));
	forget_node_variables();
	char *const arguments[] = {"holdfast-bridge", "--single-threaded", "--v8-pool-size=0", script, NULL};
	execve(node, arguments, environ);
	return fail("Node does not start", strerror(errno));
}
