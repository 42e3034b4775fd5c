#include "proxy/session.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "proxy/relay.h"
#include "tls/error.h"

#define TICKETS_WAIT_MS 20  /* for something to be sent with; a turn of the wheel comes on top */
#define ASK_AGAIN_MS    100 /* a server whose queue is full */

static void session_set_state(struct session *s, enum session_state state)
{
	/* Which state may follow which: rows from, columns to. */
	static const bool allowed[4][4] = {
		[SESSION_HANDSHAKE] = {[SESSION_CONNECTING] = true, [SESSION_DEAD] = true},
		[SESSION_CONNECTING] = {[SESSION_RELAY] = true, [SESSION_DEAD] = true},
		[SESSION_RELAY] = {[SESSION_DEAD] = true},
	};

	assert(allowed[s->state][state]);
	s->state = state;
}

void session_log(struct session *s, enum log_level level, const char *fmt, ...)
{
	char text[ERROR_MAX], peer[ENDPOINT_TEXT_SIZE], name[2 * NAME_SIZE] = "";
	struct endpoint e = {.len = sizeof(e.un)};
	const char *sni = s->handshake ? s->handshake->name : "";
	va_list ap;

	if (!log_wants(level) || !worker_may_log(s->worker))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (s->client.fd < 0 || getpeername(s->client.fd, &e.sa, &e.len) < 0)
		snprintf(peer, sizeof(peer), "a client that is gone");
	else
		endpoint_text(peer, &e);
	str_escape(name, sizeof(name), sni, strlen(sni));
	log_write(level, "%s%s%s: %s", peer, *sni ? " for " : "", name, text);
}

/* Ending */

static void let_go(struct session *s)
{
	snapshot_unref(s->snapshot);
	s->snapshot = NULL;
	s->route = NULL;
	free(s->handshake);
	s->handshake = NULL;
}

static void unpin_server(struct session *s)
{
	if (!s->server)
		return;
	atomic_fetch_sub_explicit(&s->server->active, 1, memory_order_relaxed);
	server_unref(s->server);
	s->server = NULL;
}

static void session_end(struct session *s, bool reset)
{
	struct worker *w = s->worker;

	if (s->state == SESSION_DEAD)
		return;
	session_set_state(s, SESSION_DEAD);
	wheel_remove(&w->wheel, &s->timer);
	conn_close(&s->client, reset);
	/* With bytes for it lost, a FIN would let the server take what it has for the whole. */
	conn_close(&s->backend, reset || conn_queued(&s->backend));
	w->out_len = 0;
	w->in_len = 0;
	TAILQ_REMOVE(&w->sessions, s, link);
	TAILQ_INSERT_TAIL(&w->dead, s, link);
	stats_count(&w->stats.closed, 1);
	worker_session_closed(w);
}

void session_close(struct session *s)
{
	session_end(s, false);
}

void session_abort(struct session *s)
{
	session_end(s, true);
}

void session_free(struct session *s)
{
	SSL_free(s->ssl);
	conn_free(&s->client);
	conn_free(&s->backend);
	if (s->pending)
		evbuffer_free(s->pending);
	free(s->tickets);
	unpin_server(s);
	let_go(s);
	free(s);
}

/* Connecting */

static const struct conn_events conn_events;

static void on_connect_event(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	socklen_t len = sizeof(int);
	int err = 0;

	(void)what;
	s->worker->now = clock_mono_ms();
	s->backend.watched = false; /* it was for once */
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err)
		session_connect_failed(s, err);
	else
		session_connected(s);
	session_settle(s);
}

/* Returns 0 when the connect is under way or done, else an errno value. TCP asks a server whose
 * queue is full again by itself; a unix socket leaves that to us. */
static int ask_server(struct session *s, int fd, const struct endpoint *e)
{
	int64_t until = s->connect_until;

	s->full = false;
	if (connect(fd, &e->sa, e->len) < 0 && errno != EINPROGRESS) {
		if (errno != EAGAIN || e->sa.sa_family != AF_UNIX)
			return errno;
		s->full = true;
		if (until > s->worker->now + ASK_AGAIN_MS)
			until = s->worker->now + ASK_AGAIN_MS;
	}
	wheel_set(&s->worker->wheel, &s->timer, until);
	return 0;
}

static int start_connect(struct session *s, struct target *t, const struct endpoint *e)
{
	int one = 1, fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	    err;

	if (fd < 0)
		return errno;
	if (e->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->connect_until = s->worker->now + s->route->connect_ms;
	err = ask_server(s, fd, e);
	if (err) {
		close(fd);
		return err;
	}
	conn_open(&s->backend, fd, &conn_events);
	s->server = server_ref(t->server);
	atomic_fetch_add_explicit(&s->server->active, 1, memory_order_relaxed);
	return 0;
}

static void note_failure(struct session *s, struct server *server, const char *why)
{
	stats_count(&s->worker->stats.backend_failures, 1);
	atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);
	session_log(s, LOG_WARN, "server %s: cannot connect: %s", server->address.text, why);
}

/* The next address of the server that is being tried, then of the next server, each once. */
static void connect_next(struct session *s)
{
	struct route *r = s->route;

	for (; s->tried < r->n_targets; s->tried++, s->endpoint = 0) {
		struct target *t = &r->targets[(s->first + s->tried) % r->n_targets];

		if (!t->n)
			note_failure(s, t->server, "its name has no address yet");
		while (s->endpoint < t->n) {
			int err = start_connect(s, t, &t->endpoints[s->endpoint++]);

			if (!err)
				return;
			note_failure(s, t->server, strerror(err));
		}
	}
	stats_count(&s->worker->stats.backend_unreached, 1);
	session_log(s, LOG_ERROR, "no server of its route could be reached");
	/* No close_notify: an empty stream would look whole. */
	session_abort(s);
}

void session_connect_failed(struct session *s, int err)
{
	note_failure(s, s->server, strerror(err));
	conn_close(&s->backend, false);
	conn_free(&s->backend);
	unpin_server(s);
	connect_next(s);
}

void session_connected(struct session *s)
{
	session_set_state(s, SESSION_RELAY);
	stats_count(&s->worker->stats.backend_connects, 1);
	atomic_fetch_add_explicit(&s->server->connects, 1, memory_order_relaxed);
	let_go(s);
	conn_watch(&s->backend, s->worker->base, EV_READ | EV_PERSIST, relay_on_server_readable, s);
	relay_start(s);
}

static void choose_server(struct session *s)
{
	struct route *r = s->route;
	atomic_uint *turn = &r->turn[s->worker->index];

	session_set_state(s, SESSION_CONNECTING);
	s->idle_ms = r->idle_ms;
	s->half_closed_ms = r->half_closed_ms;
	s->first = atomic_load_explicit(turn, memory_order_relaxed);
	atomic_store_explicit(turn, s->first + 1, memory_order_relaxed);
	connect_next(s);
}

/* The handshake */

static const struct tls_policy *choose_route(void *arg, const char *name)
{
	struct session *s = arg;

	s->route = routes_find(s->snapshot->routes, s->listener, name);
	return s->route ? &s->route->policy : NULL;
}

static enum handshake_failure failure_of(enum tls_refusal refusal)
{
	switch (refusal) {
	case TLS_REFUSED_NO_CERT: return HANDSHAKE_NO_CERT;
	case TLS_REFUSED_NO_ALPN: return HANDSHAKE_NO_ALPN;
	case TLS_REFUSED_NO_ROUTE: return HANDSHAKE_NO_ROUTE;
	case TLS_REFUSED_BAD_CERT: return HANDSHAKE_BAD_CERT;
	case TLS_REFUSED_NOT: break;
	}
	return HANDSHAKE_PROTOCOL;
}

static void note_handshake_failure(struct session *s, enum handshake_failure why, const char *text)
{
	stats_count(&s->worker->stats.handshake_failures[why], 1);
	session_log(s, LOG_INFO, "handshake failed: %s", text);
}

static void fail_handshake(struct session *s, enum handshake_failure why, const char *text)
{
	note_handshake_failure(s, why, text);
	session_close(s);
}

static void handshake_refused(struct session *s)
{
	static const char *const sentences[] = {
		[TLS_REFUSED_NO_CERT] = "no certificate for this server name",
		[TLS_REFUSED_NO_ALPN] = "none of the client's ALPN protocols is served",
		[TLS_REFUSED_NO_ROUTE] = "no route for this server name on this listener",
		[TLS_REFUSED_BAD_CERT] = "the certificate for this server name cannot be used",
	};
	enum tls_refusal refusal = s->handshake->refusal;
	char why[ERROR_MAX];

	tls_error_text(why); /* empties the queue in any case */
	/* Before the client is told: who hears of a refusal finds it counted. */
	note_handshake_failure(s, failure_of(refusal), refusal ? sentences[refusal] : why);
	relay_flush(s); /* the alert */
	if (s->client.fd >= 0 && !conn_queued(&s->client))
		shutdown(s->client.fd, SHUT_WR);
	session_close(s);
}

static void count_handshake(struct session *s)
{
	struct stats *stats = &s->worker->stats;
	bool is_13 = SSL_version(s->ssl) >= TLS1_3_VERSION;

	if (SSL_session_reused(s->ssl))
		stats_count(is_13 ? &stats->resumed_tls13 : &stats->resumed_tls12, 1);
	else
		stats_count(is_13 ? &stats->handshakes_tls13 : &stats->handshakes_tls12, 1);
}

/* True when the handshake has ended well, with the server being connected. */
static bool step_handshake(struct session *s)
{
	int rc = SSL_accept(s->ssl);

	if (rc == 1) {
		count_handshake(s);
		if (SSL_version(s->ssl) >= TLS1_3_VERSION)
			relay_hold_tickets(s);
		choose_server(s);
		if (s->state != SESSION_DEAD && relay_flush(s) < 0)
			session_abort(s);
		return s->state != SESSION_DEAD;
	}
	if (SSL_get_error(s->ssl, rc) == SSL_ERROR_WANT_READ) {
		if (relay_flush(s) < 0)
			fail_handshake(s, HANDSHAKE_CLOSED, "the client closed the connection");
		return false;
	}
	handshake_refused(s);
	return false;
}

/* The client */

static void client_gone(struct session *s, ssize_t n)
{
	if (s->state == SESSION_HANDSHAKE) {
		fail_handshake(s, HANDSHAKE_CLOSED, "the client closed the connection");
		return;
	}
	if (n == 0) {
		stats_count(&s->worker->stats.truncated, 1);
		relay_client_ended(s);
		return;
	}
	stats_count(&s->worker->stats.aborted, 1);
	session_abort(s);
}

static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct worker *w = s->worker;
	ssize_t n;

	(void)what;
	w->now = clock_mono_ms();
	n = recv(fd, w->recv, SCRATCH_RECV, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_gone(s, n);
	} else {
		w->in = w->recv;
		w->in_len = (size_t)n;
		if (s->state != SESSION_HANDSHAKE || step_handshake(s))
			relay_from_client(s);
		w->in_len = 0;
	}
	session_settle(s);
}

static struct session *of_client(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, client));
}

static struct session *of_backend(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, backend));
}

static void client_drained(struct conn *c)
{
	relay_resume(of_client(c));
	session_settle(of_client(c));
}

static void client_failed(struct conn *c)
{
	stats_count(&of_client(c)->worker->stats.aborted, 1);
	session_abort(of_client(c));
}

static void backend_drained(struct conn *c)
{
	relay_resume(of_backend(c));
	session_settle(of_backend(c));
}

static void backend_failed(struct conn *c)
{
	relay_refused(of_backend(c), EVUTIL_SOCKET_ERROR());
	session_settle(of_backend(c));
}

static const struct conn_events client_events = {client_drained, client_failed};
static const struct conn_events conn_events = {backend_drained, backend_failed};

void session_open(struct worker *w, int fd, size_t listener)
{
	struct session *s = mem_zalloc(sizeof(*s));
	struct handshake *h = mem_zalloc(sizeof(*h));

	s->worker = w;
	s->listener = listener;
	s->snapshot = snapshot_ref(w->snapshot);
	s->handshake = h;
	h->certs = s->snapshot->certs;
	h->tickets = s->snapshot->tickets;
	h->cache = w->cache;
	h->strict_sni = s->snapshot->strict_sni;
	h->choose = choose_route;
	h->arg = s;
	s->ssl = tls_accept_new(s->snapshot->ctx, h, relay_bio_new(s));
	s->backend.fd = -1;
	conn_open(&s->client, fd, &client_events);
	conn_watch(&s->client, w->base, EV_READ | EV_PERSIST, on_client_readable, s);
	TAILQ_INSERT_TAIL(&w->sessions, s, link);
	stats_count(&w->stats.accepted, 1);
	if (s->snapshot->handshake_ms) /* 0 = no limit */
		wheel_set(&w->wheel, &s->timer, w->now + s->snapshot->handshake_ms);
	conn_resume(&s->client);
	/* The ClientHello is often here already. */
	on_client_readable(fd, EV_READ, s);
}

/* Time */

static void settle_connect(struct session *s)
{
	struct endpoint e = {.len = sizeof(e.un)};

	/* On loopback and to near servers it is there by now: this call spares four. */
	if (getpeername(s->backend.fd, &e.sa, &e.len) == 0) {
		session_connected(s);
		return;
	}
	conn_watch(&s->backend, s->worker->base, EV_WRITE, on_connect_event, s);
	conn_resume(&s->backend);
}

void session_settle(struct session *s)
{
	int64_t deadline;
	bool half;

	if (s->state == SESSION_RELAY)
		relay_resume(s);
	if (s->state == SESSION_CONNECTING && !s->backend.watched && !s->full)
		settle_connect(s);
	if (s->state != SESSION_RELAY)
		return;
	half = s->client.ended || s->backend.ended;
	deadline = s->worker->now + (half ? s->half_closed_ms : s->idle_ms);
	if (s->tickets && deadline > s->worker->now + TICKETS_WAIT_MS)
		deadline = s->worker->now + TICKETS_WAIT_MS;
	/* With nobody left to hear it the client may not go on for ever. */
	if (s->refused && s->backend.ended && deadline > s->timer.deadline)
		return;
	wheel_set(&s->worker->wheel, &s->timer, deadline);
}

static void expire_relay(struct session *s)
{
	size_t queued = conn_queued(&s->client) + conn_queued(&s->backend);
	bool half = s->client.ended || s->backend.ended;

	if (s->tickets) { /* nothing came that they could go with */
		if (relay_send_tickets(s) < 0)
			session_abort(s);
		session_settle(s);
		return;
	}
	/* A slow reader whose queue shrinks is not idle. */
	if (queued && queued != s->queued_before) {
		s->queued_before = queued;
		session_settle(s);
		return;
	}
	stats_count(
		half ? &s->worker->stats.half_closed_timeouts : &s->worker->stats.idle_timeouts, 1);
	session_log(s, LOG_DEBUG, "closed: %s",
		half ? "half closed for timeouts.half_closed" : "nothing moved for timeouts.idle");
	session_close(s);
}

static void expire_connect(struct session *s)
{
	struct target *t = &s->route->targets[(s->first + s->tried) % s->route->n_targets];
	int err = ETIMEDOUT;

	if (s->full && s->worker->now < s->connect_until)
		err = ask_server(s, s->backend.fd, &t->endpoints[s->endpoint - 1]);
	if (err)
		session_connect_failed(s, err);
	session_settle(s);
}

void session_expire(struct session *s)
{
	switch (s->state) {
	case SESSION_HANDSHAKE:
		fail_handshake(s, HANDSHAKE_TIMEOUT, "not done within limits.handshake");
		break;
	case SESSION_CONNECTING: expire_connect(s); break;
	case SESSION_RELAY: expire_relay(s); break;
	case SESSION_DEAD: break;
	}
}
