/* What the workers run on: makes snapshots, gives each to every worker, and knows when all have it.
 * What it keeps beside the newest snapshot outlives reloads: servers, route counts, clients' counts
 * and the addresses of names. Control thread only. */
#ifndef LINTEL_PUBLISH_H
#define LINTEL_PUBLISH_H

#include "build.h"
#include "proxy/health.h"
#include "proxy/worker.h"
#include "renewals.h"
#include "resolve.h"

struct publisher {
	struct snapshot *snapshot; /* the newest, with its configuration; NULL before the first */
	struct certs *served;      /* the newest table that every worker has taken up */
	int64_t loaded;            /* Unix s: when the configuration was */
	struct worker **workers;
	size_t n_workers, n_ended;
	size_t unseen; /* publications that workers have not taken up yet */
	atomic_uint_fast64_t connections;
	uint64_t fds_for_sessions; /* descriptors that sessions may use, two each */
	struct servers servers;
	struct crowds crowds;
	struct clients *clients; /* NULL until a configuration limits them by address */
	struct resolver *resolver;
	struct health *health;
	struct renewals *renewals;
	struct mailbox home; /* workers' reports */
	bool draining;       /* nothing is published any more */
};

/* fds_for_sessions is set; `names` are the jobs that look up servers' names. */
int publisher_init(struct publisher *p, struct event_base *base, struct jobs *names,
	struct renewals *renewals, struct error *err);
/* The first snapshot, and the workers with it. Takes everything out of `b`. */
int publisher_start(struct publisher *p, struct built *b, struct error *err);

/* After a reload; takes everything out of `b`. */
void publisher_set(struct publisher *p, struct built *b);
void publisher_set_certs(struct publisher *p, struct certs *certs); /* takes the reference */
/* New ticket keys, after TICKETS_ROTATE_S. */
void publisher_rotate_tickets(struct publisher *p);
void publisher_tick(struct publisher *p); /* once a second, until draining: names, health */

void publisher_tell(struct publisher *p, enum worker_verb verb);
/* Workers are told to drain: nothing is published from here on. */
void publisher_drain(struct publisher *p);
/* Takes in the workers' reports. True when every worker has the newest snapshot. */
bool publisher_reports(struct publisher *p);
bool publisher_has_ended(const struct publisher *p); /* each worker has */

void publisher_join(struct publisher *p);  /* waits for the workers' threads */
void publisher_clear(struct publisher *p); /* after the jobs have come home */

#endif
