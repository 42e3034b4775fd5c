/* Which value belongs to a server name: a map of exact names and a suffix tree of wildcard names,
 * labels from the right. "*.x" covers exactly one label: a.x, never x or a.b.x; an exact name wins
 * over a wildcard. Built by one thread, then immutable and read by any. Values are borrowed. */
#ifndef LINTEL_BASE_NAMES_H
#define LINTEL_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#define NAME_MAX_BYTES 253
#define NAME_SIZE      (NAME_MAX_BYTES + 1)

/* Trims white space, drops one trailing dot, lower-cases ASCII. False, and `out` empty, when the
 * rest is empty, longer than 253 bytes, or has an empty label or a byte outside letters, digits,
 * "-", "_" and ".". */
bool name_normalise(char out[NAME_SIZE], const char *name, size_t len);
/* The same for a pattern: a name, or "*." in front of one ("*.*.x" and "a.*.x" are none). */
bool name_normalise_pattern(char out[NAME_SIZE], const char *pattern, size_t len);

struct names;
struct names *names_new(void);
void names_free(struct names *n); /* NULL is fine */

/* Where the value of a normalised pattern lies, made (holding NULL) when it is not there yet. The
 * place is valid until the next call. */
void **names_slot(struct names *n, const char *pattern);
size_t names_count(const struct names *n);

/* The value for a normalised name: exact, else one-label wildcard, else NULL. */
void *names_find(const struct names *n, const char *name);

#endif
