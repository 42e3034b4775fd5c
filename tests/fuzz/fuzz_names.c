/* Server names: whatever a client sends as SNI is normalised and looked up. The input is lines;
 * those that are patterns make the table, then each line is looked up and compared with the rule
 * said plainly. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#include "base/names.h"

#define LINES_MAX 64

struct line {
	char name[NAME_SIZE], pattern[NAME_SIZE];
	bool has_name, has_pattern;
};

static size_t read_lines(struct line *lines, const char *p, size_t size)
{
	size_t n = 0;

	while (size && n < LINES_MAX) {
		const char *nl = memchr(p, '\n', size);
		size_t len = nl ? (size_t)(nl - p) : size;
		struct line *l = &lines[n++];

		l->has_name = name_normalise(l->name, p, len);
		l->has_pattern = name_normalise_pattern(l->pattern, p, len);
		p += nl ? len + 1 : len;
		size -= nl ? len + 1 : len;
	}
	return n;
}

/* The line of the same pattern that came first. */
static struct line *find_pattern(struct line *lines, size_t n, const char *pattern)
{
	for (size_t i = 0; i < n; i++) {
		if (lines[i].has_pattern && strcmp(lines[i].pattern, pattern) == 0)
			return &lines[i];
	}
	return NULL;
}

static struct line *find_plainly(struct line *lines, size_t n, const char *name)
{
	struct line *found = find_pattern(lines, n, name);
	const char *dot = strchr(name, '.');
	char wild[NAME_SIZE + 1] = "*";

	if (found || !dot)
		return found;
	strcpy(wild + 1, dot);
	return find_pattern(lines, n, wild);
}

static void check(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct line lines[LINES_MAX];
	struct names *names = names_new();
	size_t n = read_lines(lines, (const char *)data, size);

	for (size_t i = 0; i < n; i++) {
		char again[NAME_SIZE];

		if (!lines[i].has_pattern) {
			check(!lines[i].has_name && lines[i].pattern[0] == '\0');
			continue;
		}
		/* What is normalised stays as it is. */
		check(name_normalise_pattern(again, lines[i].pattern, strlen(lines[i].pattern)));
		check(strcmp(again, lines[i].pattern) == 0);
		void **slot = names_slot(names, lines[i].pattern);
		if (!*slot)
			*slot = &lines[i];
	}
	for (size_t i = 0; i < n; i++) {
		if (lines[i].has_name)
			check(names_find(names, lines[i].name) ==
				find_plainly(lines, n, lines[i].name));
	}
	names_free(names);
	return 0;
}
