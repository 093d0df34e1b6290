// The channel to the shim, a SOCK_SEQPACKET pair: one message is one packet.
//
//   u32 type, u32 step, i64 value, text (system call NUL detail NUL, for an error); a descriptor by SCM_RIGHTS
//
// The answer to `sync` and `ready` is one byte.
//
// What has no descriptor goes by write(2): once a container's filter is loaded this is the one call that is needed for
// it, and the one that the specification's readers know may not wait for a listener.
#include "launcher.h"

#include "text.h"

#include <linux/socket.h>

struct io_vector {
	const void *base;
	size_t size;
};

struct message_header {
	void *name;
	int name_size;
	struct io_vector *vectors;
	size_t vector_count;
	void *control;
	size_t control_size;
	int flags;
};

struct rights {
	size_t size;
	int level, type;
	int fd;
	int padding;
};

#define SOL_SOCKET_ 1
#define SCM_RIGHTS_ 1
#define MSG_NOSIGNAL_ 0x4000
#define MSG_CMSG_CLOEXEC_ 0x40000000

static long send_fd(int socket, const void *data, size_t size, int fd)
{
	struct io_vector vector = {data, size};
	struct rights rights = {sizeof(size_t) + 3 * sizeof(int), SOL_SOCKET_, SCM_RIGHTS_, fd, 0};
	struct message_header header = {.vectors = &vector, .vector_count = 1};

	if (fd >= 0) {
		header.control = &rights;
		header.control_size = sizeof rights;
	}
	return sys(sendmsg, socket, &header, MSG_NOSIGNAL_);
}

int receive_trust(int socket, int fds[TRUST_LIMIT], char name[NAME_LIMIT])
{
	char byte;
	struct io_vector vectors[] = {{&byte, 1}, {name, NAME_LIMIT - 1}};
	struct {
		size_t size;
		int level, type;
		int fds[TRUST_LIMIT];
	} rights = {0};
	struct message_header header = {
		.vectors = vectors, .vector_count = 2, .control = &rights, .control_size = sizeof rights};
	long size;

	do
		size = sys(recvmsg, socket, &header, MSG_CMSG_CLOEXEC_);
	while (size == -EINTR);
	name[size > 1 ? size - 1 : 0] = 0;
	if (size < 1 || header.control_size <= sizeof(size_t) + 2 * sizeof(int))
		return 0;
	int count = (int)((rights.size - sizeof(size_t) - 2 * sizeof(int)) / sizeof(int));
	for (int i = 0; i < count; i++)
		fds[i] = rights.fds[i];
	return count;
}

static long send_message(struct launch *launch, enum message type, long value, int fd, const char *text, size_t size)
{
	char packet[16 + 600];
	uint32_t head[2] = {type, launch->step};
	int64_t number = value;

	if (launch->report < 0)
		return 0;
	if (size > sizeof packet - 16)
		size = sizeof packet - 16;
	memcpy(packet, head, 8);
	memcpy(packet + 8, &number, 8);
	memcpy(packet + 16, text, size);
	return fd < 0 ? sys(write, launch->report, packet, 16 + size) : send_fd(launch->report, packet, 16 + size, fd);
}

long report(struct launch *launch, enum message type, long value, int fd)
{
	long result = send_message(launch, type, value, fd, "", 0);
	return result < 0 ? failed(launch, "write", "report", result) : 0;
}

void report_error(struct launch *launch, long error)
{
	char text[600];
	struct line line = {text, text + sizeof text - 2, false};

	put_text(&line, launch->syscall ? launch->syscall : "");
	*line.at++ = 0;
	put_text(&line, launch->detail ? launch->detail : "");
	*line.at++ = 0;
	send_message(launch, MESSAGE_ERROR, -error, -1, text, (size_t)(line.at - text));
}

// The size of what came, at least 1.
static long await_word(struct launch *launch, char *word, size_t room)
{
	for (;;) {
		long size = sys(read, launch->report, word, room);
		if (size > 0)
			return size;
		if (size != -EINTR)
			return size < 0 ? failed(launch, "read", "the word to go on", size)
					: failed(launch, "read", "whoever would say to go on is gone", -EPIPE);
	}
}

long await_answer(struct launch *launch)
{
	char byte;
	long size = await_word(launch, &byte, 1);

	return size < 0 ? size : 0;
}

long await_program(struct launch *launch)
{
	char *word = (char *)launch->room;
	long size = await_word(launch, word, PROGRAM_ROOM);

	if (size < 0)
		return size;
	launch->program = (struct reader){.at = word + 1, .end = word + size};
	return 0;
}
