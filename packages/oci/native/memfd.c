// What is too large for a packet. It comes from our own program: what can't be read is a defect, and ends the call.
#include "front.h"

#include <errno.h>
#include <string.h>

char *read_memfd(int fd, size_t *size)
{
	char *text = memfd_text(fd, size);

	if (!text)
		die(1, "holdfast-oci: a descriptor of the planner cannot be read: %s", strerror(errno));
	return text;
}

int memfd_of(const char *name, const void *data, size_t size)
{
	int fd = memfd_with(name, data, size);

	if (fd < 0)
		die(1, "memfd_create: %s", strerror(errno));
	return fd;
}
