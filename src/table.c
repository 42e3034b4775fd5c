#include "table.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *table_duration(char out[32], uint64_t s)
{
	if (s >= 86400)
		snprintf(out, 32, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(out, 32, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(out, 32, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(out, 32, "%" PRIu64 "s", s);
	return out;
}

void table_add(struct table *t, char *const cells[])
{
	char *(*row)[TABLE_COLUMNS_MAX] = mem_grow(&t->rows, t->n++, sizeof(*t->rows));

	memcpy(*row, cells, sizeof(*cells) * (size_t)t->columns);
	/* Names in certificates may hold anything; it must not reach the terminal as such. */
	for (int c = 0; c < t->columns; c++)
		for (char *p = (*row)[c]; *p; p++)
			if (iscntrl((unsigned char)*p))
				*p = '?';
}

void table_print(struct table *t)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t r = 0; r < t->n; r++)
		for (int c = 0; c < t->columns; c++)
			if (strlen(t->rows[r][c]) > widths[c])
				widths[c] = strlen(t->rows[r][c]);
	for (size_t r = 0; r < t->n; r++) {
		for (int c = 0; c < t->columns; c++) {
			bool last = c == t->columns - 1;

			if (t->n > 1)
				printf("%-*s%s", last ? 0 : (int)widths[c], t->rows[r][c],
					last ? "\n" : "  ");
			free(t->rows[r][c]);
		}
	}
	free(t->rows);
}
