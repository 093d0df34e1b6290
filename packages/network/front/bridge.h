// What the files of holdfast-bridge's front end share. It is one short-lived process per CNI call:
//
//   main.c ── ask.c ──packets──► the helper (core's front/helper.c starts it), a Node process that answers many calls
//     │         └─ plugin.c: another plugin, run for addresses as a child of this process
//     ├─ version.c: VERSION, which podman asks with each of its commands
//     └─ where there can be no helper: becomes Node, which answers this one call
#pragma once

#include "warm.h"

struct config {
	char *text; // what was on standard input
	size_t size;
};

// ---- ask.c ----
// The call's exit status; -1 where no helper took it up, or one went without an answer: nothing was printed.
int ask_helper(const struct helper *helper, const struct config *config);

// ---- plugin.c ----
// Runs it and answers the helper: `r`, u8 1, u32 wait status, and a memfd of what it printed; or `r`, u8 0, an errno's text.
void run_plugin(int helper, const char *program, const char *command, const struct config *config);

// ---- version.c ----
// Answers VERSION. False where it is not asked for in the words that runtimes use, which is for Node to answer.
bool answer_version(const struct config *config);
