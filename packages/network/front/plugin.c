// Another plugin, run for addresses: a child of this process, and so with the caller's environment, namespaces, limits,
// cgroup and standard error.
#include "bridge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become_plugin(const char *program, const char *command, int input, int output)
{
	char *const arguments[] = {(char *)program, NULL};

	if (setenv("CNI_COMMAND", command, 1) == 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0)
		execv(program, arguments);
	_exit(127);
}

static int refuse(int helper)
{
	char text[128];
	int size = snprintf(text, sizeof text, "r%c%s", 0, strerror(errno));

	return send_packet(helper, text, (size_t)size, NULL, 0);
}

void run_plugin(int helper, const char *program, const char *command, const struct config *config)
{
	int input = memfd_with("config", config->text, config->size), output = memfd_create("result", MFD_CLOEXEC);
	int status = 0;
	pid_t pid = input < 0 || output < 0 || lseek(input, 0, SEEK_SET) < 0 ? -1 : fork();

	if (pid == 0)
		become_plugin(program, command, input, output);
	if (pid < 0)
		refuse(helper);
	else {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		char text[2 + sizeof status] = {'r', 1};
		memcpy(text + 2, &status, sizeof status);
		send_packet(helper, text, sizeof text, &output, 1);
	}
	if (input >= 0)
		close(input);
	if (output >= 0)
		close(output);
}
