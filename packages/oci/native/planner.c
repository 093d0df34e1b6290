// Finds the planner, and starts it where there is none.
//
// It listens beneath the runtime root. Beside what every helper must have in common with its caller (core's
// front/helper.c) it is the network and cgroup namespaces.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct helper planner = {.kind = "planner", .title = "holdfast-oci-planner"};

// The planner's program lies beside the directory of this one.
static void path_of(char path[PATH_MAX], const char *beneath)
{
	if (!program_path(path, 3, beneath)) // prebuilds/linux-x64/holdfast-oci
		die(1, "/proc/self/exe: %s", strerror(errno));
}

static bool modified(const char *beneath, struct timespec *time)
{
	char path[PATH_MAX];
	struct stat status;

	path_of(path, beneath);
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
	path_of(path, current ? bundle : "/dist/main-planner.js");
}

static void name_planner(void)
{
	planner.key = HELPER_KEY;
	mix(&planner.key, VERSION, strlen(VERSION));
	if (!mix_program(&planner.key, planner.script))
		die(1, "%s: %s", planner.script, strerror(errno));
	mix_world(&planner.key);
	mix_file(&planner.key, "/proc/self/ns/net"); // network devices are moved from there
	mix_file(&planner.key, "/proc/self/ns/cgroup");
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
	// Sticky: the directories of a user's session are cleaned of what is not (XDG base directory specification).
	if (mkdir(path, 0700) == 0 && geteuid() != 0)
		chmod(path, 01700);
	front.root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int connect_planner(void)
{
	static char script[PATH_MAX], node[PATH_MAX], beside[PATH_MAX], root[PATH_MAX];
	const char *mode = getenv("HOLDFAST_OCI_PLANNER");

	script_path(script);
	path_of(beside, "/prebuilds/node");
	if (!find_node(node, beside))
		die(1, "no Node to run on: install Node 24 or later, or name it in HOLDFAST_NODE");
	planner.script = script;
	planner.node = node;
	open_root();
	int connection;
	if (front.root_fd < 0 || (mode && !strcmp(mode, "once")))
		connection = private_helper(&planner);
	else {
		planner.directory = front.root_fd;
		planner.path = realpath(front.root, root) ? root : front.root;
		name_planner();
		connection = connect_helper(&planner);
	}
	if (connection < 0 && errno == EPERM)
		die(1, "%s: the planner's socket belongs to somebody else", front.root);
	if (connection < 0)
		die(1, "%s: no planner: %s", front.root, strerror(errno));
	return connection;
}

const char *planner_complaint(void)
{
	static char text[1024];

	if (planner.path)
		helper_complaint(&planner, text, sizeof text);
	return text;
}
