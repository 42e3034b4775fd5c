#include "proxy/session.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
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
#include "proxy/connect.h"
#include "proxy/connlog.h"
#include "proxy/limits.h"
#include "proxy/onward.h"
#include "proxy/origin.h"
#include "proxy/plain.h"
#include "proxy/relay.h"
#include "tls/error.h"

#define HELLO_MAX       (64u << 10) /* of one to be passed on: 16 KiB, in many small records */
#define TICKETS_WAIT_MS 20 /* for something to be sent with; a turn of the wheel comes on top */

void session_set_state(struct session *s, enum session_state state)
{
	/* Which state may follow which: rows from, columns to. */
	static const bool allowed[SESSION_STATES][SESSION_STATES] = {
		[SESSION_HEADER] = {[SESSION_REQUEST] = true,
			[SESSION_HANDSHAKE] = true,
			[SESSION_DEAD] = true},
		[SESSION_REQUEST] = {[SESSION_ANSWERED] = true, [SESSION_DEAD] = true},
		[SESSION_ANSWERED] = {[SESSION_DEAD] = true},
		[SESSION_HANDSHAKE] = {[SESSION_CONNECTING] = true, [SESSION_DEAD] = true},
		[SESSION_CONNECTING] = {[SESSION_RELAY] = true, [SESSION_DEAD] = true},
		[SESSION_RELAY] = {[SESSION_DEAD] = true},
	};

	assert(allowed[s->state][state]);
	s->state = state;
}

void session_log(struct session *s, enum log_level level, const char *fmt, ...)
{
	char text[ERROR_MAX], client[ENDPOINT_TEXT_SIZE], name[2 * NAME_SIZE] = "";
	const char *sni = s->handshake ? s->handshake->name : "";
	va_list ap;

	if (!log_wants(level) || !worker_may_log(s->worker))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	str_escape(name, sizeof(name), sni, strlen(sni));
	log_write(
		level, "%s%s%s: %s", inet_text(client, &s->from), *sni ? " for " : "", name, text);
}

const char *session_id(const struct session *s, char out[SESSION_ID_SIZE])
{
	snprintf(out, SESSION_ID_SIZE, "%016" PRIx64 "%016" PRIx64, s->worker->id, s->number);
	return out;
}

/* Ending */

void session_let_go(struct session *s)
{
	if (s->record && s->snapshot)
		record_keep_names(s);
	snapshot_unref(s->snapshot);
	s->snapshot = NULL;
	s->route = NULL;
	origin_clear(s);
	connect_clear(s);
	if (s->hello)
		evbuffer_free(s->hello);
	s->hello = NULL;
	handshake_free(s->handshake);
	s->handshake = NULL;
}

void session_unpin_server(struct session *s)
{
	if (!s->server)
		return;
	atomic_fetch_sub_explicit(&s->server->active, 1, memory_order_relaxed);
	server_unref(s->server);
	s->server = NULL;
}

static void session_end(struct session *s, bool reset, enum close_reason why)
{
	struct worker *w = s->worker;

	if (s->state == SESSION_DEAD)
		return;
	session_set_state(s, SESSION_DEAD);
	if (s->record)
		record_write(s, why);
	wheel_remove(&w->wheel, &s->timer);
	conn_close(&s->client, reset);
	/* With bytes for it lost, a FIN would let the server take what it has for the whole. */
	conn_close(&s->backend, reset || conn_queued(&s->backend));
	limits_leave(s);
	w->wire.out_len = 0;
	w->wire.in_len = 0;
	TAILQ_REMOVE(&w->sessions, s, link);
	TAILQ_INSERT_TAIL(&w->dead, s, link);
	stats_count(&w->stats.closed, 1);
	worker_session_closed(w);
}

void session_close(struct session *s, enum close_reason why)
{
	session_end(s, false, why);
}

void session_abort(struct session *s, enum close_reason why)
{
	session_end(s, true, why);
}

void session_free(struct session *s)
{
	SSL_free(s->ssl);
	onward_free(s);
	conn_free(&s->client);
	conn_free(&s->backend);
	if (s->pending)
		evbuffer_free(s->pending);
	free(s->tickets);
	session_unpin_server(s);
	session_let_go(s);
	record_free(s->record);
	free(s);
}

/* The handshake */

static const struct tls_policy *choose_route(void *arg, const char *name)
{
	struct session *s = arg;
	bool again = s->handshake->policy != NULL; /* after a HelloRetryRequest */

	s->route = routes_find(s->snapshot->routes, s->listener, name);
	if (!s->route)
		return NULL;
	s->over_limit = (!again && !limits_admit_handshake(s)) || !limits_admit_to_route(s);
	return s->over_limit ? NULL : &s->route->policy;
}

static bool passes(void *arg, const char *name, const unsigned char *alpn, size_t len)
{
	struct session *s = arg;

	s->route = routes_find_passthrough(s->snapshot->routes, s->listener, name, alpn, len);
	return s->route;
}

static enum handshake_failure failure_of(enum tls_refusal refusal)
{
	switch (refusal) {
	case TLS_REFUSED_NO_CERT: return HANDSHAKE_NO_CERT;
	case TLS_REFUSED_NO_ALPN: return HANDSHAKE_NO_ALPN;
	case TLS_REFUSED_NO_ROUTE: return HANDSHAKE_NO_ROUTE;
	case TLS_REFUSED_BAD_CERT: return HANDSHAKE_BAD_CERT;
	case TLS_REFUSED_CLIENT_CERT: return HANDSHAKE_CLIENT_CERT;
	case TLS_REFUSED_NOT: break;
	}
	return HANDSHAKE_PROTOCOL;
}

static void note_handshake_failure(struct session *s, enum handshake_failure why, const char *text)
{
	stats_count(&s->worker->stats.handshake_failures[why], 1);
	record_reason(s->record, why == HANDSHAKE_TIMEOUT ? NULL : handshake_failure_names[why]);
	session_log(s, LOG_INFO, "handshake failed: %s", text);
}

static void fail_handshake(struct session *s, enum handshake_failure why, const char *text)
{
	note_handshake_failure(s, why, text);
	session_close(
		s, why == HANDSHAKE_TIMEOUT ? CLOSE_HANDSHAKE_TIMEOUT : CLOSE_HANDSHAKE_FAILED);
}

/* `data` is what the last recv() has brought. */
static void handshake_refused(struct session *s, const unsigned char *data, size_t len)
{
	char why[ERROR_MAX];
	enum tls_refusal refusal = tls_refusal_of(s->handshake, why);
	const char *header = refusal == TLS_REFUSED_NOT ? origin_misplaced(s, data, len) : NULL;

	if (s->over_limit) { /* at once, without an alert */
		session_close(s, CLOSE_LIMIT);
		return;
	}
	/* Before the client is told: who hears of a refusal finds it counted. */
	note_handshake_failure(s, failure_of(refusal), header ? header : why);
	relay_flush(s); /* the alert */
	if (s->client.fd >= 0 && !conn_queued(&s->client))
		shutdown(s->client.fd, SHUT_WR);
	session_close(s, CLOSE_HANDSHAKE_FAILED);
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

/* The beginning of a hello that comes in pieces: its server wants all of it. False when it is too
 * long. `data` is what the last recv() has brought. */
static bool keep_hello(struct session *s, const unsigned char *data, size_t len)
{
	if (!s->handshake->passes || s->handshake->seen)
		return true;
	if (!s->hello)
		s->hello = evbuffer_new();
	if (!s->hello || evbuffer_add(s->hello, data, len) < 0)
		abort();
	return evbuffer_get_length(s->hello) <= HELLO_MAX;
}

/* What the client has said so far goes to the server as it is; TLS was only read. */
static void pass_through(struct session *s, const unsigned char *data, size_t len)
{
	SSL_free(s->ssl);
	s->ssl = NULL;
	s->worker->wire.in_len = 0;
	if (!limits_admit_to_route(s)) {
		session_close(s, CLOSE_LIMIT);
		return;
	}
	stats_count(&s->worker->stats.passed_through, 1);
	record_shaken(s->record);
	if (s->hello) {
		stats_count(&s->worker->stats.bytes_in, evbuffer_get_length(s->hello));
		record_bytes_in(s->record, evbuffer_get_length(s->hello));
	}
	s->pending = s->hello;
	s->hello = NULL;
	connect_start(s);
	if (s->state != SESSION_DEAD)
		relay_pass_on(s, data, len);
}

/* With `len` new bytes. True when the handshake has ended well, with the server being connected. */
static bool step_handshake(struct session *s, const unsigned char *data, size_t len)
{
	int rc = SSL_accept(s->ssl), why;

	if (rc == 1) {
		count_handshake(s);
		record_shaken(s->record);
		if (SSL_version(s->ssl) >= TLS1_3_VERSION)
			relay_hold_tickets(s);
		connect_start(s);
		if (s->state != SESSION_DEAD && relay_flush(s) < 0)
			session_abort(s, CLOSE_CLIENT_RESET);
		return s->state != SESSION_DEAD;
	}
	why = SSL_get_error(s->ssl, rc);
	if (why == SSL_ERROR_WANT_CLIENT_HELLO_CB) {
		pass_through(s, data, len);
		return false;
	}
	if (why == SSL_ERROR_WANT_READ) {
		if (!keep_hello(s, data, len))
			fail_handshake(s, HANDSHAKE_PROTOCOL, "the ClientHello is too long");
		else if (relay_flush(s) < 0)
			fail_handshake(s, HANDSHAKE_CLOSED, "the client closed the connection");
		return false;
	}
	handshake_refused(s, data, len);
	return false;
}

/* The client */

static void client_gone(struct session *s, ssize_t n)
{
	if (s->state == SESSION_HEADER) {
		origin_client_gone(s);
		return;
	}
	if (session_is_plain(s)) {
		plain_client_gone(s, n);
		return;
	}
	if (s->state == SESSION_HANDSHAKE) {
		fail_handshake(s, HANDSHAKE_CLOSED, "the client closed the connection");
		return;
	}
	if (n == 0) {
		if (s->ssl)
			stats_count(&s->worker->stats.truncated, 1);
		s->client.cut = true;
		relay_client_ended(s);
		return;
	}
	stats_count(&s->worker->stats.aborted, 1);
	session_abort(s, CLOSE_CLIENT_RESET);
}

static void begin_handshake(struct session *s, const struct listener_routes *routes)
{
	struct handshake *h = mem_zalloc(sizeof(*h));

	session_set_state(s, SESSION_HANDSHAKE);
	s->handshake = h;
	h->certs = s->snapshot->certs;
	h->tickets = s->snapshot->tickets;
	h->cache = s->worker->cache;
	h->strict_sni = s->snapshot->strict_sni;
	h->choose = choose_route;
	if (routes->passes)
		h->passes = passes;
	h->arg = s;
	s->ssl = tls_accept_new(s->snapshot->ctx, h, relay_bio_new(s));
}

/* The client's address is known: from here on it is a client. False when it may not be one. */
static bool session_begin(struct session *s)
{
	const struct listener_routes *routes = &s->snapshot->routes->by_listener[s->listener];

	if (!limits_admit(s)) {
		session_close(s, CLOSE_LIMIT);
		return false;
	}
	if (routes->redirects)
		plain_begin(s);
	else
		begin_handshake(s, routes);
	return true;
}

/* Takes the input through the states before the relay; what is left belongs there when it returns
 * true. */
static bool take_first_bytes(struct session *s)
{
	struct wire *w = &s->worker->wire;

	if (s->state == SESSION_HEADER) {
		if (!origin_read(s) || !session_begin(s))
			return false;
	}
	if (session_is_plain(s)) {
		plain_take(s, w->in, w->in_len);
		return false;
	}
	return s->state == SESSION_HANDSHAKE && step_handshake(s, w->in, w->in_len);
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
	} else if (!s->ssl && s->state > SESSION_HANDSHAKE) {
		relay_pass_on(s, w->recv, (size_t)n);
	} else {
		w->wire.in = w->recv;
		w->wire.in_len = (size_t)n;
		if (s->state > SESSION_HANDSHAKE || take_first_bytes(s))
			relay_from_client(s);
		w->wire.in_len = 0;
	}
	session_settle(s);
}

static struct session *of_client(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, client));
}

static void client_drained(struct conn *c)
{
	of_client(c)->worker->now = clock_mono_ms();
	relay_resume(of_client(c));
	session_settle(of_client(c));
}

static void client_failed(struct conn *c)
{
	stats_count(&of_client(c)->worker->stats.aborted, 1);
	session_abort(of_client(c), CLOSE_CLIENT_RESET);
}

static const struct conn_events client_events = {client_drained, client_failed};

void session_open(struct worker *w, int fd, size_t listener, const struct inet_address *from)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->worker = w;
	s->listener = listener;
	s->number = ++w->n_opened;
	s->from = *from;
	s->snapshot = snapshot_ref(w->snapshot);
	if (connlog_is_on())
		s->record = record_new();
	s->backend.fd = -1;
	conn_open(&s->client, fd, &client_events);
	conn_watch(&s->client, w->base, EV_READ | EV_PERSIST, on_client_readable, s);
	TAILQ_INSERT_TAIL(&w->sessions, s, link);
	stats_count(&w->stats.accepted, 1);
	if (s->snapshot->handshake_ms) /* 0 = no limit */
		wheel_set(&w->wheel, &s->timer, w->now + s->snapshot->handshake_ms);
	if (origin_is_awaited(s))
		origin_start(s);
	else if (!session_begin(s))
		return;
	conn_resume(&s->client);
	/* The ClientHello is often here already. */
	on_client_readable(fd, EV_READ, s);
}

/* Time */

void session_settle(struct session *s)
{
	int64_t deadline;
	bool half;

	if (s->state == SESSION_RELAY)
		relay_resume(s);
	if (s->state == SESSION_CONNECTING)
		connect_settle(s);
	if (s->state != SESSION_RELAY)
		return;
	half = s->client.ended || s->backend.ended;
	deadline = s->worker->now + (half ? s->half_closed_ms : s->idle_ms);
	if (s->tickets && deadline > s->worker->now + TICKETS_WAIT_MS)
		deadline = s->worker->now + TICKETS_WAIT_MS;
	/* With nobody left to hear it the client may not go on for ever. (No tick: the deadline was
	 * met, and is to be another one.) */
	if (s->refused && s->backend.ended && s->timer.tick && deadline > s->timer.deadline)
		return;
	wheel_set(&s->worker->wheel, &s->timer, deadline);
}

static void expire_relay(struct session *s)
{
	size_t queued = conn_queued(&s->client) + conn_queued(&s->backend);
	bool half = s->client.ended || s->backend.ended;

	if (s->tickets) { /* nothing came that they could go with */
		if (relay_send_tickets(s) < 0)
			session_abort(s, CLOSE_CLIENT_RESET);
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
	session_close(s, half ? CLOSE_HALF_CLOSED_TIMEOUT : CLOSE_IDLE_TIMEOUT);
}

void session_expire(struct session *s)
{
	switch (s->state) {
	case SESSION_HEADER: origin_expire(s); break;
	case SESSION_HANDSHAKE:
		fail_handshake(s, HANDSHAKE_TIMEOUT, "not done within limits.handshake");
		break;
	case SESSION_CONNECTING: connect_expire(s); break;
	case SESSION_RELAY: expire_relay(s); break;
	case SESSION_REQUEST:
	case SESSION_ANSWERED: plain_expire(s); break;
	case SESSION_DEAD:
	case SESSION_STATES: break;
	}
}
