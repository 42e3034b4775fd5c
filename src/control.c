#include "control.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/jobs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/privileges.h"
#include "base/spawn.h"
#include "build.h"
#include "config.h"
#include "dns/provider.h"
#include "logs.h"
#include "notices.h"
#include "proxy/health.h"
#include "proxy/worker.h"
#include "reload.h"
#include "renewals.h"
#include "resolve.h"
#include "start.h"
#include "systemd.h"
#include "view.h"

#define STOP_WAIT_MS  500  /* for job threads at the end */
#define ORDER_WAIT_MS 2000 /* for those that have records to remove */
#define ORDERS        4    /* certificates that are obtained at a time */

struct control {
	const char *file;
	struct event_base *base;
	struct event *ev_hup, *ev_usr1, *ev_term, *ev_int;
	struct event *ev_second, *ev_rotate, *ev_drained, *ev_work, *ev_misc, *ev_orders,
		*ev_workers;
	struct mailbox work_home, misc_home, orders_home, workers_home;
	struct jobs *work, *misc, *orders;
	struct conf *conf;
	struct snapshot *snapshot; /* the newest */
	struct servers servers;
	struct crowds crowds;
	struct clients *clients; /* NULL until a configuration limits them by address */
	struct resolver *resolver;
	struct health *health;
	struct admin *admin;
	struct worker **workers;
	size_t n_workers, n_ended;
	size_t unseen;        /* publications that workers have not taken up yet */
	struct certs *served; /* the newest table that every worker has taken up */
	atomic_uint_fast64_t connections;
	uint64_t fds_for_sessions; /* descriptors that sessions may use, two each */
	int lock;
	bool draining;
	struct reloader reloader;
	struct renewals renewals;
	struct notices notices;
	int64_t started, loaded;
	struct view view;
};

/* Snapshots */

static void publish(struct control *c, struct snapshot *s)
{
	struct snapshot *before = c->snapshot;

	c->snapshot = s;
	renewals_set_certs(&c->renewals, s->certs);
	for (size_t i = 0; i < c->n_workers; i++)
		worker_post(c->workers[i], WORKER_PUBLISH, snapshot_ref(s));
	c->unseen += c->n_workers;
	health_update(c->health, c->conf, s->routes);
	snapshot_unref(before);
	servers_sweep(&c->servers);
	crowds_sweep(&c->crowds);
}

static struct routes *make_routes(struct control *c, const struct conf *conf, struct trust *trust)
{
	const char **names = mem_zalloc(conf->n_listens * sizeof(*names));
	struct routes *routes;

	for (size_t i = 0; i < conf->n_listens; i++)
		names[i] = conf->listens[i].name;
	resolver_begin(c->resolver);
	routes = routes_build(
		conf, trust, names, conf->n_listens, &c->servers, resolver_get, c->resolver);
	resolver_end(c->resolver);
	crowds_attach(&c->crowds, routes);
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

static void limit_clients(struct control *c, struct snapshot *s, const struct conf_limits *limits)
{
	const struct conf_rate *r = &limits->rate;

	if (!limits->per_ip && !r->connections_ns && !r->handshakes_ns)
		return;
	if (!c->clients)
		c->clients = clients_new();
	s->clients = c->clients;
	s->client_limits = (struct client_limits){
		.connections = limits->per_ip,
		.connects = rate_of(r->connections_ns, r->burst),
		.handshakes = rate_of(r->handshakes_ns, r->burst),
	};
}

/* Takes everything out of `b`, its configuration included. */
static struct snapshot *make_snapshot(struct control *c, struct built *b, struct tickets *tickets)
{
	uint64_t possible = c->fds_for_sessions / 2, wanted = b->conf->limits.connections;
	struct snapshot parts = {
		.conf = conf_ref(b->conf),
		.ctx = b->ctx,
		.certs = b->certs,
		.tickets = tickets,
		.listeners = b->listeners,
		.routes = make_routes(c, b->conf, b->trust),
		.strict_sni = b->conf->tls.strict_sni,
		.handshake_ms = b->conf->limits.handshake_ms,
		.max_connections = wanted && wanted < possible ? wanted : possible,
	};

	limit_clients(c, &parts, &b->conf->limits);
	if (wanted > possible)
		log_warn("limits.connections: %llu is more than the limit of open files allows: "
			 "%llu",
			(unsigned long long)wanted, (unsigned long long)possible);
	trust_unref(b->trust);
	conf_unref(c->conf);
	c->conf = b->conf;
	*b = (struct built){0};
	c->loaded = clock_wall_s();
	return snapshot_new(&parts);
}

static void addresses_changed(void *arg)
{
	struct control *c = arg;
	struct snapshot *s;
	struct routes *routes;

	if (!c->snapshot || c->draining)
		return;
	s = snapshot_copy(c->snapshot);
	routes = make_routes(c, c->conf, s->routes->trust);
	routes_unref(s->routes);
	s->routes = routes;
	publish(c, s);
}

static void on_rotate(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	struct tickets *tickets;
	struct snapshot *s;
	struct error err;

	(void)fd;
	(void)what;
	if (c->draining) /* workers that have ended would not report it */
		return;
	tickets = tickets_rotate(c->snapshot->tickets, &err);
	if (!tickets) {
		log_error("%s; the old one stays in use", err.text);
		return;
	}
	s = snapshot_copy(c->snapshot);
	tickets_unref(s->tickets);
	s->tickets = tickets;
	publish(c, s);
}

/* Reload, and the swap of a certificate */

static struct snapshot *before_reload(void *arg, struct build_before *before)
{
	struct control *c = arg;

	*before = (struct build_before){
		.conf = c->conf,
		.listeners = c->snapshot->listeners,
		.certs = c->snapshot->certs,
	};
	return snapshot_ref(c->snapshot);
}

static int publish_reload(void *arg, struct built *b, struct error *err)
{
	struct control *c = arg;
	size_t read, kept;

	if (logs_change(c->conf, b->conf, err) < 0)
		return -1;
	listeners_unlink_gone(c->snapshot->listeners, b->listeners);
	publish(c, make_snapshot(c, b, tickets_ref(c->snapshot->tickets)));
	logs_configure(c->conf);
	if (c->admin)
		admin_configure(c->admin, &c->conf->admin);
	renewals_configure(&c->renewals, c->conf);
	notices_configure(&c->notices, c->conf);
	certs_loaded(c->snapshot->certs, &read, &kept);
	log_info("reloaded %s: %zu certificates (%zu read, %zu unchanged), %zu routes", c->file,
		certs_count(c->snapshot->certs), read, kept, c->conf->n_routes);
	return 0;
}

static void publish_certs(void *arg, struct certs *certs)
{
	struct control *c = arg;
	struct snapshot *s = snapshot_copy(c->snapshot);

	certs_unref(s->certs);
	s->certs = certs;
	publish(c, s);
}

static void on_hup(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	reloader_ask(&c->reloader, RELOAD_ALL, NULL, NULL);
}

static void on_usr1(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	logs_reopen();
}

/* Stop */

static void tell_workers(struct control *c, enum worker_verb verb)
{
	for (size_t i = 0; i < c->n_workers; i++)
		worker_post(c->workers[i], verb, NULL);
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	log_warn("limits.drain is over: the connections that are left are closed");
	tell_workers(c, WORKER_STOP);
}

static void on_stop(evutil_socket_t signum, short what, void *arg)
{
	struct control *c = arg;
	struct timeval drain;
	char within[64] = "";

	(void)what;
	if (c->draining) {
		log_warn("told to stop a second time: the connections that are left are closed");
		tell_workers(c, WORKER_STOP);
		return;
	}
	c->draining = true;
	systemd_tell("STOPPING=1");
	renewals_stop(&c->renewals); /* first: swaps that end with the reloader are no failures */
	reloader_stop(&c->reloader);
	if (c->conf->limits.drain_ms)
		snprintf(within, sizeof(within), " within limits.drain, %lld ms",
			(long long)c->conf->limits.drain_ms);
	log_info("stopping (signal %d): connections that may finish%s: %llu", (int)signum, within,
		(unsigned long long)atomic_load(&c->connections));
	/* First: who comes later is refused at once, who came before is in the queue and served. */
	listeners_unlink_gone(c->snapshot->listeners, NULL);
	tell_workers(c, WORKER_DRAIN);
	drain.tv_sec = c->conf->limits.drain_ms / 1000;
	drain.tv_usec = c->conf->limits.drain_ms % 1000 * 1000;
	if (c->conf->limits.drain_ms) /* 0 = no limit */
		event_add(c->ev_drained, &drain);
}

static void note_served(struct control *c)
{
	certs_unref(c->served);
	c->served = certs_ref(c->snapshot->certs);
}

static void on_workers_home(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;
	struct mail *m, *next;

	(void)fd;
	(void)what;
	for (m = mailbox_take(&c->workers_home); m; m = next) {
		struct worker_report *r = (struct worker_report *)m;

		next = m->next;
		if (r->ended)
			c->n_ended++;
		else
			c->unseen--;
		free(r);
	}
	if (!c->unseen) {
		note_served(c);
		reloader_taken_up(&c->reloader);
	}
	if (c->n_ended == c->n_workers)
		event_base_loopbreak(c->base);
}

static void on_jobs_home(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	jobs_done(mailbox_take(arg));
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	logs_tick();
	if (c->draining)
		return;
	resolver_tick(c->resolver, c->snapshot->routes);
	health_tick(c->health);
	renewals_tick(&c->renewals);
}

/* Admin */

static const struct admin_view *admin_get_view(void *arg)
{
	struct control *c = arg;
	struct admin_view *v = &c->view.shown;

	view_fill(&c->view, c->conf, c->snapshot, c->workers, c->n_workers, &c->renewals);
	v->started = c->started;
	v->loaded = c->loaded;
	v->reloads_ok = c->reloader.succeeded;
	v->reloads_failed = c->reloader.failed;
	v->last_reload_error = c->reloader.last_error;
	v->workers = (int)c->n_workers;
	v->draining = c->draining;
	return v;
}

static void admin_get_unready(void *arg, struct problems *reasons)
{
	struct control *c = arg;

	admin_get_view(c);
	view_unready(&c->view, c->served, reasons);
}

static void admin_set_mode(void *arg, size_t route, size_t server, enum server_mode mode)
{
	struct control *c = arg;
	const struct route *r = &c->snapshot->routes->v[route];
	struct server *s = r->targets[server].server;

	if (server_set_mode(s, mode))
		log_info("route %s: server %s: %s, by the admin listener", r->key, s->address.text,
			server_mode_names[mode]);
}

static void admin_reload(void *arg, admin_reload_done *done, void *done_arg)
{
	struct control *c = arg;

	reloader_ask(&c->reloader, RELOAD_ALL, done, done_arg);
}

static enum autocert_asked admin_may_renew(void *arg, const char *name)
{
	struct control *c = arg;

	return autocert_may_renew(c->renewals.autocert, name);
}

static enum autocert_asked admin_renew(void *arg, const char *name, struct autocert_watch *w)
{
	struct control *c = arg;

	return autocert_renew(c->renewals.autocert, name, w);
}

static void admin_unwatch(void *arg, struct autocert_watch *w)
{
	struct control *c = arg;

	autocert_unwatch(c->renewals.autocert, w);
}

/* Start */

static void make_event(struct control *c, struct event **ev, int fd, short what,
	event_callback_fn fn, void *arg, const struct timeval *every)
{
	*ev = event_new(c->base, fd, what | EV_PERSIST, fn, arg);
	if (!*ev)
		abort();
	if (every || fd >= 0)
		event_add(*ev, every);
}

static int make_loop(struct control *c, struct error *err)
{
	const struct timeval second = {.tv_sec = 1}, rotate = {.tv_sec = TICKETS_ROTATE_S};

	c->base = event_base_new();
	if (!c->base)
		return error_set(err, "cannot make an event loop");
	if (mailbox_init(&c->work_home, err) < 0 || mailbox_init(&c->misc_home, err) < 0 ||
		mailbox_init(&c->orders_home, err) < 0 || mailbox_init(&c->workers_home, err) < 0)
		return -1;
	make_event(c, &c->ev_hup, SIGHUP, EV_SIGNAL, on_hup, c, NULL);
	make_event(c, &c->ev_usr1, SIGUSR1, EV_SIGNAL, on_usr1, c, NULL);
	make_event(c, &c->ev_term, SIGTERM, EV_SIGNAL, on_stop, c, NULL);
	make_event(c, &c->ev_int, SIGINT, EV_SIGNAL, on_stop, c, NULL);
	make_event(c, &c->ev_second, -1, 0, on_second, c, &second);
	make_event(c, &c->ev_rotate, -1, 0, on_rotate, c, &rotate);
	make_event(c, &c->ev_drained, -1, 0, on_drain_over, c, NULL);
	make_event(c, &c->ev_work, c->work_home.fd, EV_READ, on_jobs_home, &c->work_home, NULL);
	make_event(c, &c->ev_misc, c->misc_home.fd, EV_READ, on_jobs_home, &c->misc_home, NULL);
	make_event(
		c, &c->ev_orders, c->orders_home.fd, EV_READ, on_jobs_home, &c->orders_home, NULL);
	make_event(c, &c->ev_workers, c->workers_home.fd, EV_READ, on_workers_home, c, NULL);
	return 0;
}

/* False when one of its jobs could not be waited for. */
static bool end_jobs(struct jobs *jobs, long wait_ms, struct mailbox *home)
{
	if (!jobs_stop(jobs, wait_ms)) {
		jobs_abandon(jobs);
		return false;
	}
	jobs_done(mailbox_take(home));
	return true;
}

/* Everything that was made, in reverse. False when a job could not be waited for. */
static bool end(struct control *c)
{
	bool clean;

	admin_close(c->admin);
	for (size_t i = 0; i < c->n_workers; i++)
		worker_join(c->workers[i]);
	free(c->workers);
	notices_stop(&c->notices);
	clean = end_jobs(c->orders, ORDER_WAIT_MS, &c->orders_home);
	clean &= end_jobs(c->misc, STOP_WAIT_MS, &c->misc_home);
	clean &= end_jobs(c->work, STOP_WAIT_MS, &c->work_home);
	if (!clean)
		return false;
	renewals_clear(&c->renewals);
	notices_clear(&c->notices);
	resolver_free(c->resolver);
	health_free(c->health);
	certs_unref(c->served);
	snapshot_unref(c->snapshot);
	servers_clear(&c->servers);
	crowds_clear(&c->crowds);
	clients_free(c->clients);
	view_clear(&c->view);
	conf_unref(c->conf);
	reloader_clear(&c->reloader);
	event_free(c->ev_hup);
	event_free(c->ev_usr1);
	event_free(c->ev_term);
	event_free(c->ev_int);
	event_free(c->ev_second);
	event_free(c->ev_rotate);
	event_free(c->ev_drained);
	event_free(c->ev_work);
	event_free(c->ev_misc);
	event_free(c->ev_orders);
	event_free(c->ev_workers);
	mailbox_clear(&c->work_home);
	mailbox_clear(&c->misc_home);
	mailbox_clear(&c->orders_home);
	mailbox_clear(&c->workers_home);
	event_base_free(c->base);
	spawn_stop();
	close(c->lock);
	return true;
}

/* Threads of ours leave signals to the main one. */
static void set_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(how, &set, NULL);
}

static int start_threads(struct control *c, struct built *b, struct error *err)
{
	struct tickets *tickets;

	c->misc = jobs_start(2, 4096, &c->misc_home, err);
	c->work = c->misc ? jobs_start(1, 16, &c->work_home, err) : NULL;
	c->orders = c->work ? jobs_start(ORDERS, 4096, &c->orders_home, err) : NULL;
	if (!c->orders)
		return -1;
	c->resolver = resolver_new(c->misc, addresses_changed, c);
	reloader_init(&c->reloader, c->file, c->work,
		&(struct reload_owner){c, before_reload, publish_reload, publish_certs});
	if (notices_init(&c->notices, c->base, c->misc, err) < 0)
		return -1;
	renewals_init(&c->renewals, c->orders, &c->orders_home, &c->reloader, &c->notices);
	tickets = tickets_rotate(NULL, err);
	if (!tickets)
		return -1;
	c->health = health_new(c->base, err);
	if (!c->health)
		return -1;
	c->snapshot = make_snapshot(c, b, tickets);
	health_update(c->health, c->conf, c->snapshot->routes);
	renewals_set_certs(&c->renewals, c->snapshot->certs);
	note_served(c); /* workers begin with it */
	c->workers = mem_zalloc((size_t)c->conf->workers * sizeof(*c->workers));
	for (; c->n_workers < (size_t)c->conf->workers; c->n_workers++) {
		c->workers[c->n_workers] = worker_start(c->n_workers, snapshot_ref(c->snapshot),
			&c->connections, &c->workers_home, err);
		if (!c->workers[c->n_workers])
			return -1;
	}
	return 0;
}

/* From the configuration to a process that serves. Every problem is in `p` when it fails. */
static int start(struct control *c, struct built *b, struct problems *p)
{
	static const struct admin_ops ops = {
		.view = admin_get_view,
		.unready = admin_get_unready,
		.set_mode = admin_set_mode,
		.reload = admin_reload,
		.may_renew = admin_may_renew,
		.renew = admin_renew,
		.unwatch = admin_unwatch,
	};
	struct admin_ops mine = ops;
	struct error err;

	c->conf = b->conf = conf_load(c->file, p);
	if (!c->conf)
		return -1;
	log_configure(c->conf->log_level, c->conf->log_format);
	if (dns_start_programs(c->conf, c->conf->user, &err) < 0)
		goto fail;
	c->fds_for_sessions = start_fds_for_sessions(c->conf);
	c->lock = start_take_state_dir(c->conf, &err);
	if (c->lock < 0 || start_make_logs(c->conf, &err) < 0)
		goto fail;
	build_listeners(b, NULL, p);
	if (c->conf->admin.set) {
		c->admin = admin_open(&c->conf->admin, &err);
		if (!c->admin)
			conf_problem(
				p, c->conf, c->conf->admin.place, "admin.address", "%s", err.text);
	}
	if (p->n)
		return -1;
	if (start_hand_over_sockets(c->conf, b->listeners, &err) < 0)
		goto fail;
	if (c->conf->user && privileges_drop(c->conf->user, &err) < 0) {
		conf_problem(p, c->conf, c->conf->places.user, NULL, "%s", err.text);
		return -1;
	}
	if (c->conf->user)
		start_warn_unreadable(c->conf);
	if (start_enter_sandbox(c->conf, &err) < 0)
		goto fail;
	if (build_tls(b, NULL, false, p) < 0)
		return -1;
	if (make_loop(c, &err) < 0 || logs_start(c->conf, &err) < 0)
		goto fail;
	c->conf = NULL; /* make_snapshot() brings it back */
	if (start_threads(c, b, &err) < 0)
		goto fail;
	mine.arg = c;
	if (c->admin && admin_start(c->admin, c->base, &mine, &err) < 0)
		goto fail;
	renewals_configure(&c->renewals, c->conf);
	notices_configure(&c->notices, c->conf);
	notices_start(&c->notices, c->conf, c->snapshot->certs);
	return 0;
fail:
	problems_add(p, "%s", err.text);
	return -1;
}

int control_run(const char *conf_file)
{
	struct control c = {.file = conf_file, .lock = -1, .started = clock_wall_s()};
	struct built b = {0};
	struct problems p = {0};
	bool clean;

	signal(SIGPIPE, SIG_IGN);
	set_signals(SIG_BLOCK);
	if (start(&c, &b, &p) < 0) {
		logs_stop(); /* from here on it is standard error that is written to */
		for (size_t i = 0; i < p.n; i++)
			log_error("%s", p.lines[i]);
		/* Threads may run already: the kernel cleans up. */
		if (b.listeners)
			listeners_unlink_gone(b.listeners, NULL);
		admin_close(c.admin);
		_exit(1);
	}
	set_signals(SIG_UNBLOCK);
	log_info("lintel " PACKAGE_VERSION " serves; listeners: %zu, routes: %zu, certificates: "
		 "%zu, workers: %zu, connections at most: %llu",
		c.conf->n_listens, c.conf->n_routes, certs_count(c.snapshot->certs), c.n_workers,
		(unsigned long long)c.snapshot->max_connections);
	systemd_tell("READY=1");
	event_base_dispatch(c.base);
	clean = end(&c);
	log_info("stopped");
	logs_stop();
	if (!clean)
		_exit(0);
	return 0;
}
