/* Routes: which backend gets the decrypted bytes, by listener and server name. A route's backend is
 * a set of servers, each with the addresses known at the moment. struct routes is immutable once
 * published (but for the turns, each written by one worker). */
#ifndef LINTEL_PROXY_ROUTE_H
#define LINTEL_PROXY_ROUTE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/address.h"
#include "conf/conf.h"
#include "proxy/limits.h"
#include "proxy/server.h"
#include "proxy/trust.h"
#include "tls/handshake.h"

struct endpoints { /* the addresses of one host name */
	struct endpoint *v;
	size_t n;
};

struct target { /* a server as a route sees it */
	struct server *server;
	struct endpoint *endpoints; /* tried in this order */
	size_t n;                   /* 0 = its name is not resolved (yet) */
	unsigned weight;
	bool backup;
	uint64_t hash;             /* of its address, for balance: source */
	struct outbound *outbound; /* borrowed from the trust; NULL = it is talked to in clear */
};

struct route {
	/* What it is called, over reloads: its first host, "@LISTENER,..." where it has listeners
	 * of its own, and "#alpn" when it passes TLS through for some protocols: the hosts may have
	 * another route for the rest. */
	char *key;
	struct tls_policy policy;
	struct target *targets;
	size_t n_targets;
	bool passthrough; /* TLS is its servers' business; `policy` has the protocols it takes */
	enum conf_balance balance;
	enum conf_proxy_protocol proxy_protocol;
	unsigned fall; /* so many connects that fail in a row take a server out */
	int64_t slow_start_ms;
	int64_t connect_ms, idle_ms, half_closed_ms;
	uint64_t max_connections; /* 0 = no limit */
	struct crowd *crowd;      /* its connections; NULL = nobody counts */
	void *turns;              /* of each worker: balance_turns() */
};

struct route_table {
	struct names *names;    /* name -> struct route */
	struct route *fallback; /* of the host `default`; NULL = none */
};

struct routes {
	atomic_uint refs;
	struct trust *trust; /* of this configuration; routes borrow from it */
	struct route *v;     /* in the configuration's order */
	size_t n;
	size_t n_listeners;
	struct listener_routes {
		struct route_table all;
		struct route_table by_alpn; /* passthrough routes that take some protocols only */
		bool passes;                /* it has a passthrough route */
		bool redirects;             /* it has none at all, but sends clients to ... */
		uint16_t https_port;        /* ... this one */
	} * by_listener;
};

/* Asks for the addresses of a server whose address is a name; returns none while they are unknown.
 */
typedef const struct endpoints *routes_resolve(void *arg, const struct address *address);

/* New reference. `listener_names` in the order of the listeners, NULL for one without a name. */
struct routes *routes_build(const struct conf *conf, struct trust *trust,
	const char *const *listener_names, size_t n_listeners, struct servers *servers,
	routes_resolve *resolve, void *arg);
struct routes *routes_ref(struct routes *r);
void routes_unref(struct routes *r);

/* Exact, else one-label wildcard, else the default; NULL = none. `name` "" = no name. */
struct route *routes_find(const struct routes *r, size_t listener, const char *name);
/* The passthrough route for a client that offers these protocols (as on the wire): first one that
 * takes one of them, then the route that has the name, if it is such; else NULL. */
struct route *routes_find_passthrough(const struct routes *r, size_t listener, const char *name,
	const unsigned char *alpn, size_t len);

#endif
