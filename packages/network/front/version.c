// VERSION, answered here: podman asks with each of its commands before it does anything else, and Node takes longer to
// start than all the rest of the call. Which versions there are src/cni/version.ts knows; build.ts takes them from there.
#include "bridge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// libcni sends {"cniVersion":"1.0.0"} and no more. The answer has that version in it, whatever it is.
bool answer_version(const struct config *config)
{
	const char *command = getenv("CNI_COMMAND");
	char text[64], version[17], rest;

	if (!command || strcmp(command, "VERSION") != 0 || config->size == 0 || config->size >= sizeof text)
		return false;
	memcpy(text, config->text, config->size);
	text[config->size] = 0;
	if (strlen(text) != config->size)
		return false;
	// The blank at the end lets white space follow, and `rest` nothing else.
	int found = -1;
	if (sscanf(text, " { \"cniVersion\" : \"%16[0-9a-z.-]\" } %n%c", version, &found, &rest) != 1 || found < 0)
		return false;
	printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[%s]}\n", version, SUPPORTED_VERSIONS);
	return fflush(stdout) == 0;
}
