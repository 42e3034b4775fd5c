#include "proxy/health.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/probe.h"
#include "tls/error.h"

#define SOON_MS 1000 /* the first check; and how often one without checks is probed when down */

/* The checks of one server. */
struct watch {
	struct health *health;
	struct server *server;
	size_t route, target; /* in the newest routes */
	uint64_t seen;        /* when they had it: health->looks */
	struct health_row row;
	struct event timer; /* for the next check */
	int64_t due;        /* ms: the same */
	int64_t started;    /* ms: the last one */
	struct probe *probe;
	bool waiting; /* in the queue */
	TAILQ_ENTRY(watch) link, queue;
};
TAILQ_HEAD(watches, watch);

struct health {
	struct event_base *base;
	SSL_CTX *tls;
	struct conf *conf;
	struct routes *routes;
	struct watches all, queue; /* the queue: due, but HEALTH_DESCRIPTORS others run */
	unsigned running;
	uint64_t looks;
};

bool health_count(struct health_row *row, bool down, bool good, unsigned rise, unsigned fall)
{
	if (row->down != down || good != down)
		*row = (struct health_row){.down = down};
	if (good != down || ++row->n < (down ? rise : fall))
		return false;
	row->n = 0;
	return true;
}

/* --- when --- */

static bool is_down(const struct server *s)
{
	return atomic_load_explicit(&s->down, memory_order_relaxed);
}

static int64_t shorter(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* From one check to the next; 0 = it needs none. */
static int64_t period(const struct conf_health *conf, const struct target *t)
{
	const struct server *s = t->server;

	if (!t->n || atomic_load_explicit(&s->mode, memory_order_relaxed) == SERVER_DISABLED)
		return 0;
	if (conf->type != HEALTH_NONE)
		return conf->interval_ms;
	return is_down(s) ? shorter(conf->interval_ms, SOON_MS) : 0;
}

static int64_t period_of(const struct watch *w)
{
	const struct health *h = w->health;

	return period(
		&h->conf->routes[w->route].health, &h->routes->v[w->route].targets[w->target]);
}

/* 0 to `max`, by chance: so that neither servers nor several lintels fall in step. */
static int64_t some_of(int64_t max)
{
	return (int64_t)arc4random_uniform((uint32_t)shorter(max, UINT32_MAX - 1) + 1);
}

static void schedule(struct watch *w, int64_t in)
{
	struct timeval tv = {.tv_sec = in / 1000, .tv_usec = in % 1000 * 1000};

	w->due = clock_mono_ms() + in;
	evtimer_add(&w->timer, &tv);
}

/* --- results --- */

static void turn(struct watch *w, bool down, const char *why)
{
	const struct route *r = &w->health->routes->v[w->route];
	const struct conf_health *conf = &w->health->conf->routes[w->route].health;
	struct server *s = w->server;
	int64_t since = atomic_load_explicit(&s->since, memory_order_relaxed);

	if (!down) {
		atomic_store_explicit(&s->failed, 0, memory_order_relaxed);
		if (r->slow_start_ms)
			atomic_store_explicit(&s->warm_from, clock_mono_ms(), memory_order_relaxed);
	}
	if (!server_set_down(s, down))
		return; /* a worker was faster */
	if (down)
		log_error("route %s: server %s is down: %d checks in a row failed, the last one: "
			  "%s",
			r->key, s->address.text, conf->fall, why);
	else
		log_info("route %s: server %s is up again: %d checks in a row went well; it was "
			 "down for %lld s",
			r->key, s->address.text, conf->rise, (long long)(clock_wall_s() - since));
}

static void take_result(struct watch *w, enum probe_result result, const char *why)
{
	const struct conf_health *conf = &w->health->conf->routes[w->route].health;
	bool good = result == PROBE_GOOD, down = is_down(w->server);

	if (good) {
		w->server->checks_good++;
	} else {
		w->server->checks_bad++;
		server_note_failure(w->server, "its check failed", why);
		log_debug("route %s: server %s: its check failed: %s",
			w->health->routes->v[w->route].key, w->server->address.text, why);
	}
	if (health_count(&w->row, down, good, (unsigned)conf->rise, (unsigned)conf->fall))
		turn(w, !good, why);
}

static void start(struct watch *w);

static void leave_queue(struct watch *w)
{
	if (w->waiting)
		TAILQ_REMOVE(&w->health->queue, w, queue);
	w->waiting = false;
}

static void start_waiting(struct health *h)
{
	struct watch *w;

	while (h->running < HEALTH_DESCRIPTORS && (w = TAILQ_FIRST(&h->queue))) {
		leave_queue(w);
		start(w);
	}
}

/* The next one comes an interval after this one began, or up to a tenth earlier. */
static void on_done(void *arg, enum probe_result result, const char *why)
{
	struct watch *w = arg;
	int64_t every, next;

	w->probe = NULL;
	w->health->running--;
	if (result == PROBE_UNKNOWN)
		log_warn("route %s: server %s cannot be checked: %s",
			w->health->routes->v[w->route].key, w->server->address.text, why);
	else
		take_result(w, result, why);
	every = period_of(w);
	next = w->started + every - some_of(every / 10) - clock_mono_ms();
	if (every)
		schedule(w, next > 0 ? next : 0);
	start_waiting(w->health);
}

static void start(struct watch *w)
{
	struct health *h = w->health;
	struct probe_task task = {.conf = h->conf,
		.routes = h->routes,
		.route = w->route,
		.target = w->target,
		.tls = h->tls};

	w->started = clock_mono_ms();
	h->running++;
	w->probe = probe_start(h->base, &task, on_done, w);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	struct watch *w = arg;

	(void)fd;
	(void)what;
	if (!period_of(w))
		return;
	if (w->health->running < HEALTH_DESCRIPTORS) {
		start(w);
		return;
	}
	w->waiting = true;
	TAILQ_INSERT_TAIL(&w->health->queue, w, queue);
}

/* --- whom --- */

static struct watch *watch_new(struct health *h, struct server *s)
{
	struct watch *w = mem_zalloc(sizeof(*w));

	w->health = h;
	w->server = server_ref(s);
	s->watch = w;
	evtimer_assign(&w->timer, h->base, on_due, w);
	TAILQ_INSERT_TAIL(&h->all, w, link);
	return w;
}

static void watch_free(struct watch *w)
{
	struct health *h = w->health;

	evtimer_del(&w->timer);
	if (w->probe)
		h->running--;
	probe_cancel(w->probe);
	leave_queue(w);
	TAILQ_REMOVE(&h->all, w, link);
	w->server->watch = NULL;
	server_unref(w->server);
	free(w);
}

/* A server whose checks begin, or whose interval has become shorter, is checked soon. */
static void plan(struct watch *w, int64_t every)
{
	if (!every) {
		evtimer_del(&w->timer);
		leave_queue(w);
	} else if (!w->probe && !w->waiting &&
		   (!evtimer_pending(&w->timer, NULL) || w->due - clock_mono_ms() > every)) {
		schedule(w, some_of(shorter(every, SOON_MS)));
	}
}

static void look_at(struct health *h, size_t route, size_t target)
{
	const struct target *t = &h->routes->v[route].targets[target];
	int64_t every = period(&h->conf->routes[route].health, t);
	struct watch *w = t->server->watch;

	if (!w && !every)
		return;
	if (!w)
		w = watch_new(h, t->server);
	w->route = route;
	w->target = target;
	w->seen = h->looks;
	plan(w, every);
}

static void look(struct health *h)
{
	struct watch *w, *next;

	h->looks++;
	for (size_t r = 0; r < h->routes->n; r++)
		for (size_t t = 0; t < h->routes->v[r].n_targets; t++)
			look_at(h, r, t);
	for (w = TAILQ_FIRST(&h->all); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->seen != h->looks)
			watch_free(w);
	}
	start_waiting(h);
}

void health_update(struct health *h, struct conf *conf, struct routes *routes)
{
	if (routes == h->routes)
		return;
	conf_ref(conf);
	routes_ref(routes);
	conf_unref(h->conf);
	routes_unref(h->routes);
	h->conf = conf;
	h->routes = routes;
	look(h);
}

void health_tick(struct health *h)
{
	look(h);
}

struct health *health_new(struct event_base *base, struct error *err)
{
	struct health *h = mem_zalloc(sizeof(*h));

	TAILQ_INIT(&h->all);
	TAILQ_INIT(&h->queue);
	h->base = base;
	h->tls = SSL_CTX_new(TLS_client_method());
	if (h->tls)
		return h;
	tls_error_set(err, "health checks");
	free(h);
	return NULL;
}

void health_free(struct health *h)
{
	struct watch *w;

	if (!h)
		return;
	while ((w = TAILQ_FIRST(&h->all)))
		watch_free(w);
	SSL_CTX_free(h->tls);
	routes_unref(h->routes);
	conf_unref(h->conf);
	free(h);
}
