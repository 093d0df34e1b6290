// The birth of the init, and the point where it waits for createRuntime hooks.
#include "launcher.h"

#include <linux/prctl.h>

// The sibling's parent is the keeper, or who started the launcher directly, which reaps it.
static _Noreturn void announce_and_leave(struct launch *launch, long child, int pidfd)
{
	if (launch->header.mode == MODE_ENTER) {
		sys(close_range, 0, ~0U, 0);
		wait_and_leave(child);
	}
	report(launch, MESSAGE_BORN, child, pidfd);
	leave(0);
}

// An init that shares the memory begins here.
static _Noreturn void begin_init(struct launch *launch)
{
	sys(prctl, PR_SET_NAME, "holdfast: init", 0, 0, 0); // the title is the keeper's too
	launch->step++;
	finish_steps(launch);
}

static long clone_init(struct launch *launch, struct clone_args *args)
{
	struct shared *shared = launch->shared;

	if (!shared || !shared->on || launch->header.may_share != SHARE_INIT)
		return sys(clone3, args, sizeof *args);
	args->flags |= CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	args->parent_tid = args->child_tid = (uintptr_t)&shared->init;
	return start_stage(launch, args, true, begin_init);
}

// One that was started ahead stands in the container's namespaces, and nobody in there sees it: pid namespace and cgroups
// are for the init to be born in or to join. The end of the channel is its end.
static void await_begin(struct launch *launch)
{
	sys(prctl, PR_SET_NAME, "holdfast: ahead", 0, 0, 0);
	if (await_answer(launch) < 0)
		leave(0);
}

long op_clone(struct launch *launch, struct reader *reader)
{
	uint32_t namespaces = read_u32(reader);
	int cgroup = read_fd(reader);
	int pidfd = -1;
	struct clone_args args = {.flags = namespaces | CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd};

	if (reader->broken)
		return 0;
	if (launch->header.waits)
		await_begin(launch);
	if (launch->header.mode == MODE_ENTER)
		args.exit_signal = SIG_CHLD;
	else
		args.flags |= CLONE_PARENT; // takes the exit signal of this process
	if (cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	long child = clone_init(launch, &args);
	if (child < 0)
		return failed(launch, "clone3", "", child);
	if (child > 0)
		announce_and_leave(launch, child, pidfd);
	if (launch->header.mode != MODE_ENTER)
		set_title(launch, "holdfast: init");
	return 0;
}

long op_sync(struct launch *launch, struct reader *reader)
{
	(void)reader;
	long result = report(launch, MESSAGE_SYNC, 0, -1);
	return result < 0 ? result : await_answer(launch);
}
