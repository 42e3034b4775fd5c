#include "proxy/limits.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/session.h"

/* Crowds */

void crowd_unref(struct crowd *c)
{
	if (!c || !keyed_unref(&c->keyed))
		return;
	free(c->keyed.key);
	free(c);
}

static void drop(void *entry)
{
	crowd_unref(entry);
}

void crowds_attach(struct crowds *all, struct routes *routes)
{
	for (size_t i = 0; i < routes->n; i++) {
		struct route *r = &routes->v[i];

		if (!r->max_connections)
			continue;
		r->crowd = registry_find(&all->registry, r->key);
		if (!r->crowd)
			r->crowd =
				registry_add(&all->registry, mem_strdup(r->key), sizeof(*r->crowd));
		keyed_ref(&r->crowd->keyed);
	}
}

void crowds_sweep(struct crowds *all)
{
	registry_sweep(&all->registry, drop);
}

void crowds_clear(struct crowds *all)
{
	registry_clear(&all->registry, drop);
}

/* Sessions */

static bool refuse(struct session *s, enum refusal why, const char *limit)
{
	stats_count(&s->worker->stats.refused[why], 1);
	record_reason(s->record, refusal_names[why]);
	session_log(s, LOG_INFO, "refused by %s", limit);
	return false;
}

bool limits_admit(struct session *s)
{
	struct worker *w = s->worker;

	if (!s->snapshot->clients)
		return true;
	switch (clients_enter(s->snapshot->clients, &s->snapshot->client_limits, &s->from.sa,
		w->now, &s->counted)) {
	case CLIENT_TAKEN: return true;
	case CLIENT_UNTRACKED: stats_count(&w->stats.clients_untracked, 1); return true;
	case CLIENT_PER_IP: return refuse(s, REFUSED_PER_IP, "limits.per_ip");
	case CLIENT_RATE: break;
	}
	return refuse(s, REFUSED_RATE, "limits.rate.connections");
}

bool limits_admit_handshake(struct session *s)
{
	if (!s->counted || !s->snapshot->clients ||
		clients_may_handshake(s->snapshot->clients, &s->snapshot->client_limits, s->counted,
			s->worker->now))
		return true;
	return refuse(s, REFUSED_HANDSHAKE_RATE, "limits.rate.handshakes");
}

static void leave_crowd(struct session *s)
{
	if (s->crowd)
		atomic_fetch_sub_explicit(&s->crowd->connections, 1, memory_order_relaxed);
	crowd_unref(s->crowd);
	s->crowd = NULL;
}

bool limits_admit_to_route(struct session *s)
{
	struct crowd *c = s->route->crowd;

	if (s->crowd == c)
		return true;
	leave_crowd(s);
	if (!c)
		return true;
	/* Counted first, as other workers do the same at the same time. */
	keyed_ref(&c->keyed);
	s->crowd = c;
	if (atomic_fetch_add_explicit(&c->connections, 1, memory_order_relaxed) <
		s->route->max_connections)
		return true;
	leave_crowd(s);
	return refuse(s, REFUSED_ROUTE, "its route's limits.connections");
}

void limits_leave(struct session *s)
{
	if (s->counted)
		clients_leave(s->worker->clients, s->counted);
	s->counted = NULL;
	leave_crowd(s);
}
