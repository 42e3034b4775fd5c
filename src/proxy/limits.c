#include "proxy/limits.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/session.h"

/* Crowds */

static struct crowd *crowd_ref(struct crowd *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void crowd_unref(struct crowd *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(c->key);
	free(c);
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct crowd *)a)->key, ((const struct crowd *)b)->key);
}

static struct crowd *crowds_get(struct crowds *all, char *key)
{
	const struct crowd wanted = {.key = key};
	struct crowd *const *found = tfind(&wanted, &all->tree, compare);
	struct crowd *c;

	if (found)
		return crowd_ref(*found);
	c = mem_zalloc(sizeof(*c));
	atomic_init(&c->refs, 1);
	c->key = mem_strdup(key);
	if (!tsearch(c, &all->tree, compare))
		abort(); /* out of memory */
	return crowd_ref(c);
}

void crowds_attach(struct crowds *all, struct routes *routes)
{
	for (size_t i = 0; i < routes->n; i++)
		if (routes->v[i].max_connections)
			routes->v[i].crowd = crowds_get(all, routes->v[i].key);
}

struct unused { /* crowds that only the registry refers to */
	struct crowd **v;
	size_t n;
};

static void collect_unused(const void *node, VISIT visit, void *arg)
{
	struct crowd *c = *(struct crowd *const *)node;
	struct unused *u = arg;

	if ((visit == postorder || visit == leaf) &&
		atomic_load_explicit(&c->refs, memory_order_acquire) == 1)
		*(struct crowd **)mem_grow(&u->v, u->n++, sizeof(*u->v)) = c;
}

void crowds_sweep(struct crowds *all)
{
	struct unused u = {0};

	twalk_r(all->tree, collect_unused, &u);
	for (size_t i = 0; i < u.n; i++) {
		tdelete(u.v[i], &all->tree, compare);
		crowd_unref(u.v[i]);
	}
	free(u.v);
}

static void unref_node(void *node)
{
	crowd_unref(node);
}

void crowds_clear(struct crowds *all)
{
	tdestroy(all->tree, unref_node);
	all->tree = NULL;
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
	s->crowd = crowd_ref(c);
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
