/* What joins autocert to the rest: renewed certificates are swapped by the reloader, people are
 * notified, and those who forced a renewal are shown its events. Control thread only. */
#ifndef LINTEL_RENEWALS_H
#define LINTEL_RENEWALS_H

#include "autocert/autocert.h"
#include "notices.h"
#include "reload.h"

struct renewals {
	struct autocert *autocert;
	struct reloader *reloader;
	struct notices *notices;
	const struct certs *certs; /* of the newest snapshot; borrowed, NULL before the first */
	int64_t next_end;          /* when the first of them ends that is valid now */
};

void renewals_init(struct renewals *r, struct jobs *jobs, struct mailbox *home,
	struct reloader *reloader, struct notices *notices);
/* What is served from now on; borrowed until the next call. */
void renewals_set_certs(struct renewals *r, const struct certs *certs);
/* The certificate that is served from a provider's files; NULL = none. */
const struct cert *renewals_cert(const struct renewals *r, const struct conf_autocert *a);
/* At start and after each reload. */
void renewals_configure(struct renewals *r, struct conf *conf);
void renewals_tick(struct renewals *r); /* about once a second */
void renewals_stop(struct renewals *r);
void renewals_clear(struct renewals *r); /* after all jobs have come home */

#endif
