#include "view.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

#define SHOWN_MAX 8 /* servers in a sentence */

void view_clear(struct view *v)
{
	free(v->listeners);
	free(v->servers);
	free(v->routes);
	free(v->autocerts);
	v->listeners = NULL;
	v->servers = NULL;
	v->routes = NULL;
	v->autocerts = NULL;
}

static void fill_server(struct admin_server *to, const struct target *from)
{
	const struct server *s = from->server;

	*to = (struct admin_server){
		.address = s->address.text,
		.weight = from->weight,
		.backup = from->backup,
		.mode = (enum server_mode)atomic_load_explicit(&s->mode, memory_order_relaxed),
		.down = atomic_load_explicit(&s->down, memory_order_relaxed),
		.no_address = !from->n,
		.since = atomic_load_explicit(&s->since, memory_order_relaxed),
		.active = atomic_load_explicit(&s->active, memory_order_relaxed),
		.connects = atomic_load_explicit(&s->connects, memory_order_relaxed),
		.failures = atomic_load_explicit(&s->failures, memory_order_relaxed),
		.checks_good = s->checks_good,
		.checks_bad = s->checks_bad,
		.server = from->server,
		.changes = atomic_load_explicit(&s->changes, memory_order_relaxed),
	};
}

static void fill_routes(struct view *v, const struct conf *conf, const struct routes *routes)
{
	size_t n = 0;
	struct admin_server *server;

	for (size_t i = 0; i < routes->n; i++)
		n += routes->v[i].n_targets;
	server = v->servers = mem_zalloc(n * sizeof(*v->servers));
	v->routes = mem_zalloc(routes->n * sizeof(*v->routes));
	for (size_t i = 0; i < routes->n; i++) {
		const struct route *r = &routes->v[i];

		v->routes[i] = (struct admin_route){
			.key = r->key,
			.conf = &conf->routes[i],
			.servers = server,
			.n_servers = r->n_targets,
		};
		for (size_t t = 0; t < r->n_targets; t++, server++)
			fill_server(server, &r->targets[t]);
	}
	v->shown.routes = v->routes;
	v->shown.n_routes = routes->n;
}

static void fill_autocerts(struct view *v, const struct conf *conf, const struct renewals *renewals)
{
	struct autocert_status status;
	size_t n = 0;

	v->autocerts = mem_zalloc(conf->n_providers * sizeof(*v->autocerts));
	for (; autocert_get(renewals->autocert, n, &status); n++)
		v->autocerts[n] = (struct admin_autocert){
			.conf = status.conf,
			.cert = renewals_cert(renewals, status.conf),
			.last = status.last,
			.running = status.running,
			.renewals = status.renewals,
			.failures = status.failures,
		};
	v->shown.autocerts = v->autocerts;
	v->shown.n_autocerts = n;
}

void view_fill(struct view *v, const struct snapshot *snapshot, struct worker *const *workers,
	size_t n_workers, const struct renewals *renewals)
{
	const struct conf *conf = snapshot->conf;

	view_clear(v);
	v->shown.stats = (struct stats_sum){0};
	for (size_t i = 0; i < n_workers; i++)
		stats_add(&v->shown.stats, &workers[i]->stats);
	v->listeners = mem_zalloc(conf->n_listens * sizeof(*v->listeners));
	for (size_t i = 0; i < conf->n_listens; i++)
		v->listeners[i] = (struct admin_listener){
			.name = conf->listens[i].name,
			.address = conf->listens[i].address.text,
			/* Every listener of a snapshot was bound before it was published. */
			.up = v->shown.stats.listening >= n_workers * conf->n_listens,
		};
	v->shown.listeners = v->listeners;
	v->shown.n_listeners = conf->n_listens;
	v->shown.conf = conf;
	v->shown.certs = snapshot->certs;
	fill_routes(v, conf, snapshot->routes);
	fill_autocerts(v, conf, renewals);
}

static bool covered(const struct certs *certs, const char *domain)
{
	/* A wildcard stands in the table as such: ask for a name that only it covers. */
	char *name =
		domain[0] == '*' ? mem_printf("lintel-readyz%s", domain + 1) : mem_strdup(domain);
	bool found = certs_find(certs, name) != NULL;

	free(name);
	return found;
}

/* Unless a server of it is up. */
static void add_dead_route(const struct admin_route *r, struct problems *reasons)
{
	struct str states = {0};

	for (size_t i = 0; i < r->n_servers; i++)
		if (admin_server_is_up(&r->servers[i]))
			return;
	for (size_t i = 0; i < r->n_servers && i < SHOWN_MAX; i++)
		str_addf(&states, "%s%s (%s)", i ? ", " : "", r->servers[i].address,
			admin_server_state(&r->servers[i]));
	if (r->n_servers > SHOWN_MAX)
		str_addf(&states, " and %zu more", r->n_servers - SHOWN_MAX);
	problems_add(reasons, "route %s: no server is up: %s", r->key, states.data);
	str_clear(&states);
}

void view_unready(const struct view *v, const struct certs *served, struct problems *reasons)
{
	const struct admin_view *s = &v->shown;

	if (s->draining)
		problems_add(reasons, "draining: this process was told to stop");
	for (size_t i = 0; i < s->n_listeners; i++)
		if (!s->listeners[i].up && !s->draining)
			problems_add(reasons, "listener %s is not up", s->listeners[i].address);
	for (size_t i = 0; i < s->conf->n_providers; i++) {
		const struct conf_autocert *a = &s->conf->providers[i];

		for (size_t d = 0; d < a->domains.n; d++)
			if (!covered(served, a->domains.v[d]))
				problems_add(reasons, "autocert: %s: no certificate for %s",
					a->name, a->domains.v[d]);
	}
	for (size_t i = 0; i < s->n_routes; i++)
		add_dead_route(&s->routes[i], reasons);
}
