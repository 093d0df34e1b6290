// Reads the planner's flat layout. It comes from our own program: what is malformed is a defect, and ends the call.
#include "front.h"

#include <stdlib.h>
#include <string.h>

static const char *take(struct flat *flat, size_t size)
{
	const char *at = flat->at;

	if ((size_t)(flat->end - at) < size)
		die(1, "holdfast-oci: a message of the planner is cut short");
	flat->at += size;
	return at;
}

uint32_t flat_u32(struct flat *flat)
{
	uint32_t value;

	memcpy(&value, take(flat, sizeof value), sizeof value);
	return value;
}

int64_t flat_i64(struct flat *flat)
{
	int64_t value;

	memcpy(&value, take(flat, sizeof value), sizeof value);
	return value;
}

const char *flat_text(struct flat *flat)
{
	uint32_t size = flat_u32(flat);

	return take(flat, (size_t)size + 1);
}

char **flat_texts(struct flat *flat)
{
	uint32_t count = flat_u32(flat);
	char **texts = calloc((size_t)count + 1, sizeof *texts);

	for (uint32_t i = 0; i < count; i++)
		texts[i] = (char *)flat_text(flat);
	return texts;
}
