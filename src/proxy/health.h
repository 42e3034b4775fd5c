/* Health: which servers are down. Each is checked as its route's health_check says, `fall` bad
 * results in a row take it out, `rise` good ones bring it back. One whose connects failed `fall`
 * times in a row (proxy/server.h: workers) is taken back in the same way, by connecting to it where
 * its route has no checks. What is known of a server outlives reloads.
 *
 * It lives on the control loop, and never blocks. Control thread only. */
#ifndef LINTEL_PROXY_HEALTH_H
#define LINTEL_PROXY_HEALTH_H

#include <event2/event.h>

#include "proxy/route.h"

#define HEALTH_DESCRIPTORS 64 /* used at most: checks at a time */

struct health;

struct health *health_new(struct event_base *base, struct error *err);
void health_free(struct health *h); /* NULL is fine */

/* These are the routes now, made from this configuration: at each publication. */
void health_update(struct health *h, struct conf *conf, struct routes *routes);
/* Once a second: looks for servers that workers have taken out. */
void health_tick(struct health *h);

struct health_row { /* results in a row that speak against what a server is */
	bool down;  /* what it was then */
	unsigned n;
};

/* One more result. True when the server is no longer what it is: down, or up. */
bool health_count(struct health_row *row, bool down, bool good, unsigned rise, unsigned fall);

#endif
