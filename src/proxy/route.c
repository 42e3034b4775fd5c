#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "proxy/balance.h"
#include "proxy/redirect.h"

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
	} else {
		found = resolve(arg, &conf->address);
		t->n = found ? found->n : 0;
		t->endpoints = t->n ? mem_dup(found->v, found->n * sizeof(*found->v)) : NULL;
	}
	if (t->n)
		server_begin(t->server);
}

static char *key_of(const struct conf_route *route)
{
	struct str key = {0};

	str_addf(&key, "%s", route->hosts.v[0]);
	for (size_t i = 0; i < route->listeners.n; i++)
		str_addf(&key, "%c%s", i ? ',' : '@', route->listeners.v[i]);
	if (conf_route_is_by_alpn(route))
		str_addf(&key, "#alpn");
	return key.data;
}

static void build_route(struct route *r, const struct conf *conf, const struct conf_route *from,
	struct servers *servers, routes_resolve *resolve, void *arg)
{
	*r = (struct route){
		.key = key_of(from),
		.policy.min_version = from->min_version ? from->min_version : conf->tls.min_version,
		.passthrough = from->tls == ROUTE_PASSTHROUGH,
		.balance = from->balance,
		.proxy_protocol = from->proxy_protocol,
		.fall = (unsigned)from->health.fall,
		.slow_start_ms = from->slow_start_ms,
		.connect_ms = from->connect_ms,
		.idle_ms = from->idle_ms,
		.half_closed_ms = from->half_closed_ms,
		.max_connections = from->connections,
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

static void enter(struct route_table *table, const struct conf_strings *hosts, struct route *r)
{
	if (!table->names)
		table->names = names_new();
	for (size_t h = 0; h < hosts->n; h++)
		if (strcmp(hosts->v[h], "default") == 0)
			table->fallback = r;
		else
			*names_slot(table->names, hosts->v[h]) = r;
}

/* Where a listener sends clients to: unless it is told, the port of the first listener that takes
 * TLS from the network. */
static uint16_t https_port(const struct conf *conf, const struct conf_listen *from)
{
	if (from->redirect_port)
		return (uint16_t)from->redirect_port;
	for (size_t i = 0; i < conf->n_listens; i++)
		if (!conf->listens[i].redirect && conf->listens[i].address.kind != ADDRESS_UNIX)
			return conf->listens[i].address.port;
	return HTTPS_PORT;
}

struct routes *routes_build(const struct conf *conf, struct trust *trust,
	const char *const *listener_names, size_t n_listeners, struct servers *servers,
	routes_resolve *resolve, void *arg)
{
	struct routes *r = mem_zalloc(sizeof(*r));

	servers_begin(servers);
	atomic_init(&r->refs, 1);
	r->trust = trust_ref(trust);
	r->n = conf->n_routes;
	r->v = mem_zalloc(r->n * sizeof(*r->v));
	r->n_listeners = n_listeners;
	r->by_listener = mem_zalloc(n_listeners * sizeof(*r->by_listener));
	for (size_t l = 0; l < conf->n_listens; l++) {
		r->by_listener[l].redirects = conf->listens[l].redirect;
		r->by_listener[l].https_port = https_port(conf, &conf->listens[l]);
	}
	for (size_t i = 0; i < r->n; i++) {
		const struct conf_route *from = &conf->routes[i];

		build_route(&r->v[i], conf, from, servers, resolve, arg);
		for (size_t s = 0; s < from->n_servers; s++)
			r->v[i].targets[s].outbound = trust->servers[i].v[s];
		r->v[i].policy.client_auth =
			(struct client_auth_policy){from->client_auth.mode, trust->clients[i]};
		for (size_t l = 0; l < n_listeners; l++) {
			struct listener_routes *to = &r->by_listener[l];

			if (to->redirects || !serves(from, listener_names[l]))
				continue;
			enter(conf_route_is_by_alpn(from) ? &to->by_alpn : &to->all, &from->hosts,
				&r->v[i]);
			to->passes |= r->v[i].passthrough;
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
		crowd_unref(r->v[i].crowd);
		free(r->v[i].key);
	}
	for (size_t l = 0; l < r->n_listeners; l++) {
		names_free(r->by_listener[l].all.names);
		names_free(r->by_listener[l].by_alpn.names);
	}
	free(r->by_listener);
	free(r->v);
	trust_unref(r->trust);
	free(r);
}

static struct route *find(const struct route_table *table, const char *name)
{
	struct route *found = *name && table->names ? names_find(table->names, name) : NULL;

	return found ? found : table->fallback;
}

struct route *routes_find(const struct routes *r, size_t listener, const char *name)
{
	return find(&r->by_listener[listener].all, name);
}

/* Whether two lists of protocols, as on the wire, have one in common. */
static bool share_protocol(
	const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
	for (size_t i = 0; i + 1 < a_len && i + 1 + a[i] <= a_len; i += 1 + (size_t)a[i])
		for (size_t k = 0; k + 1 < b_len && k + 1 + b[k] <= b_len; k += 1 + (size_t)b[k])
			if (a[i] == b[k] && memcmp(a + i + 1, b + k + 1, a[i]) == 0)
				return true;
	return false;
}

struct route *routes_find_passthrough(const struct routes *r, size_t listener, const char *name,
	const unsigned char *alpn, size_t len)
{
	struct route *found = find(&r->by_listener[listener].by_alpn, name);

	if (found && share_protocol(found->policy.alpn, found->policy.alpn_len, alpn, len))
		return found;
	found = routes_find(r, listener, name);
	return found && found->passthrough ? found : NULL;
}
