// Messages as runc writes them: logrus lines, as text or JSON.
#include "front.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void put_json(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c == '\n')
			fputs("\\n", out);
		else if (*c < 0x20)
			fprintf(out, "\\u%04x", *c);
		else
			fputc(*c, out);
	}
	fputc('"', out);
}

static void put_line(FILE *out, const char *level, const char *text)
{
	char now[40];
	time_t seconds = time(NULL);
	struct tm utc;

	strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
	if (front.log_json) {
		fprintf(out, "{\"level\":\"%s\",\"msg\":", level);
		put_json(out, text);
		fprintf(out, ",\"time\":\"%s\"}\n", now);
	} else {
		fprintf(out, "time=\"%s\" level=%s msg=", now, level);
		put_json(out, text);
		fputc('\n', out);
	}
}

// One write(2) per line: several calls may share the file.
static void log_line(const char *level, const char *text)
{
	char *line = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&line, &size);

	put_line(memory, level, text);
	fclose(memory);
	int fd = front.log_path ? open(front.log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : STDERR_FILENO;
	if (fd < 0 || write(fd, line, size) < 0)
		dprintf(STDERR_FILENO, "%s: %s\n", front.log_path ? front.log_path : "log", "cannot be written");
	if (fd > STDERR_FILENO)
		close(fd);
	free(line);
}

void say(const char *level, const char *format, ...)
{
	char text[4096];
	va_list arguments;

	if (!front.debug && !strcmp(level, "debug"))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	log_line(level, text);
}

void fail_text(const char *text)
{
	log_line("error", text);
	if (front.log_path)
		dprintf(STDERR_FILENO, "%s\n", text);
}

void die(int status, const char *format, ...)
{
	char text[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	fail_text(text);
	exit(status);
}
