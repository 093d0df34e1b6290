// What the launcher's files share.
//
//   shim ── execveat ──► launcher, which forks at once:
//     keeper      stays as it is, with the host's rights and namespaces: reaps, writes the exit record (keeper.c)
//     stage one   carries out the steps up to `clone`: joins, stages mounts, enters the user namespace
//       └─ clone3(CLONE_PARENT) ─► stage two: the container's init, a child of the keeper
//
// Keeper and stage one are two processes because stage one gives up the host's rights on its way, which the keeper
// needs to write into the shim's directory, and because a private mount namespace that the keeper held would keep
// every file system of the host busy for the container's life.
#pragma once

#include "opcodes.h"
#include "sys.h"
#include "table.h"

// How to run: as a container's launcher with a keeper; as `enter`, where the launcher itself waits for the program; or
// direct, where the init becomes a child of whoever started the launcher, and nothing else stays.
enum { MODE_LAUNCH = 0, MODE_ENTER = 1, MODE_DIRECT = 2 };

// Processes that may share the launcher's memory: an init only where it executes its program soon, since what a process
// uses is charged to the cgroup of its memory's first owner.
enum { SHARE_NONE = 0, SHARE_STAGE_ONE = 1, SHARE_INIT = 2 };
#define OOM_SCORE_AS_IT_IS 0x7fffffff

// The table's header, in the table's order.
struct header {
	uint32_t mode;
	// Descriptors, -1 for none: the report channel; the directory of the exit record; the channel on which the
	// shim entrusts the keeper with the door and the console.
	int report, directory, trust;
	// Where the keeper puts these in its own table.
	int first_slot;
	// What only the keeper holds; stage one closes them.
	struct reader keep;
	uint32_t keep_count;
	const char *record;
	uint32_t needs_proc, needs_timens;
	// A cgroup v2 directory in which stage one, and so everything after it, is born: -1 for none.
	int cgroup;
	// Which of the processes may share the launcher's memory, and the oom_score_adj that the steps will set.
	uint32_t may_share;
	int32_t oom_score_adj;
	// So many of the steps are the launcher's own, before it forks.
	uint32_t early_steps;
	// It was started ahead: before the clone it waits for a byte on the report channel, and the last step comes with the word at the door.
	uint32_t waits;
	uint32_t steps;
};

// A tree that was cloned before the stage area was there.
struct pending {
	const char *as;
	int tree;
};
#define PENDING_LIMIT 64

// Mounts beneath /proc, /sys and /dev that no link may lead to.
#define OWN_PLACES_LIMIT 64

// What the processes of one launch have in common while they share their memory (shared.c).
struct shared {
	bool on; // false: each has its own
	uint32_t stack_count, stack_limit;
	uintptr_t stacks; // one mapping of all
	// Of an init that shares it too: its pid until it has executed its program or ended. The kernel clears it.
	volatile uint32_t init;
};

struct launch {
	struct header header;
	struct reader table, steps; // the whole mapping, and what is left of it to read
	uint32_t step;
	// Descriptors, -1 until opened. `proc` is the host's procfs, opened before anything of an image is visible.
	int report, stage, root, proc, timens, null, mask_file, mask_directory;
	struct pending pending[PENDING_LIMIT];
	uint32_t pending_count;
	uint64_t own_places[OWN_PLACES_LIMIT];
	uint32_t own_places_count;
	// Whom what make_beneath makes belongs to, where that is not the maker.
	bool has_owner;
	uint32_t owner_uid, owner_gid;
	bool has_terminal, has_umask;
	struct shared *shared;
	// Of a launcher that was started ahead: stacks for those who share its memory, room for what comes at the door, and
	// what has come. 0 for none.
	uintptr_t stacks, room;
	struct reader program;
	// Where ps(1) reads the command line.
	char *title;
	size_t title_size;
	// What a failed step reports beside its errno.
	const char *syscall, *detail;
};

// Remembers what failed and returns `error`, a negative errno.
static inline long failed(struct launch *launch, const char *syscall, const char *detail, long error)
{
	launch->syscall = syscall;
	launch->detail = detail;
	return error;
}

static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		sys(close, *fd);
	*fd = -1;
}

// ---- report.c: the channel to the shim ----
enum message {
	MESSAGE_ERROR = 1,    // value: errno; text: system call, NUL, detail
	MESSAGE_BORN = 2,     // value: pid; descriptor: pidfd of the init
	MESSAGE_SYNC = 3,     // waits for an answer
	MESSAGE_READY = 4,    // at the door; waits for an answer
	MESSAGE_CONSOLE = 5,  // descriptor: the pty's master
	MESSAGE_LISTENER = 6, // value: number, in the init, of the descriptor of seccomp notifications
};
long report(struct launch *launch, enum message type, long value, int fd);
void report_error(struct launch *launch, long error);
// Waits for the shim's answer; 0, or -errno where the shim and its stand-in are gone.
long await_answer(struct launch *launch);
// The same, and what else the word brings is the program: of a launcher that was started ahead.
#define PROGRAM_ROOM 65536
long await_program(struct launch *launch);
// What the shim entrusts: up to this many descriptors in one message, and a name. Returns how many descriptors came, 0 at
// the channel's end; `name` is cut where there is none.
#define TRUST_LIMIT 2
#define NAME_LIMIT 256
int receive_trust(int socket, int fds[TRUST_LIMIT], char name[NAME_LIMIT]);

// ---- shared.c: processes of a launch that share its memory ----
void decide_sharing(struct launch *launch, struct shared *shared);
// While nobody waits: what the stages will touch first. Where there is no room it is made when it is needed.
void make_stacks(struct launch *launch);
void drop_stacks(struct launch *launch);
// `how`: MADV_POPULATE_READ or MADV_POPULATE_WRITE. What the kernel refuses is touched later.
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
void touch(uintptr_t at, size_t size, int how);
// As clone3(2): the pid, or -errno. The child begins in `run` with a copy of `launch` on a stack of its own, which shares
// the memory where `share` says so.
long start_stage(struct launch *launch, struct clone_args *args, bool share, void (*run)(struct launch *));
// In the keeper, once stage one has ended: gives back the stacks, after an init that shares the memory has executed its
// program, or ended.
void leave_memory(struct launch *launch);

// ---- keeper.c ----
_Noreturn void keep(struct launch *launch, long stage_one);
_Noreturn void wait_and_leave(long child);

// ---- main.c ----
void set_title(struct launch *launch, const char *title);
// What is left of the table, to its end: a program, or an error that was reported.
_Noreturn void finish_steps(struct launch *launch);

// ---- paths.c: paths inside the container, beneath the root descriptor ----
long open_root(struct launch *launch);
// O_PATH descriptor of what lies at `path`, or -errno.
long open_beneath(struct launch *launch, const char *path, uint64_t flags);
// The same, and what is missing is made: directories, and at the end a directory or an empty file.
// KIND_AS_SOURCE: whichever of the two will be mounted there.
enum kind { KIND_DIRECTORY = 0, KIND_FILE = 1, KIND_AS_SOURCE = 2 };
enum kind kind_of(int fd);
long make_beneath(struct launch *launch, const char *path, enum kind kind, uint32_t mode);
// O_PATH descriptor of the directory that holds `path`, made if missing; `*name` becomes the last component.
long open_parent(struct launch *launch, const char *path, const char **name);
// Whether the path, as it is written, is /proc, /sys or /dev, or lies beneath one of them.
bool is_guarded(const char *path);
// The kernel's encoding of a device number for mknodat(2).
static inline uint64_t device_number(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | ((uint64_t)(major & 0xfff) << 8) | ((uint64_t)(minor & ~0xffU) << 12);
}
long stat_fd(int fd, const char *path, struct kernel_stat_ids *result);
// Whether the descriptor is a character device of that number.
bool is_char_device(int fd, uint32_t major, uint32_t minor);

// ---- own-places.c: where a link of the image must not take a mount ----
// To be asked before anything is mounted on `target`, to which `path` has led.
long refuse_own_place(struct launch *launch, const char *path, int target);
// To be told of every mount once it is attached.
long note_own_place(struct launch *launch, const char *path, int tree);

// ---- mount-calls.c: pieces of the mount API ----
// Attributes in the table: u64 set, u64 clear. `recursive` adds AT_RECURSIVE.
struct attributes {
	uint64_t set, clear;
};
struct attributes read_attributes(struct reader *reader);
long apply_attributes(struct launch *launch, int tree, struct attributes attributes, bool recursive);
long set_propagation(struct launch *launch, int tree, uint32_t propagation, bool recursive);
// TreeAttributes: set, clear, u32 recursive, then set and clear of the whole tree.
long apply_tree_attributes(struct launch *launch, int tree, struct reader *reader);
// Attaches a detached mount onto the descriptor.
long attach_tree(struct launch *launch, int tree, int target, const char *detail);
// fsopen(2) and its options from the table: u32 count, then key, u32 has value, value.
long open_filesystem(struct launch *launch, const char *type, const char *source, struct reader *options);
long configure(struct launch *launch, int fs, unsigned command, const char *key, const void *value, int aux);
// Creates the superblock and a detached mount of it, and closes `fs`.
long finish_filesystem(struct launch *launch, int fs, uint64_t attributes, const char *detail);
// ---- stage.c ----
long attach_staged(struct launch *launch, int tree, const char *as);
long clone_tree(struct launch *launch, const char *source, bool recursive);
// A clone of what the descriptor `source` is open on.
long clone_of(struct launch *launch, int source, bool recursive, const char *detail);
long idmap_tree(struct launch *launch, int tree, int userns, bool recursive, const char *source);

// ---- credentials.c ----
// setgroups(2); where nobody may, `rootless` takes no groups to give as done.
long set_groups(size_t count, const void *groups, bool rootless);

// ---- copy.c ----
// Copies what lies in one directory into another (tmpcopyup).
long copy_up(struct launch *launch, int from, int to);

// Closes on exec everything but stdio.
static inline void close_all_on_exec(void)
{
	sys(close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
}

#define DECLARE_OPERATION(name, number, function) long function(struct launch *launch, struct reader *reader);
LAUNCHER_OPCODES(DECLARE_OPERATION)
#undef DECLARE_OPERATION
