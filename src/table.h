/* Tables for people, on standard output. */
#ifndef LINTEL_TABLE_H
#define LINTEL_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define TABLE_COLUMNS_MAX 8

struct table { /* rows of cells, the first one the heading */
	char *(*rows)[TABLE_COLUMNS_MAX];
	size_t n;
	int columns;
};

/* Takes the cells, of which there are t->columns. */
void table_add(struct table *t, char *const cells[]);
/* Prints and clears it; a heading with nothing under it is left out. */
void table_print(struct table *t);

/* "3d 4h", "5m 10s": the two largest units. Returns `out`. */
const char *table_duration(char out[32], uint64_t s);

#endif
