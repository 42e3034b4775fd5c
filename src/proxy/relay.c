#include "proxy/relay.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proxy/connect.h"
#include "proxy/onward.h"
#include "tls/error.h"

/* In front of what follows: their records were encrypted first. */
static void release_tickets(struct session *s)
{
	struct wire *w = &s->worker->wire;

	memcpy(w->out, s->tickets, s->tickets_len);
	w->out_len = s->tickets_len;
	free(s->tickets);
	s->tickets = NULL;
}

static int bio_write(BIO *b, const char *data, int len)
{
	struct session *s = BIO_get_data(b);

	if (s->tickets)
		release_tickets(s);
	return wire_write(&s->worker->wire, b, data, len, relay_flush, s);
}

static int bio_read(BIO *b, char *data, int size)
{
	struct session *s = BIO_get_data(b);

	return wire_read(&s->worker->wire, b, data, size);
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
	method = wire_method("lintel", bio_read, bio_write);
}

BIO *relay_bio_new(struct session *s)
{
	pthread_once(&method_once, make_method);
	return wire_bio(method, s);
}

/* The stream is not whole. */
void relay_cut(struct session *s, enum close_reason why)
{
	stats_count(&s->worker->stats.aborted, 1);
	session_abort(s, why);
}

int relay_flush(struct session *s)
{
	struct wire *w = &s->worker->wire;

	if (s->client.finish) /* nothing follows close_notify */
		w->out_len = 0;
	return wire_flush(w, &s->client, &s->backend);
}

void relay_hold_tickets(struct session *s)
{
	struct wire *w = &s->worker->wire;

	if (!w->out_len)
		return;
	s->tickets = mem_dup(w->out, w->out_len);
	s->tickets_len = w->out_len;
	w->out_len = 0;
}

int relay_send_tickets(struct session *s)
{
	release_tickets(s);
	return relay_flush(s);
}

/* Both directions are over, and nothing is left to send: closing says the rest. */
static bool both_ended(const struct session *s)
{
	return s->client.ended && s->backend.ended && !conn_queued(&s->client) &&
	       !conn_queued(&s->backend);
}

void relay_client_ended(struct session *s)
{
	s->client.ended = true;
	conn_pause(&s->client);
	if (s->state != SESSION_RELAY)
		return;
	if (s->onward)
		onward_end(s);
	if (!both_ended(s))
		conn_finish(&s->backend);
}

void relay_server_ended(struct session *s)
{
	s->backend.ended = true;
	record_server_ended(s->record, s->client.ended);
	conn_pause(&s->backend);
	if (s->ssl && !s->backend.cut && SSL_shutdown(s->ssl) < 0) /* close_notify */
		ERR_clear_error();
	if (relay_flush(s) < 0) {
		relay_cut(s, CLOSE_CLIENT_RESET);
		return;
	}
	if (!both_ended(s))
		conn_finish(&s->client);
}

/* What the server said before may lie in our socket still, or be on its way to the client: an early
 * answer to a question that it did not hear to the end. So the client's bytes are dropped, not left
 * unread, as closing would then send a reset that overtakes the answer. */
void relay_refused(struct session *s, int err)
{
	if (s->state == SESSION_CONNECTING) /* TLS with it: a read will say so */
		return;
	s->refused = true;
	if (err != EPIPE && err != ECONNRESET) {
		relay_cut(s, CLOSE_SERVER_RESET);
		return;
	}
	if (err != EPIPE && !s->backend.ended) /* EPIPE: it had ended its stream before */
		s->broken_off = true;
	conn_drop(&s->backend);
}

static void send_to_server(struct session *s, const unsigned char *data, size_t len)
{
	int rc;

	if (s->refused)
		return;
	if (s->onward) {
		onward_send(s, data, len);
		return;
	}
	rc = conn_send(&s->backend, data, len);
	if (rc == 1)
		conn_pause(&s->client);
	else if (rc < 0)
		relay_refused(s, errno);
}

/* Bytes for a server that is still being connected: on loopback the connection is often there
 * already, and a send() finds that out without a turn through epoll. */
static void send_connecting(struct session *s, const unsigned char *data, size_t len)
{
	int err = EAGAIN;

	if (!s->pending && !s->route->proxy_protocol && !s->connecting.target->outbound) {
		ssize_t n = send(s->backend.fd, data, len, MSG_NOSIGNAL);

		if (n >= 0) {
			connect_succeeded(s);
			send_to_server(s, data + n, len - (size_t)n);
			return;
		}
		err = errno;
	}
	if (!s->pending)
		s->pending = evbuffer_new();
	if (!s->pending || evbuffer_add(s->pending, data, len) < 0)
		abort();
	conn_pause(&s->client);
	if (err != EAGAIN && err != ENOTCONN && err != EINTR)
		connect_failed(s, err);
}

/* 0, or -1 when the client is gone. */
static int send_to_client(struct session *s, size_t len)
{
	struct worker *w = s->worker;
	int rc;

	if (s->ssl) {
		if (SSL_write(s->ssl, w->plain, (int)len) == (int)len)
			return relay_flush(s);
		ERR_clear_error();
		return -1;
	}
	rc = conn_send(&s->client, w->plain, len);
	if (rc == 1)
		conn_pause(&s->backend);
	return rc < 0 ? -1 : 0;
}

static void deliver_bytes(struct session *s, const unsigned char *data, size_t len)
{
	if (s->state == SESSION_CONNECTING)
		send_connecting(s, data, len);
	else
		send_to_server(s, data, len);
}

/* False when the session died of it. */
static bool deliver(struct session *s, size_t len)
{
	if (!len)
		return true;
	stats_count(&s->worker->stats.bytes_in, len);
	record_bytes_in(s->record, len);
	deliver_bytes(s, s->worker->plain, len);
	return s->state != SESSION_DEAD;
}

void relay_pass_on(struct session *s, const unsigned char *data, size_t len)
{
	stats_count(&s->worker->stats.bytes_in, len);
	record_bytes_in(s->record, len);
	deliver_bytes(s, data, len);
}

/* SSL_read() said no: more is wanted, the client said goodbye, or TLS is broken. */
static void read_ended(struct session *s, int result)
{
	char why[ERROR_MAX];

	switch (SSL_get_error(s->ssl, result)) {
	case SSL_ERROR_WANT_READ: return;
	case SSL_ERROR_ZERO_RETURN: relay_client_ended(s); return;
	default: break;
	}
	session_log(s, LOG_INFO, "TLS error after the handshake: %s", tls_error_text(why));
	relay_flush(s);                /* the alert, */
	conn_close(&s->client, false); /* which a reset could overtake */
	relay_cut(s, CLOSE_TLS_ERROR);
}

void relay_from_client(struct session *s)
{
	struct worker *w = s->worker;
	size_t have = 0;

	while (w->wire.in_len || SSL_has_pending(s->ssl)) {
		int n = SSL_read(s->ssl, w->plain + have, (int)(SCRATCH_PLAIN - have));

		if (n <= 0) {
			if (!deliver(s, have))
				return;
			have = 0;
			read_ended(s, n);
			if (s->state == SESSION_DEAD)
				return;
			break;
		}
		have += (size_t)n;
		if (SCRATCH_PLAIN - have < RECORD_MAX) {
			if (!deliver(s, have))
				return;
			have = 0;
		}
	}
	if (!deliver(s, have))
		return;
	if (relay_flush(s) < 0) /* an answer to KeyUpdate */
		relay_cut(s, CLOSE_CLIENT_RESET);
}

bool relay_to_client(struct session *s, size_t len)
{
	stats_count(&s->worker->stats.bytes_out, len);
	record_bytes_out(s->record, len);
	if (send_to_client(s, len) == 0)
		return true;
	relay_cut(s, CLOSE_CLIENT_RESET);
	return false;
}

void relay_server_gone(struct session *s, ssize_t n)
{
	if (n < 0 && errno == EPIPE) /* a reset, after the end of its stream (tcp_reset()) */
		n = 0;
	if (n < 0)
		session_log(
			s, LOG_DEBUG, "server %s: %s", s->server->address.text, strerror(errno));
	if (n < 0 || s->broken_off)
		relay_cut(s, CLOSE_SERVER_RESET);
	else
		relay_server_ended(s);
}

void relay_on_server_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct worker *w = s->worker;
	ssize_t n;

	(void)what;
	w->now = clock_mono_ms();
	n = recv(fd, w->plain, SCRATCH_RECV, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		relay_to_client(s, (size_t)n);
	else
		relay_server_gone(s, n);
	session_settle(s);
}

void relay_start(struct session *s)
{
	struct evbuffer *pending = s->pending;

	s->pending = NULL;
	while (pending && evbuffer_get_length(pending)) {
		struct evbuffer_iovec chunk;

		evbuffer_peek(pending, -1, NULL, &chunk, 1);
		send_to_server(s, chunk.iov_base, chunk.iov_len);
		evbuffer_drain(pending, chunk.iov_len);
	}
	if (pending)
		evbuffer_free(pending);
	if (s->state == SESSION_DEAD)
		return;
	if (s->client.ended && s->onward)
		onward_end(s);
	if (s->client.ended)
		conn_finish(&s->backend);
	relay_resume(s);
}

void relay_resume(struct session *s)
{
	if (both_ended(s)) {
		session_close(s, CLOSE_ENDED);
		return;
	}
	if (s->state != SESSION_RELAY)
		return;
	if (!conn_queued(&s->backend) && conn_queued(&s->client) <= ANSWERS_MAX)
		conn_resume(&s->client);
	if (!conn_queued(&s->client) && (!s->onward || conn_queued(&s->backend) <= ANSWERS_MAX))
		conn_resume(&s->backend);
}
