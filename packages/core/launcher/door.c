// The door between `create` and `start`: either the report channel's other end answers, or, where whoever created the
// container is gone by then, somebody connects to a listening socket. That connection is the report channel from then
// on: it tells what fails behind the door, and ends as the program is executed.
#include "launcher.h"

#include <linux/poll.h>

// Those that end a process which doesn't care for them. All are blocked here; a created container that is sent one is
// to end, where as PID 1 it would not even notice.
static uint64_t deadly_signals(void)
{
	// CHLD, CONT, TSTP, TTIN, TTOU, URG, WINCH
	static const int harmless[] = {17, 18, 20, 21, 22, 23, 28};
	uint64_t set = ~0ULL;

	for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
		set &= ~(1ULL << (harmless[i] - 1));
	return set;
}

// Where a filter of the container's forbids the call, the door works without.
static int deadly_signal_fd(void)
{
	uint64_t set = deadly_signals();
	long fd = sys(signalfd4, -1, &set, sizeof set, O_CLOEXEC);

	return fd < 0 ? -1 : (int)fd;
}

static void leave_by_signal(int signals)
{
	struct {
		uint32_t signal;
		char rest[124];
	} info;

	if (sys(read, signals, &info, sizeof info) == sizeof info)
		leave(128 + (int)info.signal);
}

// Until somebody has connected and said so. A visitor who leaves without a word changes nothing.
static long await_visitor(struct launch *launch, int door, int signals)
{
	struct pollfd polls[2] = {{.fd = door, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

	for (;;) {
		long ready = sys(ppoll, polls, signals < 0 ? 1 : 2, NULL, NULL, 8);
		if (ready < 0 && ready != -EINTR)
			return failed(launch, "ppoll", "door", ready);
		if (ready > 0 && polls[1].revents)
			leave_by_signal(signals);
		if (ready <= 0 || !polls[0].revents)
			continue;
		long visitor = sys(accept4, door, NULL, NULL, O_CLOEXEC);
		if (visitor < 0)
			return failed(launch, "accept4", "door", visitor);
		launch->report = (int)visitor;
		if (await_answer(launch) == 0)
			return 0;
		close_fd(&launch->report);
	}
}

static long await_at(struct launch *launch, int door)
{
	int signals = deadly_signal_fd();

	// Whoever created the container learns that it is done, and may go.
	close_fd(&launch->report);
	long result = await_visitor(launch, door, signals);
	close_fd(&signals);
	sys(close, door);
	return result;
}

long op_door(struct launch *launch, struct reader *reader)
{
	int door = read_fd(reader);
	bool silent = read_u32(reader);

	if (reader->broken)
		return 0;
	long result = silent ? 0 : report(launch, MESSAGE_READY, 0, -1);
	if (result < 0)
		return result;
	if (launch->header.waits)
		return await_program(launch);
	return door < 0 ? await_answer(launch) : await_at(launch, door);
}
