/* limits.per_ip, limits.rate and a route's limits.connections, as a session meets them: asked on
 * its way, left at its end. What is refused is counted by reason, and told in the log now and then;
 * whoever asked ends the session. The worker's thread only, but for struct crowd. */
#ifndef LINTEL_PROXY_LIMITS_H
#define LINTEL_PROXY_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "proxy/registry.h"

struct routes;
struct session;

/* A route's connections now, of all workers, where the route has a limit. It outlasts reloads, as
 * its route does, by the route's key. */
struct crowd {
	struct keyed keyed;
	atomic_uint_fast64_t connections;
};

/* Control's registry of them. Control thread only. */
struct crowds {
	struct registry registry;
};

/* Gives a crowd to each route that has a limit, before the routes are published. */
void crowds_attach(struct crowds *all, struct routes *routes);
void crowds_sweep(struct crowds *all); /* forgets those that nobody else refers to */
void crowds_clear(struct crowds *all);
void crowd_unref(struct crowd *c); /* NULL is fine */

/* The client's address is known: whether it may have one more connection. */
bool limits_admit(struct session *s);
/* The ClientHello has chosen a route that ends TLS here: whether its client may have a handshake
 * now. Whether it would be a resumed one is not known yet, and makes no difference. */
bool limits_admit_handshake(struct session *s);
/* Whether the session's route may have one more. The route may be asked for again, or for another
 * one after it. */
bool limits_admit_to_route(struct session *s);
/* The session is over. */
void limits_leave(struct session *s);

#endif
