// The launcher: carries out a flat table of steps. No libc, no policy; the table says everything.
//
// Started by core's launch.cc with execveat(2) from a sealed memfd: all signals blocked, descriptors 0 to 2 are
// /dev/null (or the caller's own in `enter`), 3 is the table, the others are what the table's header and steps name.
#include "launcher.h"

#include "text.h"

#include <linux/prctl.h>
#include <linux/magic.h>
#include <linux/mman.h>

#define TABLE_FD 3

// How much of the room for a program an ordinary one needs.
#define PROGRAM_TOUCHED 4096

typedef long operation(struct launch *, struct reader *);

static operation *find_operation(uint32_t opcode)
{
	switch (opcode) {
#define CASE(name, number, function) \
	case number:                 \
		return function;
		LAUNCHER_OPCODES(CASE)
#undef CASE
	default:
		return NULL;
	}
}

static struct reader map_table(void)
{
	char magic[4];
	uint32_t size = 0;

	if (sys(pread64, TABLE_FD, magic, sizeof magic, 0) != sizeof magic || memcmp(magic, "HFT1", 4) ||
	    sys(pread64, TABLE_FD, &size, sizeof size, 4) != sizeof size || size < 12)
		leave(125);
	long at = sys(mmap, 0, size, PROT_READ, MAP_PRIVATE, TABLE_FD, 0);
	if (at < 0 && at > -4096)
		leave(125);
	sys(close, TABLE_FD);
	return (struct reader){.at = (char *)at, .end = (char *)at + size};
}

static struct header read_header(struct reader *table)
{
	struct header header = {.steps = read_u32(table)};

	header.mode = read_u32(table);
	header.report = read_fd(table);
	header.directory = read_fd(table);
	header.trust = read_fd(table);
	header.first_slot = read_fd(table);
	header.keep_count = read_u32(table);
	header.keep = read_part(table, header.keep_count * 4);
	header.record = read_text(table);
	header.needs_proc = read_u32(table);
	header.needs_timens = read_u32(table);
	header.cgroup = read_fd(table);
	header.may_share = read_u32(table);
	header.oom_score_adj = (int32_t)read_u32(table);
	header.early_steps = read_u32(table);
	header.waits = read_u32(table);
	return header;
}

// The host's procfs, while only the host's mounts are visible: later a path could be an image's.
static long open_proc(struct launch *launch)
{
	uint64_t statfs[15];

	launch->proc = (int)sys(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (launch->proc < 0)
		return failed(launch, "openat", "/proc", launch->proc);
	if (sys(fstatfs, launch->proc, statfs) < 0 || statfs[0] != PROC_SUPER_MAGIC)
		return failed(launch, "fstatfs", "/proc is not procfs", -EOPNOTSUPP);
	return 0;
}

// What touches no more than this process's own memory, while nobody waits for it.
static void make_ready(struct launch *launch)
{
	long room = sys(mmap, 0, PROGRAM_ROOM, 3, 0x22 /* private, anonymous */, -1, 0);

	if (room < 0 && room > -4096)
		leave(125);
	launch->room = (uintptr_t)room;
	touch(launch->room, PROGRAM_TOUCHED, MADV_POPULATE_WRITE);
	touch((uintptr_t)launch->table.at, (size_t)(launch->table.end - launch->table.at), MADV_POPULATE_READ);
	make_stacks(launch);
	open_proc(launch); // or later, by whoever needs it
}

static long open_needed(struct launch *launch)
{
	const struct header *header = &launch->header;

	if (launch->proc < 0 && (header->needs_proc || header->needs_timens)) {
		long result = open_proc(launch);
		if (result < 0)
			return result;
	}
	if (header->needs_timens) {
		// Opened now: once in the container's user namespace this process may not open its own file any more.
		launch->timens =
			(int)sys(openat, launch->proc, "self/timens_offsets", O_WRONLY | O_CLOEXEC, 0);
		if (launch->timens < 0)
			return failed(launch, "openat", "/proc/self/timens_offsets", launch->timens);
	}
	return 0;
}

void set_title(struct launch *launch, const char *title)
{
	size_t length = text_length(title);

	if (length >= launch->title_size)
		length = launch->title_size - 1;
	memset(launch->title, 0, launch->title_size);
	memcpy(launch->title, title, length);
	sys(prctl, PR_SET_NAME, title, 0, 0, 0);
}

static long run_steps(struct launch *launch, uint32_t end)
{
	for (; launch->step < end; launch->step++) {
		uint32_t opcode = read_u32(&launch->steps);
		struct reader payload = read_part(&launch->steps, read_u32(&launch->steps));
		operation *operation = find_operation(opcode);

		if (launch->steps.broken || !operation)
			return failed(launch, "table", "unknown or cut step", -EBADMSG);
		long result = operation(launch, &payload);
		if (payload.broken)
			return failed(launch, "table", "malformed step", -EBADMSG);
		if (result < 0)
			return result;
	}
	return 0;
}

_Noreturn void finish_steps(struct launch *launch)
{
	long result = run_steps(launch, launch->header.steps);

	if (result >= 0 && launch->program.at) {
		launch->steps = launch->program;
		launch->program.at = NULL;
		result = run_steps(launch, launch->header.steps + 1);
	}
	// A list that ends without an exec is a defect of whoever wrote the table.
	if (result >= 0)
		result = failed(launch, "table", "no program to execute", -EBADMSG);
	report_error(launch, result);
	leave(126);
}

static _Noreturn void stage_one(struct launch *launch)
{
	struct reader keep = launch->header.keep;

	while (keep.at < keep.end)
		sys(close, read_fd(&keep));
	close_all_on_exec();
	// What the steps make has the modes that they name, whatever the shim's umask; the program's is set before it runs.
	sys(umask, 0);
	launch->null = (int)sys(fcntl, STDIN, F_DUPFD_CLOEXEC, 3);
	long result = open_needed(launch);
	if (result >= 0)
		finish_steps(launch);
	report_error(launch, result);
	leave(126);
}

// The launcher becomes the keeper, and stage one goes on beside it. Stage one is born into its cgroup rather than moved
// there: a write to cgroup.procs takes a lock of the whole machine and waits for an RCU grace period, milliseconds. From
// inside the user namespace it would not be allowed.
static _Noreturn void launch_and_keep(struct launch *launch)
{
	struct shared shared = {0};
	struct clone_args args = {.exit_signal = SIG_CHLD};
	long result = launch->header.may_share && launch->proc < 0 ? open_proc(launch) : 0;

	launch->shared = &shared;
	if (launch->header.cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)launch->header.cgroup;
	}
	if (result >= 0)
		result = run_steps(launch, launch->header.early_steps);
	if (result >= 0) {
		decide_sharing(launch, &shared);
		result = start_stage(launch, &args, shared.on, stage_one);
		if (result > 0)
			keep(launch, result);
		failed(launch, "clone3", "into the cgroup", result);
	}
	report_error(launch, result);
	leave(126);
}

static _Noreturn __attribute__((used)) void start(uintptr_t *stack)
{
	long argc = (long)stack[0];
	char **argv = (char **)(stack + 1);
	struct launch launch = {
		.report = -1, .stage = -1, .root = -1, .proc = -1, .timens = -1, .null = -1,
		.mask_file = -1, .mask_directory = -1,
	};

	if (argc != 1)
		leave(125);
	block_signals(~0ULL); // the C library that started us can't block its own two
	launch.title = argv[0];
	launch.title_size = text_length(argv[0]) + 1;
	// Neither ptrace(2) nor /proc/PID/{fd,root,exe} of any stage is for the container.
	sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	launch.table = launch.steps = map_table();
	launch.steps.at += 8; // magic and size
	launch.header = read_header(&launch.steps);
	if (launch.steps.broken)
		leave(125);
	launch.report = launch.header.report;
	if (launch.header.waits)
		make_ready(&launch);
	if (launch.header.mode == MODE_LAUNCH)
		launch_and_keep(&launch);
	stage_one(&launch);
}

// The kernel enters with the stack pointer at argc.
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl start\n");
#endif
