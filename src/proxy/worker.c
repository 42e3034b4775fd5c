#include "proxy/worker.h"

#include <assert.h>
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/onward.h"
#include "proxy/session.h"

#define ACCEPTS_PER_TURN     16
#define QUEUED_MAX           4096  /* the backlog */
#define CACHE_MAX            10000 /* parsed certificates: 7.7 KiB each */
#define LOG_LINES_PER_SECOND 20
#define PAUSE_LOG_MS         10000

struct worker_listener {
	TAILQ_ENTRY(worker_listener) link;
	struct worker *worker;
	struct listener *listener; /* referenced */
	size_t index;              /* in worker->snapshot */
	int fd;
	struct event *event;
};

struct worker_mail {
	struct mail mail;
	enum worker_verb verb;
	struct snapshot *snapshot;
};

/* Accepting */

static bool is_full(const struct worker *w)
{
	return atomic_load_explicit(w->connections, memory_order_relaxed) >=
	       w->snapshot->max_connections;
}

static void pause_accepting(struct worker *w, const char *why)
{
	struct worker_listener *l;

	if (w->paused)
		return;
	TAILQ_FOREACH (l, &w->listeners, link)
		event_del(l->event);
	w->paused = true;
	stats_count(&w->stats.accept_pauses, 1);
	if (w->now - w->pause_logged >= PAUSE_LOG_MS || !w->pause_logged) {
		w->pause_logged = w->now;
		log_warn("accepting paused: %s", why);
	}
	w->paused_since = w->now;
}

/* What has passed until now, so that a pause that goes on shows. */
static void count_pause(struct worker *w)
{
	stats_count(&w->stats.accept_paused_ms, (uint64_t)(w->now - w->paused_since));
	w->paused_since = w->now;
}

static void resume_accepting(struct worker *w)
{
	struct worker_listener *l;

	if (!w->paused)
		return;
	count_pause(w);
	w->paused = false;
	TAILQ_FOREACH (l, &w->listeners, link)
		event_add(l->event, NULL);
}

/* Returns 1 when a connection was taken, 0 when none is left or none may be. */
static int accept_one(struct worker_listener *l)
{
	struct worker *w = l->worker;
	struct inet_address from; /* a unix socket's name does not fit, and is of no use */
	socklen_t len = sizeof(from);
	char why[128];
	int fd;

	if (is_full(w)) {
		snprintf(why, sizeof(why),
			"there are %llu connections, as many as limits.connections and the limit "
			"of open files allow",
			(unsigned long long)w->snapshot->max_connections);
		pause_accepting(w, why);
		return 0;
	}
	fd = accept4(l->fd, &from.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		atomic_fetch_add_explicit(w->connections, 1, memory_order_relaxed);
		w->n_sessions++;
		session_open(w, fd, l->index, &from);
		return 1;
	}
	switch (errno) {
	case EINTR:
	case ECONNABORTED: return 1;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: pause_accepting(w, strerror(errno)); break;
	default: break;
	}
	return 0;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct worker_listener *l = arg;

	(void)fd;
	(void)what;
	l->worker->now = clock_mono_ms();
	for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(l); i++)
		;
}

void worker_session_closed(struct worker *w)
{
	atomic_fetch_sub_explicit(w->connections, 1, memory_order_relaxed);
	w->n_sessions--;
	if (w->paused && !is_full(w))
		resume_accepting(w);
}

/* Listeners */

static void listen_on(struct worker *w, struct listener *listener, size_t index)
{
	struct worker_listener *l = mem_zalloc(sizeof(*l));

	l->worker = w;
	l->listener = listener_ref(listener);
	l->index = index;
	l->fd = listener->fds[listener->shared ? 0 : w->index];
	l->event = event_new(w->base, l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
	if (!l->event)
		abort();
	if (!w->paused)
		event_add(l->event, NULL);
	TAILQ_INSERT_TAIL(&w->listeners, l, link);
	stats_count(&w->stats.listening, 1);
}

/* Whoever was let into the queue is served, under the configuration it came to. */
static void stop_listening(struct worker *w, struct worker_listener *l)
{
	for (int i = 0; i < QUEUED_MAX && !w->paused && accept_one(l); i++)
		;
	event_free(l->event);
	TAILQ_REMOVE(&w->listeners, l, link);
	if (!l->listener->shared) {
		close(l->fd);
		l->listener->fds[w->index] = -1;
	}
	listener_unref(l->listener);
	free(l);
	stats_count(&w->stats.listening, (uint64_t)-1);
}

static struct worker_listener *find_listening(struct worker *w, const struct listener *listener)
{
	struct worker_listener *l;

	TAILQ_FOREACH (l, &w->listeners, link)
		if (l->listener == listener)
			return l;
	return NULL;
}

static bool has_listener(const struct listeners *all, const struct listener *l)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i] == l)
			return true;
	return false;
}

static void use_snapshot(struct worker *w, struct snapshot *s)
{
	struct worker_listener *l, *next;

	if (w->draining || w->stopping) {
		snapshot_unref(s);
		return;
	}
	for (l = TAILQ_FIRST(&w->listeners); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!has_listener(s->listeners, l->listener))
			stop_listening(w, l);
	}
	snapshot_unref(w->snapshot);
	w->snapshot = s;
	if (s->clients)
		w->clients = s->clients;
	for (size_t i = 0; i < s->listeners->n; i++) {
		l = find_listening(w, s->listeners->v[i]);
		if (l)
			l->index = i;
		else
			listen_on(w, s->listeners->v[i], i);
	}
}

/* Messages */

static void drain(struct worker *w)
{
	while (!TAILQ_EMPTY(&w->listeners))
		stop_listening(w, TAILQ_FIRST(&w->listeners));
	w->draining = true;
}

static void stop(struct worker *w)
{
	struct session *s, *next;

	drain(w);
	for (s = TAILQ_FIRST(&w->sessions); s; s = next) {
		next = TAILQ_NEXT(s, link);
		session_close(s, CLOSE_STOP);
	}
	w->stopping = true;
}

static void report(struct worker *w, bool ended)
{
	struct worker_report *r = mem_zalloc(sizeof(*r));

	r->ended = ended;
	mailbox_post(w->home, &r->mail);
}

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct mail *m = mailbox_take(&w->inbox), *next;

	(void)fd;
	(void)what;
	w->now = clock_mono_ms();
	for (; m; m = next) {
		struct worker_mail *mail = (struct worker_mail *)m;

		next = m->next;
		switch (mail->verb) {
		case WORKER_PUBLISH:
			use_snapshot(w, mail->snapshot);
			report(w, false);
			break;
		case WORKER_DRAIN: drain(w); break;
		case WORKER_STOP: stop(w); break;
		}
		free(mail);
	}
}

void worker_post(struct worker *w, enum worker_verb verb, struct snapshot *snapshot)
{
	struct worker_mail *mail = mem_zalloc(sizeof(*mail));

	mail->verb = verb;
	mail->snapshot = snapshot;
	mailbox_post(&w->inbox, &mail->mail);
}

/* The loop */

static void on_due(struct wheel_entry *e, void *arg)
{
	(void)arg;
	session_expire((struct session *)((char *)e - offsetof(struct session, timer)));
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t turns;

	(void)what;
	if (read(fd, &turns, sizeof(turns)) < 0)
		return;
	w->now = clock_mono_ms();
	if (w->now < w->tick_due) /* the coarse clock lags behind */
		w->now = w->tick_due;
	w->tick_due = WHEEL_NEVER;
	wheel_turn(&w->wheel, w->now, on_due, NULL);
	if (w->paused)
		count_pause(w);
	if (w->paused && !is_full(w))
		resume_accepting(w);
}

/* The next tick is when the wheel has something to meet, and while accepting is paused each one. A
 * timerfd, and no libevent timer: with one each epoll_wait() has a time-out, for which the kernel
 * arms a timer and takes it back. On a virtual machine that costs as much as a request. */
static void set_tick(struct worker *w)
{
	int64_t due = w->wheel.next, soon = (w->now / WHEEL_TICK_MS + 1) * WHEEL_TICK_MS;
	struct itimerspec at = {0};

	if (w->paused && soon < due)
		due = soon;
	if (due >= w->tick_due) /* one that is set too early comes in vain, once */
		return;
	at.it_value.tv_sec = due / 1000;
	at.it_value.tv_nsec = due % 1000 * 1000000;
	timerfd_settime(w->tick_fd, TFD_TIMER_ABSTIME, &at, NULL);
	w->tick_due = due;
}

bool worker_may_log(struct worker *w)
{
	int64_t second = w->now / 1000;

	if (w->log.second != second) {
		if (w->log.suppressed)
			log_warn(
				"%u more lines about clients and servers were left out in a second",
				w->log.suppressed);
		w->log.second = second;
		w->log.lines = w->log.suppressed = 0;
	}
	if (w->log.lines >= LOG_LINES_PER_SECOND) {
		w->log.suppressed++;
		return false;
	}
	w->log.lines++;
	return true;
}

static void free_dead(struct worker *w)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&w->dead))) {
		TAILQ_REMOVE(&w->dead, s, link);
		session_free(s);
	}
}

static void *run_worker(void *arg)
{
	struct worker *w = arg;
	struct snapshot *first = w->snapshot;

	/* The first publication is the same as any later one. */
	w->snapshot = NULL;
	use_snapshot(w, first);
	while (!w->stopping && !(w->draining && !w->n_sessions)) {
		if (event_base_loop(w->base, EVLOOP_ONCE) < 0)
			break;
		free_dead(w);
		set_tick(w);
	}
	free_dead(w);
	snapshot_unref(w->snapshot);
	w->snapshot = NULL;
	report(w, true);
	return NULL;
}

static int make_loop(struct worker *w, struct error *err)
{
	struct event_config *config = event_config_new();

	if (!config)
		abort();
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	w->base = event_base_new_with_config(config);
	event_config_free(config);
	if (!w->base)
		return error_set(err, "cannot make an event loop");
	if (mailbox_init(&w->inbox, err) < 0)
		return -1;
	w->ev_inbox = event_new(w->base, w->inbox.fd, EV_READ | EV_PERSIST, on_inbox, w);
	w->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->tick_fd < 0)
		return error_set_errno(err, "cannot make a timer");
	w->ev_tick = event_new(w->base, w->tick_fd, EV_READ | EV_PERSIST, on_tick, w);
	if (!w->ev_inbox || !w->ev_tick)
		abort();
	event_add(w->ev_inbox, NULL);
	event_add(w->ev_tick, NULL);
	return 0;
}

struct worker *worker_start(size_t index, struct snapshot *first, atomic_uint_fast64_t *connections,
	struct mailbox *home, struct error *err)
{
	struct worker *w = mem_zalloc(sizeof(*w));
	int rc;

	w->index = index;
	w->snapshot = first;
	w->connections = connections;
	w->home = home;
	w->now = clock_mono_ms();
	if (RAND_bytes((unsigned char *)&w->id, sizeof(w->id)) != 1) {
		error_set(err, "there are no random numbers to be had");
		return NULL;
	}
	TAILQ_INIT(&w->listeners);
	TAILQ_INIT(&w->sessions);
	TAILQ_INIT(&w->dead);
	wheel_init(&w->wheel, w->now);
	w->tick_due = WHEEL_NEVER;
	w->cache = cert_cache_new(CACHE_MAX);
	w->recv = mem_alloc(SCRATCH_RECV);
	w->plain = mem_alloc(SCRATCH_PLAIN);
	if (make_loop(w, err) < 0) /* the process ends: nothing is worth freeing */
		return NULL;
	rc = pthread_create(&w->thread, NULL, run_worker, w);
	if (rc) {
		errno = rc;
		error_set_errno(err, "cannot start worker %zu", index);
		return NULL;
	}
	return w;
}

void worker_join(struct worker *w)
{
	struct mail *m, *next;

	pthread_join(w->thread, NULL);
	for (m = mailbox_take(&w->inbox); m; m = next) { /* came too late */
		next = m->next;
		snapshot_unref(((struct worker_mail *)m)->snapshot);
		free(m);
	}
	event_free(w->ev_inbox);
	event_free(w->ev_tick);
	close(w->tick_fd);
	event_base_free(w->base);
	mailbox_clear(&w->inbox);
	cert_cache_free(w->cache);
	onward_pool_free(w->onward);
	free(w->recv);
	free(w->plain);
	free(w);
}
