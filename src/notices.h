/* What people are told by notifications, put into words: the start with every date, certificates
 * that were renewed, renewals that failed. Control thread only. */
#ifndef LINTEL_NOTICES_H
#define LINTEL_NOTICES_H

#include "autocert/event.h"
#include "notify/notify.h"
#include "tls/certs.h"

struct told; /* of whom a failure was told, and when */

struct notices {
	struct notify *notify;
	struct told *told;
	size_t n_told;
};

/* `jobs` is where tries run. */
int notices_init(struct notices *n, struct event_base *base, struct jobs *jobs, struct error *err);
/* At start and after each reload. */
void notices_configure(struct notices *n, struct conf *c);
/* Once, when it serves. */
void notices_start(struct notices *n, const struct conf *c, const struct certs *certs);
/* What happened to a certificate; `cert` is what is served for it, NULL = none. A failure is told
 * when it is the first, and then once a day. */
void notices_event(struct notices *n, const struct autocert_event *e, const struct conf_autocert *a,
	const struct cert *cert);
void notices_stop(struct notices *n);
void notices_clear(struct notices *n); /* after all jobs have come home */

#endif
