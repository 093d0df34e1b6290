// The flat table that tells the launcher what to do; written by core's src/launch-table.ts.
//
// Little endian as the machine, everything unaligned:
//   header   "HFT1", u32 size, u32 steps, then the fields of `struct header` in order
//   steps    u32 opcode, u32 payload size, payload
// A number is u32 or u64; text is u32 length, the bytes, and a NUL that is not counted; a list is a u32 count
// and its elements; a descriptor is its number in the launcher's own table, as u32.
//
// The last step of a launcher that was started ahead comes alone, as it would stand here, with the word at the door.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	const char *at, *end;
	// Set by the first read beyond the end or of malformed text. What was read then is zero or "".
	bool broken;
};

uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
// A descriptor, or -1 for "none".
int read_fd(struct reader *reader);
// Text inside the table: NUL-terminated, without a NUL before its end.
const char *read_text(struct reader *reader);
// Raw bytes: u32 length and the bytes.
const void *read_bytes(struct reader *reader, uint32_t *size);
// A reader of the next `size` bytes, which are skipped.
struct reader read_part(struct reader *reader, uint32_t size);
// Skips a list of texts and returns how many there are.
uint32_t skip_texts(struct reader *reader);
