#include "proxy/onward.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "proxy/connect.h"
#include "proxy/origin.h"
#include "proxy/relay.h"
#include "tls/error.h"
#include "tls/sessions.h"

#define SESSIONS_MAX     256     /* of a worker; some 10 KiB each */
#define SESSION_MAX_MS   3600000 /* then the server shows its certificate again */
#define ALPN_WIRE_MAX    256
#define OUTBOUND_ID_SIZE 65

struct onward_pool {
	struct sessions *sessions;
	struct wire wire;
};

struct onward {
	struct outbound_call call; /* the SSL's */
	SSL *ssl;
	struct session *session;
	char *key;      /* what a session with this server is bound to */
	bool of_client; /* the name that was asked for is the client's choice */
};

/* -1 when the connection is gone. */
static int flush(struct session *s)
{
	struct wire *w = &s->worker->onward->wire;

	if (s->refused || s->backend.finish || s->backend.fd < 0)
		w->out_len = 0;
	return wire_flush(w, &s->backend, &s->client);
}

/* 0: that the server takes no more is no error of SSL's, it may have answered before. */
static int flush_or_refuse(struct session *s)
{
	if (flush(s) < 0)
		relay_refused(s, errno);
	return 0;
}

static int bio_write(BIO *b, const char *data, int len)
{
	struct session *s = BIO_get_data(b);

	return wire_write(&s->worker->onward->wire, b, data, len, flush_or_refuse, s);
}

static int bio_read(BIO *b, char *data, int size)
{
	struct session *s = BIO_get_data(b);

	return wire_read(&s->worker->onward->wire, b, data, size);
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
	method = wire_method("lintel onward", bio_read, bio_write);
}

static BIO *bio_new(struct session *s)
{
	pthread_once(&method_once, make_method);
	return wire_bio(method, s);
}

/* --- relaying --- */

static bool deliver(struct session *s, size_t len)
{
	return !len || relay_to_client(s, len);
}

/* SSL_read() said no. False when the session died of it. */
static bool read_ended(struct session *s, int result)
{
	char why[ERROR_MAX];

	switch (SSL_get_error(s->onward->ssl, result)) {
	case SSL_ERROR_WANT_READ: return true;
	case SSL_ERROR_ZERO_RETURN: relay_server_ended(s); return s->state != SESSION_DEAD;
	default: break;
	}
	session_log(s, LOG_WARN, "server %s: TLS error: %s", s->server->address.text,
		tls_error_text(why));
	flush(s);                       /* the alert, */
	conn_close(&s->backend, false); /* which a reset could overtake */
	relay_cut(s, CLOSE_SERVER_TLS_ERROR);
	return false;
}

static void from_server(struct session *s)
{
	struct worker *w = s->worker;
	SSL *ssl = s->onward->ssl;
	size_t have = 0;

	while (w->onward->wire.in_len || SSL_has_pending(ssl)) {
		int n = SSL_read(ssl, w->plain + have, (int)(SCRATCH_PLAIN - have));

		if (n <= 0) {
			if (!deliver(s, have) || !read_ended(s, n))
				return;
			have = 0;
			break;
		}
		have += (size_t)n;
		if (SCRATCH_PLAIN - have < RECORD_MAX) {
			if (!deliver(s, have))
				return;
			have = 0;
		}
	}
	if (deliver(s, have))
		flush_or_refuse(s); /* an answer to KeyUpdate */
}

/* A FIN without close_notify is passed on as one: whether the stream is whole is for the client to
 * judge, as it would be without us. */
static void server_gone(struct session *s, ssize_t n)
{
	if (n == 0 && !s->backend.ended && !s->broken_off) {
		stats_count(&s->worker->stats.backend_truncated, 1);
		s->backend.cut = true;
	}
	relay_server_gone(s, n);
}

void onward_send(struct session *s, const void *data, size_t len)
{
	if (len && SSL_write(s->onward->ssl, data, (int)len) != (int)len) {
		ERR_clear_error();
		relay_cut(s, CLOSE_SERVER_TLS_ERROR);
		return;
	}
	flush_or_refuse(s);
}

void onward_end(struct session *s)
{
	if (s->client.cut || s->refused)
		return;
	if (SSL_shutdown(s->onward->ssl) < 0) /* close_notify */
		ERR_clear_error();
	flush_or_refuse(s);
}

/* --- the handshake --- */

static void fail(struct session *s, const char *what, const char *why)
{
	char text[ERROR_MAX];
	unsigned long e = ERR_peek_last_error();
	/* A name and a protocol are what the client asked for: others may get on well with it. */
	bool its_own = !s->onward->of_client &&
		       ERR_GET_REASON(e) != SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL;

	if (!why)
		why = outbound_problem(&s->onward->call, text);
	connect_refused(s, what, why, its_own);
}

static void step_handshake(struct session *s)
{
	SSL *ssl = s->onward->ssl;
	int rc = SSL_do_handshake(ssl);

	if (rc == 1) {
		stats_count(&s->worker->stats.backend_tls, 1);
		if (SSL_session_reused(ssl))
			stats_count(&s->worker->stats.backend_tls_resumed, 1);
		connect_done(s);
		if (s->state == SESSION_RELAY)
			from_server(s);
		return;
	}
	flush(s); /* where it fails the socket is readable, and says why */
	if (SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ)
		fail(s, "TLS", NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	struct worker *w = s->worker;
	ssize_t n;

	(void)what;
	w->now = clock_mono_ms();
	n = recv(fd, w->recv, SCRATCH_RECV, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		w->onward->wire.in = w->recv;
		w->onward->wire.in_len = (size_t)n;
		if (s->state == SESSION_CONNECTING)
			step_handshake(s);
		else
			from_server(s);
		w->onward->wire.in_len = w->onward->wire.out_len = 0;
	} else if (s->state == SESSION_CONNECTING) {
		fail(s, "the TLS handshake",
			n ? strerror(errno) : "the server closed the connection");
	} else {
		server_gone(s, n);
	}
	session_settle(s);
}

static void keep_session(struct outbound_call *call, SSL_SESSION *session)
{
	struct onward *o = (struct onward *)((char *)call - offsetof(struct onward, call));
	struct worker *w = o->session->worker;

	sessions_put(w->onward->sessions, o->key, session, w->now + SESSION_MAX_MS);
}

static struct onward_pool *pool_of(struct worker *w)
{
	if (!w->onward) {
		w->onward = mem_zalloc(sizeof(*w->onward));
		w->onward->sessions = sessions_new(SESSIONS_MAX);
	}
	return w->onward;
}

/* Nothing of another name, server, protocol or trust. */
static char *make_key(const struct outbound *out, const struct address *server, const char *name,
	const unsigned char *alpn, size_t alpn_len)
{
	char id[OUTBOUND_ID_SIZE], protocol[2 * ALPN_WIRE_MAX + 1];

	str_hex(id, out->id, sizeof(out->id));
	str_hex(protocol, alpn, alpn_len);
	return mem_printf("%s %s %s %s", id, protocol, name ? name : "", server->text);
}

/* What was agreed on with the client, as an offer. */
static unsigned int offer_of(const struct session *s, unsigned char wire[ALPN_WIRE_MAX])
{
	const unsigned char *chosen;
	unsigned int len; /* 255 at most */

	SSL_get0_alpn_selected(s->ssl, &chosen, &len);
	if (!len)
		return 0;
	wire[0] = (unsigned char)len;
	memcpy(wire + 1, chosen, len);
	return len + 1;
}

void onward_start(struct session *s)
{
	const struct target *t = s->connecting.target;
	struct onward_pool *pool = pool_of(s->worker);
	struct onward *o = mem_zalloc(sizeof(*o));
	unsigned char alpn[ALPN_WIRE_MAX];
	unsigned int alpn_len = offer_of(s, alpn);
	const char *name =
		outbound_name(t->outbound, &t->server->address, s->handshake->name, &o->of_client);
	SSL_SESSION *known;

	s->onward = o;
	o->session = s;
	o->call.on_session = keep_session;
	o->ssl = outbound_connect(t->outbound, &o->call, name, alpn, alpn_len, bio_new(s));
	o->key = make_key(t->outbound, &t->server->address, name, alpn, alpn_len);
	known = sessions_get(pool->sessions, o->key, s->worker->now);
	if (known && outbound_still_good(t->outbound, known))
		SSL_set_session(o->ssl, known);
	conn_watch(&s->backend, s->worker->base, EV_READ | EV_PERSIST, on_readable, s);
	if (s->route->proxy_protocol)
		origin_send(s);   /* in clear */
	SSL_do_handshake(o->ssl); /* the ClientHello; it wants to read then */
	ERR_clear_error();
	flush(s);
	conn_resume(&s->backend);
}

void onward_free(struct session *s)
{
	struct onward *o = s->onward;

	if (!o)
		return;
	/* However the stream ended: else OpenSSL would not let its session be resumed. */
	SSL_set_shutdown(o->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(o->ssl);
	free(o->call.problem);
	free(o->key);
	free(o);
	s->onward = NULL;
}

void onward_pool_free(struct onward_pool *pool)
{
	if (pool)
		sessions_free(pool->sessions);
	free(pool);
}
