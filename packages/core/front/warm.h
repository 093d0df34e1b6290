// What the front ends of warm helpers share: small static C programs, one short life per call, in front of a Node process
// that is started by the first call, stays while there are more, and ends by itself (src/helper-service.ts).
// holdfast-bridge (packages/network) and holdfast-oci (packages/oci) are such. Nothing here ends the process: failures are -1 or false, with errno.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ---- packet.c: one message of a SOCK_SEQPACKET socket, with descriptors ----
#define PACKET_LIMIT 4096
#define PACKET_FDS 250
struct packet {
	size_t size;
	char data[PACKET_LIMIT + 1]; // ended by NUL
	int count, fds[PACKET_FDS];
};
// EPIPE where the other end is gone.
bool send_packet(int socket, const void *data, size_t size, const int *fds, int count);
// A size of 0 is the end.
bool receive_packet(int socket, struct packet *packet);
void close_packet(struct packet *packet);
// What is too large for a packet goes in a memfd. `memfd_text` ends it with NUL; NULL with errno.
int memfd_with(const char *name, const void *data, size_t size);
char *memfd_text(int fd, size_t *size);
// Beneath an open directory, however long its path is.
int connect_at(int directory, const char *name, int type);
int listen_at(int directory, const char *name, int type);

// ---- program.c: what lies beside the front end, and Node ----
// `beneath` the directory `up` levels above the running program. False where its path is too long.
bool program_path(char path[PATH_MAX], int up, const char *beneath);
// $HOLDFAST_NODE, what the link `beside` leads to, the first in PATH, or a usual place; false: there is none.
bool find_node(char path[PATH_MAX], const char *beside);

// ---- helper.c ----
struct helper {
	int directory; // where it listens, and `path` is its path
	const char *path;
	const char *kind; // `planner`: the socket is .planner-HASH, its standard error .planner-HASH.log
	uint64_t key; // of all that it must have in common with its caller
	const char *node, *script, *title;
	bool own_network; // it is started in an empty network namespace, so as to hold nobody's
};
#define HELPER_KEY 0xcbf29ce484222325ULL
void mix(uint64_t *key, const void *data, size_t size);
// Its device and inode: what it is, whatever its name.
void mix_file(uint64_t *key, const char *path);
// An upgraded program is another; false where it is not there.
bool mix_program(uint64_t *key, const char *path);
// In which paths, pids and user ids mean what they mean to this process.
void mix_world(uint64_t *key);
// Connects to the helper, which is started where none listens, with `--serve SOCKET` and the listening socket as its
// descriptor 3. Its owner is this user or root, or else it is EPERM.
int connect_helper(const struct helper *helper);
// One of this call's own, with `--once` and the connection as its descriptor 3; it keeps this process's stdio.
int private_helper(const struct helper *helper);
// What a helper that could not start has said.
void helper_complaint(const struct helper *helper, char *text, size_t size);
