/* The timetable of autocert: which provider is looked at when, renewals that somebody forced, and
 * who watches them. Each look is a job (obtain.h); the jobs run side by side, a provider's own one
 * after the other. Control thread only. */
#ifndef LINTEL_AUTOCERT_AUTOCERT_H
#define LINTEL_AUTOCERT_AUTOCERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "autocert/event.h"
#include "autocert/obtain.h"
#include "base/jobs.h"
#include "base/mailbox.h"
#include "conf/conf.h"
#include "tls/cert.h"

struct autocert;
struct provider; /* main or an extra */

struct autocert_owner {
	void *arg;
	/* Whether it is this certificate that is served from the provider's files. */
	bool (*serves)(void *arg, const struct conf_autocert *a, const struct cert *c);
	/* The provider's files are to be served from now on; autocert_swapped() is to be called
	 * once they are, later. */
	void (*swap)(void *arg, struct provider *p);
	void (*event)(void *arg, const struct autocert_event *e);
};

/* `home` is that of `jobs`. */
struct autocert *autocert_new(
	struct jobs *jobs, struct mailbox *home, const struct autocert_owner *owner);
/* At start, and after a reload: every provider is looked at at once. An order of a provider whose
 * configuration is another one now is stopped. Takes a reference to `c`. */
void autocert_configure(struct autocert *ac, struct conf *c);
/* About once a second. */
void autocert_tick(struct autocert *ac);
/* The answer to swap(); `problem` NULL = every worker serves it. */
void autocert_swapped(struct autocert *ac, struct provider *p, const char *problem);
/* Tells all jobs to stop; no other begins. They take up to OBTAIN_STOP_MS. */
void autocert_stop(struct autocert *ac);
void autocert_free(struct autocert *ac); /* after all jobs have come home */

/* Who watches a forced renewal; the caller's, until the last event. */
struct autocert_watch {
	/* STEP_DONE is the last one. */
	void (*event)(struct autocert_watch *w, const struct autocert_event *e);
	size_t waiting; /* ours: providers that are not done yet */
	size_t failed;
};

enum autocert_asked {
	ASKED_STARTED,
	ASKED_RUNNING, /* one runs already: nothing was started */
	ASKED_UNKNOWN, /* there is no provider of this name */
	ASKED_NOTHING, /* `local` has nothing to renew */
};

/* What autocert_renew() would answer now. */
enum autocert_asked autocert_may_renew(const struct autocert *ac, const char *name);
/* `name` NULL = all. `w` NULL = nobody watches. No event comes before it returns. */
enum autocert_asked autocert_renew(struct autocert *ac, const char *name, struct autocert_watch *w);
/* No event will come any more; the renewal goes on. */
void autocert_unwatch(struct autocert *ac, struct autocert_watch *w);

struct autocert_status {
	const struct conf_autocert *conf;
	const struct obtained *last; /* what the last look found; NULL = `local`, or none yet */
	bool running;                /* a certificate is being obtained, or swapped */
	uint64_t renewals, failures; /* since start */
};

/* Provider `i` in the order of the configuration; false beyond the last. Borrowed. */
bool autocert_get(const struct autocert *ac, size_t i, struct autocert_status *out);

#endif
