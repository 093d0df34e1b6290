// What the files of holdfast-oci's front end share. It is one short-lived process per call:
//
//   main.c ── state, list, kill, start, delete ──► status.c, list.c, …: from the status file alone
//        └─── everything else ─► ask.c ─packets─► the planner (planner.c, and core/front), a Node process of the runtime root
//                                  └─ launch.c ─► the launcher, whose init becomes this process's child, and the
//                                                 caller's once this process has ended
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "warm.h"

struct front {
	// The runtime root's path, and a descriptor of it; -1 where it doesn't exist.
	const char *root;
	int root_fd;
	const char *log_path;
	bool log_json, debug;
	int argc; // all that was given, for the planner
	char **argv;
	const char *verb;
	int verb_at; // argv[verb_at] is the verb
	char call[33]; // names this call: what it makes bears it
};
extern struct front front;

// ---- log.c: as runc does it: into --log, or to stderr; an error always to stderr too ----
__attribute__((format(printf, 2, 3))) void say(const char *level, const char *format, ...);
_Noreturn __attribute__((format(printf, 2, 3))) void die(int status, const char *format, ...);
void fail_text(const char *text);

// ---- options.c ----
void parse_globals(int argc, char **argv);
// The value of a long option at argv[*at], as `--name value` or `--name=value`; NULL where it is another.
const char *option_value(char **argv, int argc, int *at, const char *name);
// Whether it is that option, given without a value or as `--name=true` and the like.
bool is_switch(const char *argument, const char *name, bool *value);
// Positional arguments of a verb that takes no options; dies where there are fewer or more, or an option.
char **positional(int least, int most, int *count);

// ---- help.c ----
int print_help(void);
int print_version(void);
// False where the verb's arguments don't ask for it.
bool print_verb_help(void);

// ---- memfd.c: as in warm.h, and a failure ends the call ----
char *read_memfd(int fd, size_t *size);
int memfd_of(const char *name, const void *data, size_t size);

// ---- reader.c: the flat layout in which the planner describes a launch (src/flat.ts) ----
struct flat {
	const char *at, *end;
};
uint32_t flat_u32(struct flat *flat);
int64_t flat_i64(struct flat *flat);
const char *flat_text(struct flat *flat);
// NULL-terminated, allocated.
char **flat_texts(struct flat *flat);

// ---- planner.c ----
// A connection to the planner of this root, version and set of namespaces, which is started where none listens.
int connect_planner(void);
// What a planner that could not start has said, in the log file beneath the root.
const char *planner_complaint(void);

// ---- ask.c ----
// Has the planner carry out the verb; returns the exit status.
int ask_planner(int argc, char **argv);
int ask_verb(const char *verb, const char *id, const char *option);
// What this call's planner began to make and cannot undo, since it was killed: another one is asked to.
void undo_call(void);

// ---- launch.c ----
struct launched {
	pid_t pid;
	int pidfd, console, report;
};
int launch_container(int planner, struct packet *packet);

// ---- process.c ----
// Starts the launcher from its memfd: `fds` become its descriptors 0 and on.
pid_t start_launcher(int program, const char *title, const int *fds, unsigned count, int cgroup);
void reap(pid_t pid);
// Makes the container's stdio its user's, so that /dev/stdout can be opened again.
void chown_stdio(uid_t uid);
bool write_pid_file(const char *path, pid_t pid);

// ---- hooks.c ----
// Runs them in order; NULL, or what failed.
const char *run_hooks(struct flat *flat, pid_t pid);
// Runs those of the planner's message and tells it what came of it.
void answer_hooks(int planner, struct packet *packet);

// ---- console.c ----
int connect_console(const char *path);
bool send_console(int socket, int master);

// ---- foreground.c ----
// Hands signals and, with a console, the terminal on until the process ends; its exit status.
int attend(pid_t pid, int pidfd, int console);

// ---- status.c ----
enum status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_PAUSED, STATUS_STOPPED };
struct container {
	const char *id;
	int directory;
	pid_t pid;
	const char *start_time, *freezer, *flags, *head, *tail;
	const char *cgroups; // paths, each ended by NUL, the last one empty
	const char *bundle, *created;
	enum status status;
};
// Whether there is one, and whether there is at least its directory, as a create leaves it that is killed early.
bool has_container(const char *id);
bool has_directory(const char *id);
// False where there is none.
bool load_container(const char *id, struct container *container);
// Dies where there is none.
struct container find_container(const char *id);
const char *status_name(enum status status);

int verb_state(void);
int verb_list(void);
int verb_kill(void);
int verb_start(void);
int verb_delete(void);
// `delete --force` of a container whose end `run` has seen.
int delete_ended(const char *id);
// ---- members.c ----
// To every process of its cgroup, and of those beneath it.
void signal_all(const struct container *container, int number);

// Opens the door behind `socket` and waits for the program to be executed; NULL, or what failed.
const char *open_door(int socket);
// What the launcher reports of a failed step behind the door.
const char *failure_text(const struct packet *report);
