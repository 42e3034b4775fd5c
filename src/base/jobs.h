/* Threads for work that blocks, and a bounded queue in front of them. A job is a struct of the
 * caller's with a `struct job` first: run() is called in a job thread, then done() in the thread
 * that owns the mailbox `home` (by jobs_done). One caller; the job belongs to the queue until
 * done() is called. */
#ifndef LINTEL_BASE_JOBS_H
#define LINTEL_BASE_JOBS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/mailbox.h"

struct job {
	struct mail mail; /* its link, in the queue and on its way home */
	void (*run)(struct job *job);
	void (*done)(struct job *job); /* frees the job; told by jobs_stop() too, never run then */
};

struct jobs;
struct jobs *jobs_start(unsigned threads, size_t max, struct mailbox *home, struct error *err);
/* False when `max` jobs wait already: the job is still the caller's. */
bool jobs_submit(struct jobs *j, struct job *job);
/* Calls done() of each finished job in `mail`, as taken from `home`. */
void jobs_done(struct mail *mail);
/* Waits until running jobs end, or `wait_ms` passed: then threads and queue are left behind and
 * false is returned, for a process that ends now (getaddrinfo cannot be told to stop). Queued jobs
 * are handed to done() without being run. */
bool jobs_stop(struct jobs *j, long wait_ms);
/* After a jobs_stop() that gave up, in a process that ends now: nobody will join the threads. */
void jobs_abandon(struct jobs *j);

#endif
