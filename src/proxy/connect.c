#include "proxy/connect.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/balance.h"
#include "proxy/onward.h"
#include "proxy/origin.h"
#include "proxy/relay.h"

#define ASK_AGAIN_MS 100 /* a server whose queue is full */

static struct session *of_backend(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, backend));
}

static void backend_drained(struct conn *c)
{
	of_backend(c)->worker->now = clock_mono_ms();
	relay_resume(of_backend(c));
	session_settle(of_backend(c));
}

static void backend_failed(struct conn *c)
{
	int err = EVUTIL_SOCKET_ERROR();

	of_backend(c)->worker->now = clock_mono_ms();
	relay_refused(of_backend(c), err);
	session_settle(of_backend(c));
}

static const struct conn_events backend_events = {backend_drained, backend_failed};

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
		connect_failed(s, err);
	else
		connect_succeeded(s);
	session_settle(s);
}

/* --- results --- */

static void note_failure(struct session *s, struct server *server, const char *why)
{
	server_note_failure(server, "cannot connect", why);
	stats_count(&s->worker->stats.backend_failures, 1);
	session_log(s, LOG_WARN, "server %s: cannot connect: %s", server->address.text, why);
}

/* Whether the address that is being tried is the last one of its server, for this connection. */
static bool is_last_address(const struct session *s)
{
	const struct connecting *c = &s->connecting;

	return c->endpoint + 1 >= c->target->n || s->worker->now >= c->until;
}

/* A server has failed when all of its addresses have, one of them at least by what is wrong with
 * it. `its_own`: what is wrong is the server, not what it was asked for, nor something here. */
static void note_connect_failure(
	struct session *s, struct server *server, const char *why, bool its_own)
{
	struct connecting *c = &s->connecting;

	note_failure(s, server, why);
	c->failed |= its_own;
	if (!c->failed || !is_last_address(s))
		atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);
	else if (server_failed(server, s->route->fall))
		log_error("route %s: server %s is down: %u connects in a row failed, the last one: "
			  "%s",
			s->route->key, server->address.text, s->route->fall, why);
}

/* --- one try --- */

/* Returns 0 when the connect is under way or done, else an errno value. TCP asks a server whose
 * queue is full again by itself; a unix socket leaves that to us. */
static int ask_server(struct session *s, int fd, const struct endpoint *e)
{
	struct connecting *c = &s->connecting;
	int64_t until = c->try_until;

	c->full = false;
	if (connect(fd, &e->sa, e->len) < 0 && errno != EINPROGRESS) {
		if (errno != EAGAIN || e->sa.sa_family != AF_UNIX)
			return errno;
		c->full = true;
		if (until > s->worker->now + ASK_AGAIN_MS)
			until = s->worker->now + ASK_AGAIN_MS;
	}
	wheel_set(&s->worker->wheel, &s->timer, until);
	return 0;
}

/* All tries have timeouts.connect together. One has half of what is left while there is another to
 * come, so that a server that is silent leaves time for the next. */
static int64_t deadline_of_try(const struct session *s)
{
	const struct connecting *c = &s->connecting;
	int64_t left = c->until - s->worker->now;

	if (c->endpoint + 1 < c->target->n || balance_has_other(s->route, c->target, c->tried))
		left /= 2;
	return s->worker->now + left;
}

static int start_try(struct session *s)
{
	struct connecting *c = &s->connecting;
	const struct endpoint *e = &c->target->endpoints[c->endpoint];
	int one = 1, fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
	    err;

	if (fd < 0)
		return errno;
	if (e->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->try_until = deadline_of_try(s);
	err = ask_server(s, fd, e);
	if (err) {
		close(fd);
		return err;
	}
	conn_open(&s->backend, fd, &backend_events);
	s->server = server_ref(c->target->server);
	atomic_fetch_add_explicit(&s->server->active, 1, memory_order_relaxed);
	return 0;
}

/* --- one after the other --- */

static void mark_tried(struct session *s)
{
	struct connecting *c = &s->connecting;
	size_t i = (size_t)(c->target - s->route->targets);

	if (!c->tried)
		c->tried = mem_zalloc(s->route->n_targets / CHAR_BIT + 1);
	c->tried[i / CHAR_BIT] |= (unsigned char)(1 << i % CHAR_BIT);
	c->n_tried++;
	c->target = NULL;
}

static struct target *choose(struct session *s)
{
	struct connecting *c = &s->connecting;

	if (s->worker->now >= c->until)
		return NULL;
	c->endpoint = 0;
	c->failed = false;
	return balance_choose(s->route, s->worker->index, &s->from, s->worker->now, c->tried);
}

static void give_up(struct session *s)
{
	stats_count(&s->worker->stats.backend_unreached, 1);
	session_log(s, LOG_ERROR, "route %s: %s", s->route->key,
		s->connecting.n_tried ? "no server could be reached"
				      : "all servers are down or taken out by hand");
	/* No close_notify: an empty stream would look whole. */
	session_abort(
		s, s->worker->now < s->connecting.until ? CLOSE_NO_SERVER : CLOSE_CONNECT_TIMEOUT);
}

/* The next address of the server that is being tried, then of another server, each once. */
static void try_next(struct session *s)
{
	struct connecting *c = &s->connecting;

	while (c->target || (c->target = choose(s))) {
		if (!c->target->n) {
			struct server *server = c->target->server;

			note_failure(s, server, "its name has no address yet");
			atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed);
		}
		for (; c->endpoint < c->target->n && s->worker->now < c->until; c->endpoint++) {
			int err = start_try(s);

			if (!err)
				return;
			note_connect_failure(
				s, c->target->server, strerror(err), server_is_to_blame(err));
		}
		mark_tried(s);
	}
	give_up(s);
}

void connect_start(struct session *s)
{
	s->idle_ms = s->route->idle_ms;
	s->half_closed_ms = s->route->half_closed_ms;
	s->connecting.until = s->worker->now + s->route->connect_ms;
	session_set_state(s, SESSION_CONNECTING);
	try_next(s);
}

static void give_up_try(struct session *s)
{
	conn_close(&s->backend, false);
	conn_free(&s->backend);
	onward_free(s);
	session_unpin_server(s);
	s->connecting.endpoint++;
	try_next(s);
}

void connect_failed(struct session *s, int err)
{
	note_connect_failure(s, s->server, strerror(err), server_is_to_blame(err));
	give_up_try(s);
}

void connect_refused(struct session *s, const char *what, const char *why, bool its_own)
{
	char text[ERROR_MAX];

	snprintf(text, sizeof(text), "%s: %s", what, why);
	note_connect_failure(s, s->server, text, its_own);
	give_up_try(s);
}

void connect_succeeded(struct session *s)
{
	if (s->connecting.target->outbound)
		onward_start(s);
	else
		connect_done(s);
}

void connect_done(struct session *s)
{
	session_set_state(s, SESSION_RELAY);
	stats_count(&s->worker->stats.backend_connects, 1);
	server_connected(s->server);
	record_connected(s->record);
	if (!s->onward) {
		conn_watch(&s->backend, s->worker->base, EV_READ | EV_PERSIST,
			relay_on_server_readable, s);
		if (s->route->proxy_protocol)
			origin_send(s);
	}
	session_let_go(s);
	relay_start(s);
}

void connect_settle(struct session *s)
{
	struct endpoint e = {.len = sizeof(e.un)};

	if (s->onward)
		conn_resume(&s->backend);
	if (s->backend.watched || s->connecting.full)
		return;
	/* On loopback and to near servers it is there by now: this call spares four. */
	if (getpeername(s->backend.fd, &e.sa, &e.len) == 0) {
		connect_succeeded(s);
		return;
	}
	conn_watch(&s->backend, s->worker->base, EV_WRITE, on_connect_event, s);
	conn_resume(&s->backend);
}

void connect_expire(struct session *s)
{
	struct connecting *c = &s->connecting;
	int err = ETIMEDOUT;

	if (c->full && s->worker->now < c->try_until)
		err = ask_server(s, s->backend.fd, &c->target->endpoints[c->endpoint]);
	if (err && s->onward)
		connect_refused(s, "the TLS handshake", strerror(err), true);
	else if (err)
		connect_failed(s, err);
	session_settle(s);
}

void connect_clear(struct session *s)
{
	free(s->connecting.tried);
	s->connecting.tried = NULL;
}
