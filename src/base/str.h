/* Strings: a growing buffer, and what is done to text that people or peers wrote.
 * Plain data of one thread. */
#ifndef LINTEL_BASE_STR_H
#define LINTEL_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
	char *data; /* NUL-terminated once anything was added; NULL before */
	size_t len;
};

void str_add(struct str *s, const void *data, size_t len);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void str_clear(struct str *s); /* frees; the struct may be used again */

/* Writes bytes of a peer as printable ASCII: others, quotes and backslashes as \xNN, cut with "..."
 * where it does not fit `size` (at least 8). Returns `out`. */
const char *str_escape(char *out, size_t size, const void *bytes, size_t len);

/* Appends text as a line of a log may show it: UTF-8 as it is, control characters and other bytes
 * as \xNN; with `json` as the inside of a JSON string. */
void str_add_printable(struct str *line, const char *s, bool json);

/* The word of `words` (n of them, NULLs skipped) that is nearest to `word` when a person could have
 * meant it (an edit distance of at most a third of the length, letter case ignored); else NULL. */
const char *str_nearest(const char *word, const char *const *words, size_t n);

bool str_starts(const char *s, const char *prefix);
void str_lower(char *s);                                /* ASCII only */
void str_hex(char *out, const void *bytes, size_t len); /* lower case; 2 * len + 1 bytes */

#endif
