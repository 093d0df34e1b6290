// `list [-q] [-f table|json]`: from the status files alone.
#include "front.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct listed {
	struct container *containers;
	size_t count;
};

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct container *)a)->id, ((const struct container *)b)->id);
}

// What is deleted in this moment is none.
static struct listed read_root(void)
{
	struct listed all = {0};
	DIR *root = front.root_fd < 0 ? NULL : fdopendir(front.root_fd);
	struct dirent *entry;

	while (root && (entry = readdir(root))) {
		all.containers = realloc(all.containers, (all.count + 1) * sizeof *all.containers);
		if (load_container(strdup(entry->d_name), &all.containers[all.count]))
			all.count++;
	}
	if (all.count)
		qsort(all.containers, all.count, sizeof *all.containers, by_id);
	return all;
}

static pid_t pid_of(const struct container *container)
{
	return container->status == STATUS_STOPPED ? 0 : container->pid;
}

// Who made it.
static const char *owner_of(const struct container *container)
{
	static char text[16];
	struct stat status;

	if (fstat(container->directory, &status) == 0 && status.st_uid == 0)
		return "root";
	snprintf(text, sizeof text, "#%u", status.st_uid);
	return text;
}

// The planner's JSON is indented; as runc has it, a list is not.
static void put_compact(const char *json, size_t length)
{
	bool text = false;

	for (const char *at = json; at < json + length; at++) {
		if (*at == '"')
			text = !text;
		if (text && *at == '\\' && at + 1 < json + length)
			putchar(*at++);
		if (text || (*at != ' ' && *at != '\n'))
			putchar(*at);
	}
}

static void put_json(const struct container *container)
{
	const char *owner = strstr(container->tail, "  \"owner\": \"\"\n}"); // the last field, which `state` leaves empty
	size_t length = owner ? (size_t)(owner - container->tail) : strlen(container->tail);

	put_compact(container->head, strlen(container->head));
	printf("\"pid\":%d,\"status\":\"%s\",", pid_of(container), status_name(container->status));
	put_compact(container->tail, length);
	if (owner)
		printf("\"owner\":\"%s\"}", owner_of(container));
}

static void print_json(const struct listed *all)
{
	if (!all->count)
		puts("null");
	for (size_t i = 0; i < all->count; i++) {
		putchar(i ? ',' : '[');
		put_json(&all->containers[i]);
	}
	if (all->count)
		puts("]");
}

enum { COLUMNS = 6, LEAST_WIDTH = 12, SPACE = 3 };

// As Go's tabwriter sets them for runc.
static void print_table(const struct listed *all)
{
	static const char *const heads[COLUMNS] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
	const char *(*rows)[COLUMNS] = calloc(all->count + 1, sizeof *rows);
	int widths[COLUMNS] = {0};

	memcpy(rows[0], heads, sizeof heads);
	for (size_t i = 0; i < all->count; i++) {
		const struct container *each = &all->containers[i];
		char *pid = malloc(12);
		snprintf(pid, 12, "%d", pid_of(each));
		const char *row[] = {each->id, pid, status_name(each->status), each->bundle, each->created, strdup(owner_of(each))};
		memcpy(rows[i + 1], row, sizeof row);
	}
	for (size_t i = 0; i <= all->count; i++)
		for (int column = 0; column < COLUMNS; column++) {
			int width = (int)strlen(rows[i][column]) + SPACE;
			widths[column] = width > widths[column] ? width : widths[column];
			widths[column] = widths[column] < LEAST_WIDTH ? LEAST_WIDTH : widths[column];
		}
	for (size_t i = 0; i <= all->count; i++) {
		for (int column = 0; column < COLUMNS - 1; column++)
			printf("%-*s", widths[column], rows[i][column]);
		puts(rows[i][COLUMNS - 1]);
	}
}

int verb_list(void)
{
	const char *format = "table", *value;
	bool quiet = false;

	for (int at = front.verb_at + 1; at < front.argc; at++) {
		if (is_switch(front.argv[at], "quiet", &quiet) || is_switch(front.argv[at], "q", &quiet))
			continue;
		if ((value = option_value(front.argv, front.argc, &at, "format")) ||
		    (value = option_value(front.argv, front.argc, &at, "f")))
			format = value;
		else if (front.argv[at][0] == '-')
			die(1, "flag provided but not defined: %s", front.argv[at]);
	}
	bool json = !strcmp(format, "json");
	if (!json && strcmp(format, "table"))
		die(1, "invalid format option");
	struct listed all = read_root();
	for (size_t i = 0; quiet && i < all.count; i++)
		puts(all.containers[i].id);
	if (!quiet)
		(json ? print_json : print_table)(&all);
	return fflush(stdout) == 0 ? 0 : 1;
}
