/* Servers' host names, resolved by getaddrinfo in jobs: at once when new, every 30 s (5 s while
 * that fails), and after a connect failure. A failure keeps the addresses that were found before.
 * Control thread only. */
#ifndef LINTEL_RESOLVE_H
#define LINTEL_RESOLVE_H

#include "base/jobs.h"
#include "proxy/route.h"

struct resolver;
/* `changed` is called when a name's addresses are not what they were. */
struct resolver *resolver_new(struct jobs *jobs, void (*changed)(void *arg), void *arg);
void resolver_free(struct resolver *r); /* after its jobs have stopped */

/* A routes_resolve: notes that the name is wanted, and starts on it when it is new. */
const struct endpoints *resolver_get(void *resolver, const struct address *address);
/* Around a routes_build(): names that were not asked for in between are forgotten. */
void resolver_begin(struct resolver *r);
void resolver_end(struct resolver *r);
/* Once a second: starts what is due. The servers of `routes` tell of connect failures. */
void resolver_tick(struct resolver *r, const struct routes *routes);

#endif
