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
	struct snapshot *copy = snapshot_new(s);

	SSL_CTX_up_ref(copy->ctx);
	certs_ref(copy->certs);
	tickets_ref(copy->tickets);
	listeners_ref(copy->listeners);
	routes_ref(copy->routes);
	return copy;
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
	SSL_CTX_free(s->ctx);
	certs_unref(s->certs);
	tickets_unref(s->tickets);
	listeners_unref(s->listeners);
	routes_unref(s->routes);
	free(s);
}
