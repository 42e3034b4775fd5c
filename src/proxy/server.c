#include "proxy/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

const char *const server_mode_names[SERVER_MODES] = {
	[SERVER_ENABLED] = "enabled",
	[SERVER_DRAIN] = "drain",
	[SERVER_DISABLED] = "disabled",
};

struct server *server_ref(struct server *s)
{
	keyed_ref(&s->keyed);
	return s;
}

void server_unref(struct server *s)
{
	if (!s || !keyed_unref(&s->keyed))
		return;
	pthread_mutex_destroy(&s->lock);
	address_clear(&s->address);
	free(s->keyed.key);
	free(s);
}

static void drop(void *entry)
{
	server_unref(entry);
}

void servers_begin(struct servers *all)
{
	all->build++;
}

struct server *servers_get(
	struct servers *all, const char *route_key, const struct address *address)
{
	char *key = mem_printf("%s|%s", route_key, address->text);
	struct server *s = registry_find(&all->registry, key);

	/* One that left and is back is a new one; the other is still there for its sessions. */
	if (s && all->build - s->build > 1) {
		registry_remove(&all->registry, s, drop);
		s = NULL;
	}
	if (s) {
		free(key);
	} else {
		s = registry_add(&all->registry, key, sizeof(*s));
		address_copy(&s->address, address);
		pthread_mutex_init(&s->lock, NULL);
	}
	s->build = all->build;
	return server_ref(s);
}

void servers_sweep(struct servers *all)
{
	registry_sweep(&all->registry, drop);
}

void servers_clear(struct servers *all)
{
	registry_clear(&all->registry, drop);
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

void server_note_failure(struct server *s, const char *what, const char *why)
{
	struct server_failure f = {.time = clock_wall_s()};

	snprintf(f.text, sizeof(f.text), "%s: %s", what, why);
	for (char *c = f.text; *c; c++)
		if (*c < 0x20 || *c >= 0x7f)
			*c = '?';
	pthread_mutex_lock(&s->lock);
	s->failure = f;
	pthread_mutex_unlock(&s->lock);
}

bool server_last_failure(struct server *s, struct server_failure *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->failure;
	pthread_mutex_unlock(&s->lock);
	return out->time != 0;
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
