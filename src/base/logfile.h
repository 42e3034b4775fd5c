/* A file of lines, written by a thread of its own from a bounded queue, so that a slow disk, a full
 * one or a pipe that nobody reads holds nobody up; lines that must be dropped are counted. There is
 * one of these for each log. They live as long as the process: any thread may add lines at any
 * time; the rest is for one thread (control). */
#ifndef LINTEL_BASE_LOGFILE_H
#define LINTEL_BASE_LOGFILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct logfile {
	/* Set where it is defined. */
	const char *option; /* errors begin with it */
	int gather_ms;      /* a pause after each write, so that the next one takes many lines */
	/* Makes the line that tells the losses so far in the file itself; NULL = told elsewhere. */
	void (*loss_line)(struct str *line, uint64_t lost);

	atomic_uint_fast64_t dropped;
	pthread_mutex_t lock; /* of these six */
	pthread_cond_t wake;
	struct str queued; /* whole lines */
	bool on, stopping;
	int next;          /* the descriptor to go on with; -1 = the one that is in use */
	int64_t end_until; /* ms: for a pipe's reader to take the last lines; 0 = no end in sight */

	/* The owner's. */
	pthread_t thread;
	bool started;
	char *file; /* NULL = none */

	/* The thread's. */
	int fd;
	bool torn; /* the last line was written in part */
	uint64_t told;
};

/* The rest of an initialiser. */
#define LOGFILE_INIT                                                                               \
	.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .next = -1, .fd = -1

/* Starts the thread, unless it runs. Lines are for nobody until there is a file to use. */
int logfile_start(struct logfile *f, struct error *err);
/* Writes what is queued, and ends the thread. What a pipe's reader does not take soon is lost. */
void logfile_stop(struct logfile *f);

/* A change of file in two steps, of which only the first can fail. "-" is standard error. A pipe
 * is not waited for: somebody must be reading. */
int logfile_open(const struct logfile *f, const char *file, struct error *err);
void logfile_use(struct logfile *f, const char *file, int fd); /* takes the descriptor */
/* Opens its file anew, as a rotated log wants it; the old one stays in use when that fails. */
int logfile_reopen(struct logfile *f, struct error *err);
/* What is queued is written still; then the file is closed, until another is used. */
void logfile_rest(struct logfile *f);

/* `data` is whole lines. False when there is no file that they are for. */
bool logfile_add(struct logfile *f, const char *data, size_t len);
uint64_t logfile_dropped(const struct logfile *f); /* lines lost so far */

#endif
