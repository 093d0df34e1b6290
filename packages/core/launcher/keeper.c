// The keeper: parent of the container's init (or of an exec'd process), and of nothing else. It holds second copies of
// the end points, so that a dead shim closes none of them, reaps, writes the exit record, and ends once all output was
// read.
//
// All its signals stay blocked: only SIGKILL ends it before its time.
#include "launcher.h"

#include "text.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <asm/ioctls.h>
#include <asm/socket.h>

#define KEPT_LIMIT 64

// In nanoseconds: how long a program has to end before this process tidies up beside it, and how long it stays after it
// has told of the end.
#define TIDY_AFTER 100000000
#define LINGER 3000000

// What the keeper goes on needing of the table. The table itself, with the program's environment and filter in it,
// would be the largest part of its memory.
struct kept {
	uint32_t count;
	int fds[KEPT_LIMIT];
	char record[NAME_LIMIT];
};

static bool take_from_table(struct launch *launch, struct kept *kept)
{
	struct reader keep = launch->header.keep;
	size_t length = text_length(launch->header.record);

	kept->count = launch->header.keep_count;
	if (kept->count > KEPT_LIMIT || length >= sizeof kept->record)
		return false;
	for (uint32_t i = 0; i < kept->count; i++)
		kept->fds[i] = read_fd(&keep);
	memcpy(kept->record, launch->header.record, length + 1);
	return true;
}

static void drop_table(struct launch *launch)
{
	sys(munmap, launch->table.at, launch->table.end - launch->table.at);
}

static void await_stage_one(long stage_one)
{
	while (sys(wait4, stage_one, NULL, WAIT_ALL, NULL) == -EINTR)
		;
}

static void close_others(const struct kept *kept)
{
	// Ascending, as the table's writer promises: what lies between is closed in one sweep each.
	unsigned from = 3;

	for (uint32_t i = 0; i < kept->count; i++) {
		unsigned fd = (unsigned)kept->fds[i];
		if (fd > from)
			sys(close_range, from, fd - 1, 0);
		from = fd + 1;
	}
	sys(close_range, from, ~0U, 0);
}

// Days since 1970-01-01 to a civil date: counted from March of year 0, so that the leap day comes last.
static void put_date(struct line *line, uint64_t days)
{
	uint64_t day_of_era = (days + 719468) % 146097, era = (days + 719468) / 146097;
	uint64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t month = (5 * day_of_year + 2) / 153;

	put_padded(line, year_of_era + era * 400 + (month >= 10), 4);
	put_text(line, "-");
	put_padded(line, month < 10 ? month + 3 : month - 9, 2);
	put_text(line, "-");
	put_padded(line, day_of_year - (153 * month + 2) / 5 + 1, 2);
}

static void put_now(struct line *line)
{
	struct __kernel_timespec now = {0};

	sys(clock_gettime, 0 /* CLOCK_REALTIME */, &now);
	uint64_t seconds = (uint64_t)now.tv_sec;
	put_date(line, seconds / 86400);
	put_text(line, "T");
	put_padded(line, seconds / 3600 % 24, 2);
	put_text(line, ":");
	put_padded(line, seconds / 60 % 60, 2);
	put_text(line, ":");
	put_padded(line, seconds % 60, 2);
	put_text(line, ".");
	put_padded(line, (uint64_t)now.tv_nsec, 9);
	put_text(line, "Z");
}

#define RECORD_SIZE 160

static long make_record(char record[RECORD_SIZE], int status)
{
	struct line line = {record, record + RECORD_SIZE, false};
	int signal = status & 0x7f;

	put_text(&line, "{\"exitCode\":");
	put_number(&line, (uint64_t)(signal ? 128 + signal : (status >> 8) & 0xff));
	put_text(&line, ",\"signal\":");
	if (signal)
		put_number(&line, (uint64_t)signal);
	else
		put_text(&line, "null");
	put_text(&line, ",\"finishedAt\":\"");
	put_now(&line);
	put_text(&line, "\"}\n");
	return line.at - record;
}

// Temporary file, fsync, rename: a reader sees a whole record or none, after a power cut too. The directory is not
// synchronized: where the rename is lost with the machine, so is the container.
static long write_record(int directory, const char *name, const char *record, long size)
{
	char temporary[300];
	struct line file = {temporary, temporary + sizeof temporary - 1, false};

	put_text(&file, ".");
	put_text(&file, name);
	put_text(&file, ".new");
	*file.at = 0;
	long fd = sys(openat, directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return fd;
	long result = sys(write, fd, record, size);
	if (result == size)
		result = sys(fsync, fd);
	else if (result >= 0)
		result = -ENOSPC;
	sys(close, fd);
	if (result >= 0)
		result = sys(renameat2, directory, temporary, directory, name, 0);
	return result;
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {0};

	sys(capset, &header, none);
}

static bool holds_unread(const struct kept *kept)
{
	int waiting, type;
	unsigned length;

	for (uint32_t i = 0; i < kept->count; i++) {
		int fd = kept->fds[i];
		length = sizeof type;
		waiting = 0;
		// What waits in a socket is a descriptor kept for later, and no output.
		if (sys(getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &length) >= 0)
			continue;
		if (sys(ioctl, fd, FIONREAD, &waiting) >= 0 && waiting > 0)
			return true;
	}
	return false;
}

static bool is_removed(int directory)
{
	struct statx status = {0};

	return sys(statx, directory, "", AT_EMPTY_PATH, STATX_NLINK, &status) == 0 && status.stx_nlink == 0;
}

// The last words of a process lie in its pipes, and are gone with the last descriptor. A shim that lives has read them
// by now or will in a moment; where it is dead they wait here for the next one, which comes by way of the directory.
static void wait_until_read(const struct kept *kept, int directory)
{
	struct __kernel_timespec pause = {0, 500000};

	while (holds_unread(kept) && !is_removed(directory)) {
		sys(nanosleep, &pause, NULL);
		if (pause.tv_nsec < 200000000)
			pause.tv_nsec *= 2;
	}
}

// False where no child has ended by then. All signals are blocked: what a child leaves at its end waits to be taken.
static bool child_ends_within(long nanoseconds)
{
	uint64_t set = 1ULL << (SIG_CHLD - 1);
	struct __kernel_timespec patience = {0, nanoseconds};
	long result;

	do
		result = sys(rt_sigtimedwait, &set, NULL, &patience, sizeof set);
	while (result == -EINTR);
	return result > 0;
}

_Noreturn void keep(struct launch *launch, long stage_one)
{
	const struct header *header = &launch->header;
	struct kept kept;
	int status = 0, last = 0, fds[TRUST_LIMIT];
	char record[RECORD_SIZE], name[NAME_LIMIT];
	// The end of this process takes longer than all that the shim and its client have to do about the end of that one.
	struct __kernel_timespec linger = {0, LINGER};
	bool ended = false, shares = launch->shared->on;

	sys(chdir, "/");
	sys(prctl, PR_SET_NAME, "hf-keeper", 0, 0, 0);
	if (!take_from_table(launch, &kept))
		leave(125);
	close_others(&kept);
	// It owns its directory and its children; no more is needed, and no capability.
	drop_capabilities();
	if (shares)
		await_stage_one(stage_one); // which reads the table, and ends once the init is born
	else {
		drop_table(launch);
		drop_stacks(launch);
	}
	// Until it is entrusted with the door a launch belongs to the shim alone: if that dies before it has written
	// down whom to look for, the channel ends here, the door ends there, and nothing is left waiting for nobody.
	int count = receive_trust(header->trust, fds, name);
	if (name[0])
		memcpy(kept.record, name, sizeof name);
	for (int i = 0; i < count; i++) {
		sys(dup3, fds[i], header->first_slot + i, O_CLOEXEC);
		sys(close, fds[i]);
	}
	for (;;) {
		long child = sys(wait4, -1, &status, WAIT_ALL | (shares ? WAIT_NOHANG : 0), NULL);
		if (child == -EINTR)
			continue;
		if (child < 0)
			break;
		// To unmap makes every processor forget its translations, and a program that ends at once waits for that.
		if (child == 0 && !child_ends_within(TIDY_AFTER)) {
			leave_memory(launch);
			drop_table(launch);
			shares = false;
		}
		if (child == 0)
			continue;
		if (child == stage_one)
			continue;
		last = status;
		ended = true;
	}
	if (!ended || !count) {
		wait_until_read(&kept, header->directory);
		leave(0);
	}
	long size = make_record(record, last), written = write_record(header->directory, kept.record, record, size);
	// To the shim that entrusted it, which need not wait for this process's own end. Where that has died nobody hears it.
	sys(write, header->trust, record, size);
	sys(nanosleep, &linger, NULL);
	if (written < 0)
		leave(1);
	wait_until_read(&kept, header->directory);
	leave(0);
}

_Noreturn void wait_and_leave(long child)
{
	int status = 0;
	long result;

	do
		result = sys(wait4, child, &status, WAIT_ALL, NULL);
	while (result == -EINTR);
	leave(status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
}
