// holdfast-oci: an OCI runtime's command line, as runc's. The front end of the planner.
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

struct front front = {.root_fd = -1};

static void name_call(void)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		die(1, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(front.call + 2 * i, 3, "%02x", bytes[i]);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} own[] = {{"state", verb_state}, {"list", verb_list}, {"kill", verb_kill}, {"start", verb_start},
		   {"delete", verb_delete}, {"version", print_version}, {"help", print_help}};

	// A caller that ignores it would leave this process without the status of its children.
	signal(SIGCHLD, SIG_DFL);
	parse_globals(argc, argv);
	if (print_verb_help())
		return 0;
	name_call();
	front.root_fd = open(front.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcmp(front.verb, own[i].name))
			return own[i].run();
	return ask_planner(argc, argv);
}
