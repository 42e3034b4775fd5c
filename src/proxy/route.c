#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "proxy/balance.h"

static void build_target(struct target *t, const char *key, const struct conf_server *conf,
	struct servers *servers, routes_resolve *resolve, void *arg)
{
	const struct endpoints *found;

	t->server = servers_get(servers, key, &conf->address);
	t->weight = (unsigned)conf->weight;
	t->backup = conf->backup;
	t->hash = balance_hash(conf->address.text, strlen(conf->address.text));
	if (conf->address.kind != ADDRESS_NAME) {
		t->endpoints = mem_zalloc(sizeof(*t->endpoints));
		t->n = address_to_endpoint(&conf->address, t->endpoints, NULL) == 0;
		return;
	}
	found = resolve(arg, &conf->address);
	t->n = found ? found->n : 0;
	t->endpoints = t->n ? mem_dup(found->v, found->n * sizeof(*found->v)) : NULL;
}

static char *key_of(const struct conf_route *route)
{
	struct str key = {0};

	str_addf(&key, "%s", route->hosts.v[0]);
	for (size_t i = 0; i < route->listeners.n; i++)
		str_addf(&key, "%c%s", i ? ',' : '@', route->listeners.v[i]);
	return key.data;
}

static void build_route(struct route *r, const struct conf *conf, const struct conf_route *from,
	struct servers *servers, routes_resolve *resolve, void *arg)
{
	*r = (struct route){
		.key = key_of(from),
		.policy.min_version = from->min_version ? from->min_version : conf->tls.min_version,
		.balance = from->balance,
		.connect_ms = from->connect_ms,
		.idle_ms = from->idle_ms,
		.half_closed_ms = from->half_closed_ms,
		.n_targets = from->n_servers,
	};
	r->policy.alpn =
		tls_alpn_wire(from->has_alpn ? &from->alpn : &conf->tls.alpn, &r->policy.alpn_len);
	r->targets = mem_zalloc(from->n_servers * sizeof(*r->targets));
	for (size_t i = 0; i < from->n_servers; i++)
		build_target(&r->targets[i], r->key, &from->servers[i], servers, resolve, arg);
	r->turns = balance_turns_new(r, (size_t)conf->workers);
}

static bool serves(const struct conf_route *route, const char *listener)
{
	for (size_t i = 0; i < route->listeners.n; i++)
		if (listener && strcmp(route->listeners.v[i], listener) == 0)
			return true;
	return route->listeners.n == 0;
}

struct routes *routes_build(const struct conf *conf, const char *const *listener_names,
	size_t n_listeners, struct servers *servers, routes_resolve *resolve, void *arg)
{
	struct routes *r = mem_zalloc(sizeof(*r));

	atomic_init(&r->refs, 1);
	r->n = conf->n_routes;
	r->v = mem_zalloc(r->n * sizeof(*r->v));
	r->n_listeners = n_listeners;
	r->by_listener = mem_zalloc(n_listeners * sizeof(*r->by_listener));
	r->default_by_listener = mem_zalloc(n_listeners * sizeof(*r->default_by_listener));
	for (size_t l = 0; l < n_listeners; l++)
		r->by_listener[l] = names_new();
	for (size_t i = 0; i < r->n; i++) {
		const struct conf_route *from = &conf->routes[i];

		build_route(&r->v[i], conf, from, servers, resolve, arg);
		for (size_t l = 0; l < n_listeners; l++) {
			if (!serves(from, listener_names[l]))
				continue;
			for (size_t h = 0; h < from->hosts.n; h++)
				if (strcmp(from->hosts.v[h], "default") == 0)
					r->default_by_listener[l] = &r->v[i];
				else
					*names_slot(r->by_listener[l], from->hosts.v[h]) = &r->v[i];
		}
	}
	return r;
}

struct routes *routes_ref(struct routes *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void routes_unref(struct routes *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < r->n; i++) {
		for (size_t t = 0; t < r->v[i].n_targets; t++) {
			server_unref(r->v[i].targets[t].server);
			free(r->v[i].targets[t].endpoints);
		}
		free(r->v[i].targets);
		free(r->v[i].policy.alpn);
		free(r->v[i].turns);
		free(r->v[i].key);
	}
	for (size_t l = 0; l < r->n_listeners; l++)
		names_free(r->by_listener[l]);
	free(r->by_listener);
	free(r->default_by_listener);
	free(r->v);
	free(r);
}

struct route *routes_find(const struct routes *r, size_t listener, const char *name)
{
	struct route *found = *name ? names_find(r->by_listener[listener], name) : NULL;

	return found ? found : r->default_by_listener[listener];
}
