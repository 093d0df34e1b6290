// Bytes and text. The compiler itself calls the mem functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t text_length(const char *text);
bool text_equal(const char *a, const char *b);
bool text_starts(const char *text, const char *prefix);

// A line under construction in a fixed buffer; what doesn't fit sets `full` and is left out.
struct line {
	char *at, *end;
	bool full;
};
void put_text(struct line *line, const char *text);
void put_number(struct line *line, uint64_t number);
// Left-filled with zeros to `width` digits.
void put_padded(struct line *line, uint64_t number, int width);
