#include "proxy/record.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "proxy/connlog.h"
#include "proxy/session.h"

static const char *const close_names[] = {
	[CLOSE_ENDED] = "client", /* or "server" */
	[CLOSE_CLIENT_RESET] = "client_reset",
	[CLOSE_SERVER_RESET] = "server_reset",
	[CLOSE_LIMIT] = "limit",
	[CLOSE_REDIRECTED] = "redirected",
	[CLOSE_PROXY_HEADER] = "proxy_header",
	[CLOSE_TLS_ERROR] = "tls_error",
	[CLOSE_SERVER_TLS_ERROR] = "server_tls_error",
	[CLOSE_HANDSHAKE_FAILED] = "handshake_failed",
	[CLOSE_HANDSHAKE_TIMEOUT] = "handshake_timeout",
	[CLOSE_CONNECT_TIMEOUT] = "connect_timeout",
	[CLOSE_NO_SERVER] = "no_server",
	[CLOSE_IDLE_TIMEOUT] = "idle_timeout",
	[CLOSE_HALF_CLOSED_TIMEOUT] = "half_closed_timeout",
	[CLOSE_STOP] = "stop",
};

struct record *record_new(void)
{
	struct record *r = mem_zalloc(sizeof(*r));

	r->accepted = clock_mono_us();
	return r;
}

void record_free(struct record *r)
{
	if (!r)
		return;
	free(r->listener);
	free(r->sni);
	free(r->route);
	free(r);
}

void record_keep_names(struct session *s)
{
	const struct conf_listen *l = &s->snapshot->conf->listens[s->listener];
	struct record *r = s->record;

	if (r->listener)
		return;
	r->listener = mem_strdup(l->name ? l->name : l->address.text);
	if (s->handshake && *s->handshake->name)
		r->sni = mem_strdup(s->handshake->name);
	if (s->route)
		r->route = mem_strdup(s->route->key);
}

/* What OpenSSL knows of a handshake that has ended well. */
static void describe_tls(
	struct connlog_entry *e, SSL *ssl, char alpn[256], char subject[TLS_NAME_SIZE])
{
	const unsigned char *chosen = NULL;
	unsigned int len = 0;
	int group = SSL_get_negotiated_group(ssl);

	e->shaken = true;
	e->resumed = SSL_session_reused(ssl);
	e->protocol = SSL_get_version(ssl);
	e->cipher = SSL_get_cipher_name(ssl);
	e->group = group ? SSL_group_to_name(ssl, group) : NULL;
	e->subject = tls_client_subject(ssl, subject) ? subject : NULL;
	SSL_get0_alpn_selected(ssl, &chosen, &len);
	if (!chosen)
		return;
	memcpy(alpn, chosen, len); /* at most 255 bytes (RFC 7301, section 3.1) */
	alpn[len] = '\0';
	e->alpn = alpn;
}

static int64_t between(int64_t from, int64_t to)
{
	return from && to ? to - from : -1;
}

void record_write(struct session *s, enum close_reason why)
{
	struct record *r = s->record;
	struct connlog_entry e = {0};
	char client[ENDPOINT_TEXT_SIZE], alpn[256], subject[TLS_NAME_SIZE], id[SESSION_ID_SIZE];
	struct timespec now;

	if (s->snapshot)
		record_keep_names(s);
	clock_gettime(CLOCK_REALTIME, &now);
	e.ended_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	e.client = inet_text(client, &s->from);
	e.listener = r->listener;
	e.sni = r->sni;
	e.route = r->route;
	if (s->ssl && r->shaken)
		describe_tls(&e, s->ssl, alpn, subject);
	if (s->server)
		e.server = s->server->address.text;
	e.id = session_id(s, id);
	e.bytes_in = r->bytes_in;
	e.bytes_out = r->bytes_out;
	e.duration_us = between(r->accepted, clock_mono_us());
	e.handshake_us = between(r->accepted, r->shaken);
	e.connect_us = between(r->shaken, r->connected);
	e.first_byte_us = between(r->connected, r->first_byte);
	e.close = why == CLOSE_ENDED && r->server_first ? "server" : close_names[why];
	e.reason = r->reason;
	connlog_add(&e);
}
