/* Reloads, and swaps of renewed certificates, one at a time: a job builds, the owner publishes, and
 * whoever asked is told once every worker has taken it up. All or nothing: with any problem what
 * runs stays as it was. Control thread only. */
#ifndef LINTEL_RELOAD_H
#define LINTEL_RELOAD_H

#include <stdint.h>

#include "admin/admin.h"
#include "base/jobs.h"
#include "build.h"
#include "proxy/snapshot.h"

struct reload_owner {
	void *arg;
	/* What runs now. Returns the reference that keeps it while the job reads it. */
	struct snapshot *(*before)(void *arg, struct build_before *before);
	/* Makes `b` what runs, taking everything out of it. Or -1, with why not. */
	int (*publish)(void *arg, struct built *b, struct error *err);
	/* Takes the table of certificates that is to be served from now on. */
	void (*publish_certs)(void *arg, struct certs *certs);
};

enum reload_kind {
	RELOAD_CERTS, /* the files of autocert only: others are served on, whatever they hold now */
	RELOAD_ALL,
	RELOAD_KINDS,
};

struct reloader {
	const char *file;
	struct jobs *jobs;
	struct reload_owner owner;
	struct reload *running; /* NULL = none */
	struct reload_queue {   /* for the next one of a kind */
		struct reload_waiter {
			admin_reload_done *done;
			void *arg;
		} * waiters;
		size_t n;
		bool wanted;
	} queues[RELOAD_KINDS];
	bool stopping;
	uint64_t succeeded, failed; /* RELOAD_ALL */
	char *last_error;           /* the first problem of the last one, when that failed */
};

void reloader_init(
	struct reloader *r, const char *file, struct jobs *jobs, const struct reload_owner *owner);
/* `done` is called once, now or later; NULL = nobody waits (SIGHUP). */
void reloader_ask(struct reloader *r, enum reload_kind kind, admin_reload_done *done, void *arg);
/* Every worker has taken up what was published. */
void reloader_taken_up(struct reloader *r);
/* No reload begins any more, and whoever waits is told so. */
void reloader_stop(struct reloader *r);
void reloader_clear(struct reloader *r); /* after its jobs have come home */

#endif
