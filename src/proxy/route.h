/* Routes: which backend gets the decrypted bytes, by listener and server name. A route's backend is
 * a set of servers, each with the addresses known at the moment.
 *
 * A struct server lives across reloads in control's registry, for its counters; workers reach it
 * through the routes and pin it while a session uses it. struct routes is immutable once published
 * (but for the turns, each written by one worker). */
#ifndef LINTEL_PROXY_ROUTE_H
#define LINTEL_PROXY_ROUTE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/address.h"
#include "conf/conf.h"
#include "tls/handshake.h"

struct server {
	atomic_uint refs;
	struct address address; /* its identity */
	atomic_uint_fast64_t active, connects, failures;
};

/* Control's registry of all servers, by address. Control thread only. */
struct servers {
	void *tree; /* of tsearch() */
};

/* The server with this address, made when new. New reference. */
struct server *servers_get(struct servers *all, const struct address *address);
/* The same, NULL when there is none. Borrowed. */
struct server *servers_find(const struct servers *all, const struct address *address);
void servers_sweep(struct servers *all); /* forgets those that nobody else refers to */
void servers_clear(struct servers *all);
struct server *server_ref(struct server *s);
void server_unref(struct server *s);

struct endpoints { /* the addresses of one host name */
	struct endpoint *v;
	size_t n;
};

struct target { /* a server as a route sees it */
	struct server *server;
	struct endpoint *endpoints; /* tried in this order */
	size_t n;                   /* 0 = its name is not resolved (yet) */
};

struct route {
	struct tls_policy policy;
	struct target *targets;
	size_t n_targets;
	int64_t connect_ms, idle_ms, half_closed_ms;
	atomic_uint *turn; /* whose turn it is, one for each worker */
};

struct routes {
	atomic_uint refs;
	struct route *v; /* in the configuration's order */
	size_t n;
	size_t n_listeners;
	struct names **by_listener;         /* name -> struct route, for each listener */
	struct route **default_by_listener; /* NULL = none */
};

/* Asks for the addresses of a server whose address is a name; returns none while they are unknown.
 */
typedef const struct endpoints *routes_resolve(void *arg, const struct address *address);

/* New reference. `listener_names` in the order of the listeners, NULL for one without a name. */
struct routes *routes_build(const struct conf *conf, const char *const *listener_names,
	size_t n_listeners, struct servers *servers, routes_resolve *resolve, void *arg);
struct routes *routes_ref(struct routes *r);
void routes_unref(struct routes *r);

/* Exact, else one-label wildcard, else the default; NULL = none. `name` "" = no name. */
struct route *routes_find(const struct routes *r, size_t listener, const char *name);

#endif
