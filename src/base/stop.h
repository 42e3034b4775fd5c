/* How a job is told to stop: a flag, and a descriptor to wait on beside others. Set once, by any
 * thread; looked at by any. It outlives the jobs that it was given to. Where a `struct stop *` is
 * taken, NULL is one that is never set. */
#ifndef LINTEL_BASE_STOP_H
#define LINTEL_BASE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct stop {
	atomic_bool set;
	int fd; /* readable once it is set: for poll(); nobody reads from it */
};

int stop_init(struct stop *s, struct error *err);
void stop_clear(struct stop *s);
void stop_set(struct stop *s);
bool stop_is_set(const struct stop *s);
/* Sleeps so long, or until it is set: true then. */
bool stop_wait(const struct stop *s, int64_t ms);

/* How long something may take that is done in several steps. */
struct limits {
	const struct stop *stop; /* NULL = never */
	int64_t deadline_ms;     /* clock_mono_ms() */
};

/* These limits, but for `ms` at most. */
struct limits limits_within(const struct limits *l, int64_t ms);

#endif
