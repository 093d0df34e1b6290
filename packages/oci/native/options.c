// The global options, as urfave/cli takes them: one dash or two, `--name value` or `--name=value`.
#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "holdfast-oci"

// user_namespaces(7): the initial one maps every id to itself.
static bool in_user_namespace(void)
{
	unsigned inside = 1, outside = 0, size = 0;
	FILE *map = fopen("/proc/self/uid_map", "re");

	if (!map)
		return false;
	bool read = fscanf(map, "%u %u %u", &inside, &outside, &size) == 3;
	fclose(map);
	return !read || inside || outside || size != UINT32_MAX;
}

#define USUAL_ROOT "/run/" NAME

// Whether the usual root is this process's to write, or can be made.
static bool has_usual_root(void)
{
	return access(USUAL_ROOT, W_OK) == 0 || (errno == ENOENT && access("/run", W_OK) == 0);
}

// As runc, who isn't root has one of their own, and so has a user's root of a user namespace. Engines don't hand USER on
// (podman): who may not write in the usual one is no root of the host's either.
static const char *default_root(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"), *user = getenv("USER");
	bool own = geteuid() != 0 ||
		   (in_user_namespace() && ((user && *user && strcmp(user, "root")) || !has_usual_root()));
	char *path;

	return own && runtime && *runtime == '/' && asprintf(&path, "%s/" NAME, runtime) > 0 ? path : USUAL_ROOT;
}

static const char *name_of(const char *argument)
{
	if (argument[0] != '-' || !argument[1])
		return NULL;
	return argument + (argument[1] == '-' ? 2 : 1);
}

const char *option_value(char **argv, int argc, int *at, const char *name)
{
	const char *given = name_of(argv[*at]);
	size_t length = strlen(name);

	if (!given || strncmp(given, name, length))
		return NULL;
	if (given[length] == '=')
		return given + length + 1;
	if (given[length])
		return NULL;
	if (*at + 1 >= argc)
		die(1, "flag needs an argument: -%s", name);
	return argv[++*at];
}

bool is_switch(const char *argument, const char *name, bool *value)
{
	const char *given = name_of(argument);
	size_t length = strlen(name);

	if (!given || strncmp(given, name, length) || (given[length] && given[length] != '='))
		return false;
	*value = !given[length] || !strcmp(given + length, "=true") || !strcmp(given + length, "=1");
	return true;
}

static void take_global(int argc, char **argv, int *at)
{
	const char *value;
	bool ignored;

	if ((value = option_value(argv, argc, at, "root"))) {
		front.root = value;
	} else if ((value = option_value(argv, argc, at, "log-format"))) {
		if (strcmp(value, "json") && strcmp(value, "text"))
			die(1, "invalid log-format: %s", value);
		front.log_json = !strcmp(value, "json");
	} else if ((value = option_value(argv, argc, at, "log"))) {
		front.log_path = *value && strcmp(value, "/dev/stderr") ? value : NULL;
	} else if ((value = option_value(argv, argc, at, "rootless"))) {
		if (strcmp(value, "auto") && strcmp(value, "true") && strcmp(value, "false"))
			die(1, "invalid value for --rootless: %s (auto, true or false)", value);
	} else if (option_value(argv, argc, at, "criu")) {
		return; // of runc's own workings
	} else if (is_switch(argv[*at], "debug", &front.debug)) {
		return;
	} else if (is_switch(argv[*at], "version", &ignored) || is_switch(argv[*at], "v", &ignored)) {
		front.verb = "version";
	} else if (is_switch(argv[*at], "help", &ignored) || is_switch(argv[*at], "h", &ignored)) {
		front.verb = "help";
	} else if (!is_switch(argv[*at], "systemd-cgroup", &ignored)) {
		die(1, "flag provided but not defined: -%s", name_of(argv[*at]));
	}
}

void parse_globals(int argc, char **argv)
{
	int at = 1;

	front.argc = argc;
	front.argv = argv;
	for (; at < argc && argv[at][0] == '-' && !front.verb; at++)
		take_global(argc, argv, &at);
	if (!front.root)
		front.root = default_root();
	if (front.verb)
		return;
	front.verb = at < argc ? argv[at] : "help";
	front.verb_at = at;
}

char **positional(int least, int most, int *count)
{
	char **found = calloc((size_t)front.argc + 1, sizeof *found);

	*count = 0;
	for (int at = front.verb_at + 1; at < front.argc; at++) {
		const char *argument = front.argv[at];
		if (argument[0] == '-' && argument[1] && strcmp(argument, "--"))
			die(1, "flag provided but not defined: -%s", name_of(argument));
		if (strcmp(argument, "--"))
			found[(*count)++] = front.argv[at];
	}
	if (*count < least || *count > most)
		die(1, "\"%s\" requires %s %d argument(s)", front.verb, least == most ? "exactly" : "a minimum of", least);
	return found;
}
