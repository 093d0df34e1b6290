#include "table.h"

#include "text.h"

static const char *take(struct reader *reader, size_t size)
{
	const char *at = reader->at;

	if (reader->broken || size > (size_t)(reader->end - at)) {
		reader->broken = true;
		return NULL;
	}
	reader->at += size;
	return at;
}

uint32_t read_u32(struct reader *reader)
{
	uint32_t value = 0;
	const char *at = take(reader, sizeof value);

	if (at)
		memcpy(&value, at, sizeof value);
	return value;
}

uint64_t read_u64(struct reader *reader)
{
	uint64_t value = 0;
	const char *at = take(reader, sizeof value);

	if (at)
		memcpy(&value, at, sizeof value);
	return value;
}

int read_fd(struct reader *reader)
{
	return (int)read_u32(reader);
}

const void *read_bytes(struct reader *reader, uint32_t *size)
{
	*size = read_u32(reader);
	return take(reader, *size);
}

const char *read_text(struct reader *reader)
{
	uint32_t length = read_u32(reader);
	const char *text = take(reader, (size_t)length + 1);

	if (!text)
		return "";
	if (text[length] || text_length(text) != length) {
		reader->broken = true;
		return "";
	}
	return text;
}

struct reader read_part(struct reader *reader, uint32_t size)
{
	const char *at = take(reader, size);

	if (!at)
		return (struct reader){.broken = true};
	return (struct reader){.at = at, .end = at + size};
}

uint32_t skip_texts(struct reader *reader)
{
	uint32_t count = read_u32(reader);

	for (uint32_t i = 0; i < count && !reader->broken; i++)
		read_text(reader);
	return count;
}
