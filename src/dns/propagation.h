/* Whether a record is everywhere: asked of the servers that the CA will ask, never of a resolver,
 * which would remember that it was not there. Blocking: a job. Belongs to provider.c. */
#ifndef LINTEL_DNS_PROPAGATION_H
#define LINTEL_DNS_PROPAGATION_H

#include "dns/provider.h"
#include "dns/servers.h"

struct dns_patience {
	int64_t timeout_ms, interval_ms;
};

/* Waits until `servers` (those without an address do not count) have all of the `n` records, of one
 * zone, or the time is over: then the sentence says which has not which. `begin_ms`: when the time
 * began, as the zones of one order share it. */
int propagation_wait(const struct dns_job *j, const struct dns_servers *servers,
	const struct dns_txt *const *v, size_t n, const struct dns_patience *patience,
	int64_t begin_ms, struct error *err);

#endif
