#include "proxy/server.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

const char *const server_mode_names[SERVER_MODES] = {
	[SERVER_ENABLED] = "enabled",
	[SERVER_DRAIN] = "drain",
	[SERVER_DISABLED] = "disabled",
};

struct server *server_ref(struct server *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void server_unref(struct server *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	address_clear(&s->address);
	free(s->key);
	free(s);
}

static int compare_servers(const void *a, const void *b)
{
	return strcmp(((const struct server *)a)->key, ((const struct server *)b)->key);
}

void servers_begin(struct servers *all)
{
	all->build++;
}

struct server *servers_get(
	struct servers *all, const char *route_key, const struct address *address)
{
	char *key = mem_printf("%s|%s", route_key, address->text);
	const struct server wanted = {.key = key};
	struct server *const *found = tfind(&wanted, &all->tree, compare_servers);
	struct server *s = found ? *found : NULL;

	/* One that left and is back is a new one; the other is still there for its sessions. */
	if (s && all->build - s->build > 1) {
		tdelete(s, &all->tree, compare_servers);
		server_unref(s);
		s = NULL;
	}
	if (s) {
		free(key);
	} else {
		s = mem_zalloc(sizeof(*s));
		atomic_init(&s->refs, 1);
		s->key = key;
		address_copy(&s->address, address);
		if (!tsearch(s, &all->tree, compare_servers))
			abort(); /* out of memory */
	}
	s->build = all->build;
	return server_ref(s);
}

struct unused { /* servers that only the registry refers to */
	struct server **v;
	size_t n;
};

static void collect_unused(const void *node, VISIT visit, void *arg)
{
	struct server *s = *(struct server *const *)node;
	struct unused *u = arg;

	if ((visit == postorder || visit == leaf) &&
		atomic_load_explicit(&s->refs, memory_order_acquire) == 1)
		*(struct server **)mem_grow(&u->v, u->n++, sizeof(*u->v)) = s;
}

void servers_sweep(struct servers *all)
{
	struct unused u = {0};

	twalk_r(all->tree, collect_unused, &u);
	for (size_t i = 0; i < u.n; i++) {
		tdelete(u.v[i], &all->tree, compare_servers);
		server_unref(u.v[i]);
	}
	free(u.v);
}

static void unref_node(void *node)
{
	server_unref(node);
}

void servers_clear(struct servers *all)
{
	tdestroy(all->tree, unref_node);
	all->tree = NULL;
}

bool server_set_down(struct server *s, bool down)
{
	if (atomic_exchange_explicit(&s->down, down, memory_order_relaxed) == down)
		return false;
	atomic_store_explicit(&s->since, clock_wall_s(), memory_order_relaxed);
	atomic_fetch_add_explicit(&s->changes, 1, memory_order_relaxed);
	return true;
}

bool server_set_mode(struct server *s, enum server_mode mode)
{
	if (atomic_exchange_explicit(&s->mode, (int)mode, memory_order_relaxed) == (int)mode)
		return false;
	atomic_store_explicit(&s->since, clock_wall_s(), memory_order_relaxed);
	return true;
}

void server_begin(struct server *s)
{
	int_fast64_t never = 0;

	atomic_compare_exchange_strong_explicit(
		&s->since, &never, clock_wall_s(), memory_order_relaxed, memory_order_relaxed);
}

bool server_failed(struct server *s, unsigned fall)
{
	unsigned failed = atomic_fetch_add_explicit(&s->failed, 1, memory_order_relaxed) + 1;

	atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
	return fall && failed >= fall && server_set_down(s, true);
}

bool server_is_to_blame(int err)
{
	switch (err) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
	case EPERM: return false;
	default: return true;
	}
}
