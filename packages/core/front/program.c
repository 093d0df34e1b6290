// Where the front end's own files lie, and a Node to run them on: runtimes call their plugins with whatever PATH they
// were given.
#include "warm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool program_path(char path[PATH_MAX], int up, const char *beneath)
{
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (size < 0)
		return false;
	path[size] = 0;
	for (; up > 0; up--) {
		char *slash = strrchr(path, '/');
		if (slash)
			*slash = 0;
	}
	if (strlen(path) + strlen(beneath) + 1 > PATH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcat(path, beneath);
	return true;
}

static bool runs(const char *path)
{
	return access(path, X_OK) == 0;
}

bool find_node(char path[PATH_MAX], const char *beside)
{
	static const char *const usual[] = {"/usr/local/bin/node", "/usr/bin/node"};
	const char *named = getenv("HOLDFAST_NODE"), *search = getenv("PATH");

	if (named && named[0] == '/' && snprintf(path, PATH_MAX, "%s", named) < PATH_MAX && runs(path))
		return true;
	// Where the link leads, so that it may be taken away while the helper runs.
	ssize_t size = beside ? readlink(beside, path, PATH_MAX - 1) : -1;
	if (size > 0) {
		path[size] = 0;
		if (runs(path))
			return true;
	}
	for (const char *at = search ? search : ""; *at;) {
		size_t length = strcspn(at, ":");
		// A relative directory means another in each caller.
		if (*at == '/' && snprintf(path, PATH_MAX, "%.*s/node", (int)length, at) < PATH_MAX && runs(path))
			return true;
		at += length + (at[length] == ':');
	}
	for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
		if (runs(strcpy(path, usual[i])))
			return true;
	return false;
}
