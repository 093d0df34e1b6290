#include "text.h"

void *memcpy(void *to, const void *from, size_t size)
{
	char *out = to;
	const char *in = from;

	while (size--)
		*out++ = *in++;
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	char *out = to;

	while (size--)
		*out++ = (char)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a, *y = b;

	for (; size; size--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

bool text_equal(const char *a, const char *b)
{
	return text_length(a) == text_length(b) && memcmp(a, b, text_length(a)) == 0;
}

bool text_starts(const char *text, const char *prefix)
{
	return text_length(text) >= text_length(prefix) && memcmp(text, prefix, text_length(prefix)) == 0;
}

void put_text(struct line *line, const char *text)
{
	for (; *text; text++) {
		if (line->at == line->end) {
			line->full = true;
			return;
		}
		*line->at++ = *text;
	}
}

void put_padded(struct line *line, uint64_t number, int width)
{
	char digits[24];
	char *at = digits + sizeof digits;

	*--at = 0;
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
		width--;
	} while (number || width > 0);
	put_text(line, at);
}

void put_number(struct line *line, uint64_t number)
{
	put_padded(line, number, 1);
}
