#include "proxy/snapshot.h"

#include <stdlib.h>

#include "base/mem.h"

struct snapshot *snapshot_new(const struct snapshot *parts)
{
	struct snapshot *s = mem_dup(parts, sizeof(*parts));

	atomic_init(&s->refs, 1);
	return s;
}

struct snapshot *snapshot_copy(const struct snapshot *s)
{
	/* Member by member: other threads count `refs` up and down meanwhile. */
	struct snapshot parts = {
		.conf = conf_ref(s->conf),
		.ctx = s->ctx,
		.certs = certs_ref(s->certs),
		.tickets = tickets_ref(s->tickets),
		.listeners = listeners_ref(s->listeners),
		.routes = routes_ref(s->routes),
		.strict_sni = s->strict_sni,
		.clients = s->clients,
		.client_limits = s->client_limits,
		.handshake_ms = s->handshake_ms,
		.max_connections = s->max_connections,
	};

	SSL_CTX_up_ref(parts.ctx);
	return snapshot_new(&parts);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void snapshot_unref(struct snapshot *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	conf_unref(s->conf);
	SSL_CTX_free(s->ctx);
	certs_unref(s->certs);
	tickets_unref(s->tickets);
	listeners_unref(s->listeners);
	routes_unref(s->routes);
	free(s);
}
