#include "publish.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* Making them */

static struct routes *make_routes(struct publisher *p, const struct conf *conf, struct trust *trust)
{
	const char **names = mem_zalloc(conf->n_listens * sizeof(*names));
	struct routes *routes;

	for (size_t i = 0; i < conf->n_listens; i++)
		names[i] = conf->listens[i].name;
	resolver_begin(p->resolver);
	routes = routes_build(
		conf, trust, names, conf->n_listens, &p->servers, resolver_get, p->resolver);
	resolver_end(p->resolver);
	crowds_attach(&p->crowds, routes);
	free(names);
	return routes;
}

static struct client_rate rate_of(int64_t every_ns, uint64_t burst)
{
	const int64_t second = 1000000000;

	if (every_ns && !burst)
		burst = every_ns < second ? (uint64_t)(second / every_ns) : 1;
	return (struct client_rate){every_ns, (int64_t)burst};
}

static void limit_clients(struct publisher *p, struct snapshot *s, const struct conf_limits *limits)
{
	const struct conf_rate *r = &limits->rate;

	if (!limits->per_ip && !r->connections_ns && !r->handshakes_ns)
		return;
	if (!p->clients)
		p->clients = clients_new();
	s->clients = p->clients;
	s->client_limits = (struct client_limits){
		.connections = limits->per_ip,
		.connects = rate_of(r->connections_ns, r->burst),
		.handshakes = rate_of(r->handshakes_ns, r->burst),
	};
}

/* Takes everything out of `b`, its configuration included. */
static struct snapshot *make_snapshot(struct publisher *p, struct built *b, struct tickets *tickets)
{
	uint64_t possible = p->fds_for_sessions / 2, wanted = b->conf->limits.connections;
	struct snapshot parts = {
		.conf = b->conf,
		.ctx = b->ctx,
		.certs = b->certs,
		.tickets = tickets,
		.listeners = b->listeners,
		.routes = make_routes(p, b->conf, b->trust),
		.strict_sni = b->conf->tls.strict_sni,
		.handshake_ms = b->conf->limits.handshake_ms,
		.max_connections = wanted && wanted < possible ? wanted : possible,
	};

	limit_clients(p, &parts, &b->conf->limits);
	if (wanted > possible)
		log_warn("limits.connections: %llu is more than the limit of open files allows: "
			 "%llu",
			(unsigned long long)wanted, (unsigned long long)possible);
	trust_unref(b->trust);
	*b = (struct built){0};
	p->loaded = clock_wall_s();
	return snapshot_new(&parts);
}

/* Giving them to the workers */

static void use_snapshot(struct publisher *p, struct snapshot *s)
{
	struct snapshot *before = p->snapshot;

	p->snapshot = s;
	renewals_set_certs(p->renewals, s->certs);
	health_update(p->health, s->conf, s->routes);
	snapshot_unref(before);
}

static void publish(struct publisher *p, struct snapshot *s)
{
	for (size_t i = 0; i < p->n_workers; i++)
		worker_post(p->workers[i], WORKER_PUBLISH, snapshot_ref(s));
	p->unseen += p->n_workers;
	use_snapshot(p, s);
	servers_sweep(&p->servers);
	crowds_sweep(&p->crowds);
}

static void addresses_changed(void *arg)
{
	struct publisher *p = arg;
	struct snapshot *s;
	struct routes *routes;

	if (!p->snapshot || p->draining)
		return;
	s = snapshot_copy(p->snapshot);
	routes = make_routes(p, s->conf, s->routes->trust);
	routes_unref(s->routes);
	s->routes = routes;
	publish(p, s);
}

void publisher_set(struct publisher *p, struct built *b)
{
	publish(p, make_snapshot(p, b, tickets_ref(p->snapshot->tickets)));
}

void publisher_set_certs(struct publisher *p, struct certs *certs)
{
	struct snapshot *s = snapshot_copy(p->snapshot);

	certs_unref(s->certs);
	s->certs = certs;
	publish(p, s);
}

void publisher_rotate_tickets(struct publisher *p)
{
	struct tickets *tickets;
	struct snapshot *s;
	struct error err;

	if (p->draining) /* workers that have ended would not report it */
		return;
	tickets = tickets_rotate(p->snapshot->tickets, &err);
	if (!tickets) {
		log_error("%s; the old one stays in use", err.text);
		return;
	}
	s = snapshot_copy(p->snapshot);
	tickets_unref(s->tickets);
	s->tickets = tickets;
	publish(p, s);
}

void publisher_tick(struct publisher *p)
{
	resolver_tick(p->resolver, p->snapshot->routes);
	health_tick(p->health);
}

/* The workers */

static void note_served(struct publisher *p)
{
	certs_unref(p->served);
	p->served = certs_ref(p->snapshot->certs);
}

void publisher_tell(struct publisher *p, enum worker_verb verb)
{
	for (size_t i = 0; i < p->n_workers; i++)
		worker_post(p->workers[i], verb, NULL);
}

void publisher_drain(struct publisher *p)
{
	p->draining = true;
	publisher_tell(p, WORKER_DRAIN);
}

bool publisher_reports(struct publisher *p)
{
	struct mail *m, *next;

	for (m = mailbox_take(&p->home); m; m = next) {
		struct worker_report *r = (struct worker_report *)m;

		next = m->next;
		if (r->ended)
			p->n_ended++;
		else
			p->unseen--;
		free(r);
	}
	if (p->unseen)
		return false;
	note_served(p);
	return true;
}

bool publisher_has_ended(const struct publisher *p)
{
	return p->n_ended == p->n_workers;
}

/* Life */

int publisher_init(struct publisher *p, struct event_base *base, struct jobs *names,
	struct renewals *renewals, struct error *err)
{
	p->renewals = renewals;
	p->resolver = resolver_new(names, addresses_changed, p);
	p->health = health_new(base, err);
	return p->health ? mailbox_init(&p->home, err) : -1;
}

int publisher_start(struct publisher *p, struct built *b, struct error *err)
{
	struct tickets *tickets = tickets_rotate(NULL, err);
	size_t n = (size_t)b->conf->workers;

	if (!tickets)
		return -1;
	use_snapshot(p, make_snapshot(p, b, tickets));
	note_served(p); /* workers begin with it */
	p->workers = mem_zalloc(n * sizeof(*p->workers));
	for (; p->n_workers < n; p->n_workers++) {
		p->workers[p->n_workers] = worker_start(
			p->n_workers, snapshot_ref(p->snapshot), &p->connections, &p->home, err);
		if (!p->workers[p->n_workers])
			return -1;
	}
	return 0;
}

void publisher_join(struct publisher *p)
{
	for (size_t i = 0; i < p->n_workers; i++)
		worker_join(p->workers[i]);
	free(p->workers);
	p->workers = NULL;
	p->n_workers = 0;
}

void publisher_clear(struct publisher *p)
{
	resolver_free(p->resolver);
	health_free(p->health);
	certs_unref(p->served);
	snapshot_unref(p->snapshot);
	servers_clear(&p->servers);
	crowds_clear(&p->crowds);
	clients_free(p->clients);
	mailbox_clear(&p->home);
}
