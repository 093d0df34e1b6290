// `run` and `exec` without --detach: this process stays, as the parent of the container's.
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct termios before;
static bool raw;

static void restore_terminal(void)
{
	if (raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	raw = false;
}

static void make_raw(void)
{
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return; // no terminal, but a file or a pipe
	struct termios now = before;
	cfmakeraw(&now);
	raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &now) == 0;
	atexit(restore_terminal);
}

static void copy_size(int console)
{
	struct winsize size;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(console, TIOCSWINSZ, &size);
}

// False at the end of what is read, or where nobody takes it any more.
static bool copy(int from, int to)
{
	char bytes[16384];
	ssize_t size = read(from, bytes, sizeof bytes);

	if (size <= 0)
		return size < 0 && (errno == EINTR || errno == EAGAIN);
	for (ssize_t at = 0; at < size;) {
		ssize_t written = write(to, bytes + at, (size_t)(size - at));
		if (written < 0 && errno != EINTR)
			return false;
		at += written > 0 ? written : 0;
	}
	return true;
}

static bool has_ended(pid_t pid, int *status)
{
	int wait_status;

	if (waitpid(pid, &wait_status, WNOHANG) != pid)
		return false;
	*status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	return true;
}

static void take_signal(int signals, int pidfd, int console)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof info) != sizeof info || info.ssi_signo == SIGCHLD)
		return;
	if (info.ssi_signo == SIGWINCH && console >= 0)
		copy_size(console);
	else
		syscall(SYS_pidfd_send_signal, pidfd, info.ssi_signo, NULL, 0);
}

// What the process wrote last is still in the pty.
static void drain(int console)
{
	struct pollfd poll_fd = {.fd = console, .events = POLLIN};

	while (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLIN) && copy(console, STDOUT_FILENO))
		;
}

int attend(pid_t pid, int pidfd, int console)
{
	sigset_t all;
	int status = 0;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	int signals = signalfd(-1, &all, SFD_CLOEXEC);
	if (console >= 0) {
		copy_size(console);
		make_raw();
	}
	struct pollfd polls[] = {
		{.fd = signals, .events = POLLIN},
		{.fd = console, .events = POLLIN},
		{.fd = console < 0 ? -1 : STDIN_FILENO, .events = POLLIN},
	};
	// Asked first: it may have ended before its signal was watched for.
	while (!has_ended(pid, &status)) {
		if (poll(polls, 3, -1) < 0)
			continue;
		if (polls[0].revents)
			take_signal(signals, pidfd, console);
		if (polls[1].revents && !copy(console, STDOUT_FILENO))
			polls[1].fd = -1;
		if (polls[2].revents && !copy(STDIN_FILENO, console))
			polls[2].fd = -1;
	}
	if (console >= 0)
		drain(console);
	restore_terminal();
	return status;
}
