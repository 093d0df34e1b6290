// Stages that share the launcher's memory. A copy of it is made by the kernel page table by page table and page by page,
// twice for each launch, and that was a good part of what a launch cost (docs/decisions/0049).
//
// What they share is memory alone (CLONE_VM): descriptors, credentials, namespaces, signals are each one's own. The keeper
// has the host's rights, so nobody else may write to this memory. It is not dumpable, and belongs to the host's user
// namespace: neither ptrace(2) nor /proc/PID/mem of a stage is for anybody in the container, whatever user it has become.
//
// A process has memory of its own again when it has executed its program.
#include "launcher.h"

#include "text.h"

#include <linux/futex.h>

// copy.c goes 64 directories deep.
#define STACK_SIZE (1024L * 1024)
// How many a launch may need, and how much of each an ordinary exec does.
#define STACKS 2
#define STACK_TOUCHED 16384L

// A small number from a file of procfs, which is only trusted where it really is procfs.
static bool read_number(struct launch *launch, const char *path, long *number)
{
	char text[16];
	long fd = sys(openat, launch->proc, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
	long size = fd < 0 ? fd : sys(read, fd, text, sizeof text - 1);

	if (fd >= 0)
		sys(close, fd);
	if (size <= 0)
		return false;
	text[size] = 0;
	bool negative = text[0] == '-';
	*number = 0;
	for (const char *c = text + negative; *c >= '0' && *c <= '9'; c++)
		*number = *number * 10 + (*c - '0');
	if (negative)
		*number = -*number;
	return true;
}

// Not where it could be seen:
// - oom_score_adj is the memory's, not the process's: set by a stage it would be the keeper's too.
// - With fs.suid_dumpable at 1 a process that changes its user becomes dumpable, and so writable for that user.
void decide_sharing(struct launch *launch, struct shared *shared)
{
	int32_t wanted = launch->header.oom_score_adj;
	long number = 0;

	if (launch->header.may_share == SHARE_NONE)
		return;
	if (wanted != OOM_SCORE_AS_IT_IS && !(read_number(launch, "self/oom_score_adj", &number) && number == wanted))
		return;
	shared->stack_limit = launch->header.may_share == SHARE_INIT ? 2 : 1;
	shared->on = read_number(launch, "sys/fs/suid_dumpable", &number) && number != 1;
}

struct beginning {
	struct launch launch;
	void (*run)(struct launch *);
};

static _Noreturn void begin(void *argument)
{
	struct beginning *beginning = argument;

	beginning->run(&beginning->launch);
	leave(125); // never: a stage ends by itself
}

// All in one mapping: to unmap one makes every processor forget its translations, which costs more than the stack.
static long map_stacks(uint32_t count)
{
	return sys(mmap, 0, count * STACK_SIZE, 3, 0x20022 /* private, anonymous, stack */, -1, 0);
}

// The first touch of a page is an exception of the processor's, dear in a virtual machine.
void make_stacks(struct launch *launch)
{
	long area = map_stacks(STACKS);

	if (area < 0 && area > -4096)
		return;
	for (int i = 1; i <= STACKS; i++)
		touch((uintptr_t)(area + i * STACK_SIZE - STACK_TOUCHED), STACK_TOUCHED, MADV_POPULATE_WRITE);
	launch->stacks = (uintptr_t)area;
}

void drop_stacks(struct launch *launch)
{
	if (launch->stacks)
		sys(munmap, launch->stacks, STACKS * STACK_SIZE);
}

void touch(uintptr_t at, size_t size, int how)
{
	sys(madvise, at, size, how); // Linux 5.14
}

static long take_stack(struct launch *launch)
{
	struct shared *shared = launch->shared;

	if (!shared->stacks) {
		long area = launch->stacks ? (long)launch->stacks : map_stacks(shared->stack_limit);
		if (area < 0 && area > -4096)
			return area;
		shared->stacks = (uintptr_t)area;
	}
	if (shared->stack_count == shared->stack_limit)
		return -EAGAIN;
	return (long)(shared->stacks + shared->stack_count++ * STACK_SIZE);
}

long start_stage(struct launch *launch, struct clone_args *args, bool share, void (*run)(struct launch *))
{
	if (!share) {
		long child = sys(clone3, args, sizeof *args);
		if (child == 0)
			run(launch), leave(125);
		return child;
	}
	long stack = take_stack(launch);
	if (stack < 0)
		return stack;
	// At the stack's upper end, where it is touched anyway. The caller may go on changing its own.
	struct beginning *beginning = (void *)((stack + STACK_SIZE - sizeof *beginning) & ~63L);
	memcpy(&beginning->launch, launch, sizeof *launch);
	beginning->run = run;
	args->flags |= CLONE_VM;
	args->stack = (uint64_t)stack;
	args->stack_size = (uint64_t)((long)beginning - stack);
	return clone_onto_stack(args, begin, beginning);
}

void leave_memory(struct launch *launch)
{
	struct shared *shared = launch->shared;

	for (uint32_t init = shared->init; init; init = shared->init)
		sys(futex, &shared->init, FUTEX_WAIT, init, NULL, NULL, 0);
	sys(munmap, shared->stacks, (launch->stacks ? STACKS : shared->stack_limit) * STACK_SIZE);
}
