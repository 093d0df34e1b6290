// Starts the CNI plugin, which is JavaScript, on a Node that is found by place and not by luck: container runtimes
// call plugins with whatever PATH they were given. execve(2), proc(5); needs nothing; blocks never.
//
// Node, in this order: $HOLDFAST_NODE; a link `node` beside this file; PATH; /usr/local/bin, /usr/bin. Variables that
// change how Node starts are meant for other programs and are taken out. A failure is said as the specification wants
// it: JSON on standard output.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char** environ;

static const char script[] = "/../../dist/holdfast-bridge.cjs";

static int fail(const char* message, const char* details) {
  printf("{\"cniVersion\":\"1.1.0\",\"code\":199,\"msg\":\"holdfast-bridge: %s\",\"details\":\"%s\"}\n", message, details);
  return 1;
}

static void forget_node_variables(void) {
  char** to = environ;
  for (char** from = environ; *from != NULL; from++)
    if (strncmp(*from, "NODE_", 5) != 0) *to++ = *from;
  *to = NULL;
}

// Returns where this one can't be executed, to try the next.
static void try_node(const char* node, const char* path) {
  char* const arguments[] = {"holdfast-bridge", "--single-threaded", "--v8-pool-size=0", (char*)path, NULL};
  if (node != NULL && node[0] == '/') execve(node, arguments, environ);
}

static void try_path(const char* path) {
  const char* directories = getenv("PATH");
  char node[PATH_MAX];
  while (directories != NULL && *directories != '\0') {
    size_t length = strcspn(directories, ":");
    if ((size_t)snprintf(node, sizeof node, "%.*s/node", (int)length, directories) < sizeof node) try_node(node, path);
    directories += length;
    if (*directories == ':') directories++;
  }
}

int main(void) {
  char own[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
  if (length < 0) return fail("cannot tell where it lies", "/proc must be mounted.");
  own[length] = '\0';
  char* slash = strrchr(own, '/');
  if (slash != NULL) *slash = '\0';
  char path[PATH_MAX + sizeof script];
  snprintf(path, sizeof path, "%s%s", own, script);
  if (access(path, R_OK) < 0) return fail("dist/holdfast-bridge.cjs is missing", "Link to this file instead of copying it.");
  char beside[PATH_MAX + 8];
  snprintf(beside, sizeof beside, "%s/node", own);
  const char* chosen = getenv("HOLDFAST_NODE");
  forget_node_variables();
  try_node(chosen, path);
  try_node(beside, path);
  try_path(path);
  try_node("/usr/local/bin/node", path);
  try_node("/usr/bin/node", path);
  return fail("no Node to run on", "Install Node 24 or later, or set HOLDFAST_NODE to its path.");
}
