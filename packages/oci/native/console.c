// The pty's master goes to whoever asked for it, through the socket named by --console-socket.
#include "front.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Its path may be longer than a socket address: by its directory.
int connect_console(const char *path)
{
	char *copy = strdup(path), *name = strdup(path);
	int directory = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	int socket = directory < 0 ? -1 : connect_at(directory, basename(name), SOCK_STREAM);

	if (directory >= 0)
		close(directory);
	free(copy);
	free(name);
	return socket;
}

// As runc does: the message's bytes are the terminal's name.
bool send_console(int socket, int master)
{
	static const char name[] = "/dev/ptmx";

	return send_packet(socket, name, sizeof name - 1, &master, 1);
}
