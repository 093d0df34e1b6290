// What --help and --version print. The program calls itself as it was called: a link may have another runtime's name.
#include "front.h"

#include <stdio.h>
#include <string.h>

#define MAKING                                                                                       \
	"   --bundle DIR, -b DIR      the bundle's directory (default: the current one)\n"            \
	"   --console-socket PATH     where the terminal's descriptor is sent\n"                      \
	"   --pid-file FILE           where the process id is written\n"                              \
	"   --no-pivot                change the root without pivot_root(2)\n"                        \
	"   --no-new-keyring          keep the caller's session keyring\n"                            \
	"   --preserve-fds N          hand on N descriptors from 3 (behind LISTEN_FDS)\n"

static const struct {
	const char *verb, *what, *arguments, *options;
} verbs[] = {
	{"checkpoint", "checkpoint a running container (refused: there is no CRIU behind it)", "<container-id>", ""},
	{"create", "create a container", "<container-id>", MAKING},
	{"delete", "delete what a container holds", "<container-id>",
	 "   --force, -f               kill it first where it runs; an unknown id is no error\n"},
	{"events", "display OOM events and usage of a container", "<container-id>",
	 "   --interval DURATION       between two samples (default: 5s)\n"
	 "   --stats                   one sample, and end\n"},
	{"exec", "execute one more process in a container", "<container-id> <command> [arguments...]",
	 "   --process FILE, -p FILE   its description (JSON) in place of a command\n"
	 "   --console-socket PATH     where the terminal's descriptor is sent\n"
	 "   --cwd DIR                 its working directory\n"
	 "   --env NAME=VALUE, -e …    one more variable\n"
	 "   --tty, -t                 give it a terminal\n"
	 "   --user UID[:GID], -u …    whose it is\n"
	 "   --additional-gids GID, -g …\n"
	 "   --detach, -d              don't wait for it\n"
	 "   --pid-file FILE           where its process id is written\n"
	 "   --process-label LABEL     SELinux's label\n"
	 "   --apparmor PROFILE        AppArmor's profile\n"
	 "   --no-new-privs\n"
	 "   --cap CAPABILITY, -c …    one more capability\n"
	 "   --preserve-fds N          hand on N descriptors from 3 (behind LISTEN_FDS)\n"
	 "   --cgroup PATH             beneath the container's ([CONTROLLER,…:]PATH)\n"
	 "   --ignore-paused           also where the container is paused\n"},
	{"features", "show what is supported", "", ""},
	{"kill", "send a signal (default: SIGTERM) to a container's init process", "<container-id> [signal]",
	 "   --all, -a                 to all processes of the container\n"},
	{"list", "lists containers of the root", "",
	 "   --format FORMAT, -f …     table or json (default: table)\n"
	 "   --quiet, -q               ids alone\n"},
	{"pause", "pause suspends all processes inside the container", "<container-id>", ""},
	{"ps", "ps displays the processes of a container", "<container-id> [ps options]",
	 "   --format FORMAT, -f …     table or json (default: table)\n"},
	{"restore", "restore a container from a checkpoint (refused: there is no CRIU behind it)", "<container-id>", ""},
	{"resume", "resumes all processes that have been paused", "<container-id>", ""},
	{"run", "create and run a container", "<container-id>",
	 MAKING "   --detach, -d              don't wait for it\n"
		"   --keep                    don't delete it when it ends\n"
		"   --no-subreaper            of no effect: there is no process in between\n"},
	{"spec", "create a new specification file", "",
	 "   --bundle DIR, -b DIR      where it is written (default: the current directory)\n"
	 "   --rootless                for a user who isn't root\n"},
	{"start", "executes the user defined process in a created container", "<container-id>", ""},
	{"state", "output the state of a container", "<container-id>", ""},
	{"update", "update a container's limits", "<container-id>",
	 "   --resources FILE, -r …    linux.resources (JSON; -: standard input)\n"
	 "   --blkio-weight N          --cpu-period USEC     --cpu-quota USEC\n"
	 "   --cpu-burst USEC          --cpu-share N         --cpu-idle N\n"
	 "   --cpu-rt-period USEC      --cpu-rt-runtime USEC\n"
	 "   --cpuset-cpus LIST        --cpuset-mems LIST\n"
	 "   --memory SIZE             --memory-reservation SIZE\n"
	 "   --memory-swap SIZE        --pids-limit N\n"},
};

static const char *own_name(void)
{
	const char *slash = strrchr(front.argv[0], '/');
	const char *name = slash ? slash + 1 : front.argv[0];

	return *name ? name : "holdfast-oci";
}

int print_version(void)
{
	printf("%s version %s\n", own_name(), VERSION);
	if (*COMMIT)
		printf("commit: %s\n", COMMIT);
	puts("spec: 1.3.0");
	return 0;
}

int print_help(void)
{
	printf("NAME:\n   %s - Open Container Initiative runtime\n\n"
	       "Holdfast's runtime for engines that start one: its commands, options and texts are runc's.\n\n"
	       "USAGE:\n   %s [global options] command [command options] [arguments...]\n\nVERSION:\n   %s\n\nCOMMANDS:\n",
	       own_name(), own_name(), VERSION);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		printf("   %-11s %s\n", verbs[i].verb, verbs[i].what);
	puts("\nGLOBAL OPTIONS:\n"
	     "   --root DIR          where the containers' states are kept (default: /run/holdfast-oci)\n"
	     "   --log FILE          where messages go (default: stderr)\n   --log-format FORMAT text or json\n"
	     "   --debug             log more\n   --systemd-cgroup    cgroups are scopes of systemd\n   --version, -v\n   --help, -h");
	return 0;
}

// Not in the command of an exec, nor among ps(1)'s options.
static bool asks_for_help(void)
{
	bool others = !strcmp(front.verb, "exec") || !strcmp(front.verb, "ps");
	int end = others ? front.verb_at + 2 : front.argc;

	for (int at = front.verb_at + 1; at < end && at < front.argc; at++)
		if (!strcmp(front.argv[at], "--help") || !strcmp(front.argv[at], "-h"))
			return true;
	return false;
}

bool print_verb_help(void)
{
	if (!front.verb_at || !asks_for_help())
		return false;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (strcmp(front.verb, verbs[i].verb))
			continue;
		const char *options = verbs[i].options;
		printf("NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s%s%s%s\n", own_name(), front.verb, verbs[i].what, own_name(),
		       front.verb, *options ? " [command options]" : "", *verbs[i].arguments ? " " : "", verbs[i].arguments);
		if (*options)
			printf("\nOPTIONS:\n%s", options);
		return true;
	}
	return false;
}
