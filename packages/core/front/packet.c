// Packets with descriptors over SOCK_SEQPACKET, and what is too large for one in memfds.
#include "warm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool send_packet(int socket, const void *data, size_t size, const int *fds, int count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * PACKET_FDS)] = {0};
	struct iovec bytes = {(void *)data, size};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

	if (count > 0) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
		struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
		*rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS,
					   .cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count)};
		memcpy(CMSG_DATA(rights), fds, sizeof(int) * (size_t)count);
	}
	ssize_t sent;
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)size;
}

bool receive_packet(int socket, struct packet *packet)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * PACKET_FDS)];
	struct iovec bytes = {packet->data, PACKET_LIMIT};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t size;

	packet->count = 0;
	packet->size = 0;
	do
		size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return false;
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
		if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
			continue;
		packet->count = (int)((each->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(packet->fds, CMSG_DATA(each), sizeof(int) * (size_t)packet->count);
	}
	packet->size = (size_t)size;
	packet->data[size] = 0;
	return true;
}

void close_packet(struct packet *packet)
{
	for (int i = 0; i < packet->count; i++)
		close(packet->fds[i]);
	packet->count = 0;
}

char *memfd_text(int fd, size_t *size)
{
	off_t length = lseek(fd, 0, SEEK_END);
	char *text = length < 0 ? NULL : malloc((size_t)length + 1);

	if (!text || pread(fd, text, (size_t)length, 0) != length) {
		free(text);
		return NULL;
	}
	text[length] = 0;
	if (size)
		*size = (size_t)length;
	return text;
}

int memfd_with(const char *name, const void *data, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	for (size_t at = 0; fd >= 0 && at < size;) {
		ssize_t written = write(fd, (const char *)data + at, size - at);
		if (written < 0) {
			close(fd);
			return -1;
		}
		at += (size_t)written;
	}
	return fd;
}

// sun_path has 108 bytes, a directory's path may have more.
static struct sockaddr_un address_at(int directory, const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name);
	return address;
}

int connect_at(int directory, const char *name, int type)
{
	struct sockaddr_un address = address_at(directory, name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int listen_at(int directory, const char *name, int type)
{
	struct sockaddr_un address = address_at(directory, name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	mode_t before = umask(0177);

	if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1024) < 0)) {
		int error = errno;
		close(fd);
		errno = error;
		fd = -1;
	}
	umask(before);
	return fd;
}
