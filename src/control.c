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
#include "publish.h"
#include "reload.h"
#include "renewals.h"
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
	struct mailbox work_home, misc_home, orders_home;
	struct jobs *work, *misc, *orders;
	struct publisher publisher;
	struct admin *admin;
	int lock;
	struct reloader reloader;
	struct renewals renewals;
	struct notices notices;
	int64_t started;
	struct view view;
};

/* What runs. */
static struct conf *conf_of(const struct control *c)
{
	return c->publisher.snapshot->conf;
}

static void on_rotate(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	publisher_rotate_tickets(&c->publisher);
}

/* Reload, and the swap of a certificate */

static struct snapshot *before_reload(void *arg, struct build_before *before)
{
	struct control *c = arg;

	*before = (struct build_before){
		.conf = conf_of(c),
		.listeners = c->publisher.snapshot->listeners,
		.certs = c->publisher.snapshot->certs,
	};
	return snapshot_ref(c->publisher.snapshot);
}

static int publish_reload(void *arg, struct built *b, struct error *err)
{
	struct control *c = arg;
	struct conf *conf = b->conf;
	const struct certs *certs = b->certs;
	size_t read, kept;

	if (logs_change(conf_of(c), conf, err) < 0)
		return -1;
	listeners_unlink_gone(c->publisher.snapshot->listeners, b->listeners);
	publisher_set(&c->publisher, b);
	logs_configure(conf);
	if (c->admin)
		admin_configure(c->admin, &conf->admin);
	renewals_configure(&c->renewals, conf);
	notices_configure(&c->notices, conf);
	certs_loaded(certs, &read, &kept);
	log_info("reloaded %s: %zu certificates (%zu read, %zu unchanged), %zu routes", c->file,
		certs_count(certs), read, kept, conf->n_routes);
	return 0;
}

static void publish_certs(void *arg, struct certs *certs)
{
	struct control *c = arg;

	publisher_set_certs(&c->publisher, certs);
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

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	log_warn("limits.drain is over: the connections that are left are closed");
	publisher_tell(&c->publisher, WORKER_STOP);
}

static void on_stop(evutil_socket_t signum, short what, void *arg)
{
	struct control *c = arg;
	int64_t drain_ms = conf_of(c)->limits.drain_ms;
	struct timeval drain = {.tv_sec = drain_ms / 1000, .tv_usec = drain_ms % 1000 * 1000};
	char within[64] = "";

	(void)what;
	if (c->publisher.draining) {
		log_warn("told to stop a second time: the connections that are left are closed");
		publisher_tell(&c->publisher, WORKER_STOP);
		return;
	}
	systemd_tell("STOPPING=1");
	renewals_stop(&c->renewals); /* first: swaps that end with the reloader are no failures */
	reloader_stop(&c->reloader);
	if (drain_ms)
		snprintf(within, sizeof(within), " within limits.drain, %lld ms",
			(long long)drain_ms);
	log_info("stopping (signal %d): connections that may finish%s: %llu", (int)signum, within,
		(unsigned long long)atomic_load(&c->publisher.connections));
	/* First: who comes later is refused at once, who came before is in the queue and served. */
	listeners_unlink_gone(c->publisher.snapshot->listeners, NULL);
	publisher_drain(&c->publisher);
	if (drain_ms) /* 0 = no limit */
		event_add(c->ev_drained, &drain);
}

static void on_workers_home(evutil_socket_t fd, short what, void *arg)
{
	struct control *c = arg;

	(void)fd;
	(void)what;
	if (publisher_reports(&c->publisher))
		reloader_taken_up(&c->reloader);
	if (publisher_has_ended(&c->publisher))
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
	if (c->publisher.draining)
		return;
	publisher_tick(&c->publisher);
	renewals_tick(&c->renewals);
}

/* Admin */

static const struct admin_view *admin_get_view(void *arg)
{
	struct control *c = arg;
	struct publisher *p = &c->publisher;
	struct admin_view *v = &c->view.shown;

	view_fill(&c->view, p->snapshot, p->workers, p->n_workers, &c->renewals);
	v->started = c->started;
	v->loaded = p->loaded;
	v->reloads_ok = c->reloader.succeeded;
	v->reloads_failed = c->reloader.failed;
	v->last_reload_error = c->reloader.last_error;
	v->workers = (int)p->n_workers;
	v->draining = p->draining;
	return v;
}

static void admin_get_unready(void *arg, struct problems *reasons)
{
	struct control *c = arg;

	admin_get_view(c);
	view_unready(&c->view, c->publisher.served, reasons);
}

static void admin_set_mode(void *arg, size_t route, size_t server, enum server_mode mode)
{
	struct control *c = arg;
	const struct route *r = &c->publisher.snapshot->routes->v[route];
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
		mailbox_init(&c->orders_home, err) < 0)
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
	publisher_join(&c->publisher);
	notices_stop(&c->notices);
	clean = end_jobs(c->orders, ORDER_WAIT_MS, &c->orders_home);
	clean &= end_jobs(c->misc, STOP_WAIT_MS, &c->misc_home);
	clean &= end_jobs(c->work, STOP_WAIT_MS, &c->work_home);
	if (!clean)
		return false;
	renewals_clear(&c->renewals);
	notices_clear(&c->notices);
	publisher_clear(&c->publisher);
	view_clear(&c->view);
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
	c->misc = jobs_start(2, 4096, &c->misc_home, err);
	c->work = c->misc ? jobs_start(1, 16, &c->work_home, err) : NULL;
	c->orders = c->work ? jobs_start(ORDERS, 4096, &c->orders_home, err) : NULL;
	if (!c->orders)
		return -1;
	reloader_init(&c->reloader, c->file, c->work,
		&(struct reload_owner){c, before_reload, publish_reload, publish_certs});
	if (notices_init(&c->notices, c->base, c->misc, err) < 0)
		return -1;
	renewals_init(&c->renewals, c->orders, &c->orders_home, &c->reloader, &c->notices);
	if (publisher_init(&c->publisher, c->base, c->misc, &c->renewals, err) < 0)
		return -1;
	make_event(c, &c->ev_workers, c->publisher.home.fd, EV_READ, on_workers_home, c, NULL);
	return publisher_start(&c->publisher, b, err);
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
	struct conf *conf = conf_load(c->file, p);
	struct error err;

	if (!conf)
		return -1;
	b->conf = conf;
	log_configure(conf->log_level, conf->log_format);
	if (dns_start_programs(conf, conf->user, &err) < 0)
		goto fail;
	c->publisher.fds_for_sessions = start_fds_for_sessions(conf);
	c->lock = start_take_state_dir(conf, &err);
	if (c->lock < 0 || start_make_logs(conf, &err) < 0)
		goto fail;
	build_listeners(b, NULL, p);
	if (conf->admin.set) {
		c->admin = admin_open(&conf->admin, &err);
		if (!c->admin)
			conf_problem(p, conf, conf->admin.place, "admin.address", "%s", err.text);
	}
	if (p->n)
		return -1;
	if (start_hand_over_sockets(conf, b->listeners, &err) < 0)
		goto fail;
	if (conf->user && privileges_drop(conf->user, &err) < 0) {
		conf_problem(p, conf, conf->places.user, NULL, "%s", err.text);
		return -1;
	}
	if (conf->user)
		start_warn_unreadable(conf);
	if (start_enter_sandbox(conf, &err) < 0)
		goto fail;
	if (build_tls(b, NULL, false, p) < 0)
		return -1;
	if (make_loop(c, &err) < 0 || logs_start(conf, &err) < 0)
		goto fail;
	if (start_threads(c, b, &err) < 0)
		goto fail;
	mine.arg = c;
	if (c->admin && admin_start(c->admin, c->base, &mine, &err) < 0)
		goto fail;
	renewals_configure(&c->renewals, conf);
	notices_configure(&c->notices, conf);
	notices_start(&c->notices, conf, c->publisher.snapshot->certs);
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
	const struct snapshot *s;
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
	s = c.publisher.snapshot;
	log_info("lintel " PACKAGE_VERSION " serves; listeners: %zu, routes: %zu, certificates: "
		 "%zu, workers: %zu, connections at most: %llu",
		s->conf->n_listens, s->conf->n_routes, certs_count(s->certs), c.publisher.n_workers,
		(unsigned long long)s->max_connections);
	systemd_tell("READY=1");
	event_base_dispatch(c.base);
	clean = end(&c);
	log_info("stopped");
	logs_stop();
	if (!clean)
		_exit(0);
	return 0;
}
