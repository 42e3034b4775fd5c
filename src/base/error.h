/* Errors as sentences. A function that can fail takes `struct error *err` last, sets the sentence
 * where the fault is seen, and each level above puts what it was doing in front; whoever decides
 * what follows logs it, once. `err` may be NULL where the caller does not care.
 *
 * Where all faults are wanted and not only the first (a configuration, a reload), they are gathered
 * in a `struct problems`. Both are plain data of one thread. */
#ifndef LINTEL_BASE_ERROR_H
#define LINTEL_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#define ERROR_MAX 1024

struct error {
	char text[ERROR_MAX]; /* a sentence without a full stop; empty = none */
};

/* Sets the sentence. Returns -1, so that a caller may `return error_set(...)`. */
int error_set(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, followed by ": " and what errno says. */
int error_set_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "PREFIX: " in front of the sentence that is there. Returns -1. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "; MORE" behind it, which is cut where both are too long. Returns -1. */
int error_append(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

struct problems {
	char **lines; /* in the order found */
	size_t n;
};

#define PROBLEMS_MAX 1000 /* the last line then says that there are more */

void problems_add(struct problems *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void problems_clear(struct problems *p);

#endif
