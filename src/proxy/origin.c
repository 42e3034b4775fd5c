#include "proxy/origin.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/pproto.h"
#include "proxy/relay.h"

#define ALG_SIZE 24

/* Reading */

bool origin_is_awaited(const struct session *s)
{
	const struct listener_rules *r = &s->snapshot->listeners->rules[s->listener];

	return r->proxy_protocol && listener_trusts(r, &s->from);
}

const char *origin_misplaced(const struct session *s, const void *data, size_t len)
{
	if (!pproto_is_header(data, len))
		return NULL;
	if (s->origin)
		return "a second PROXY header, where one is taken";
	if (s->snapshot->listeners->rules[s->listener].proxy_protocol)
		return "a PROXY header, from a peer that is not in the listener's `trusted`";
	return "a PROXY header, for which the listener needs proxy_protocol: true";
}

void origin_start(struct session *s)
{
	s->origin = mem_zalloc(sizeof(*s->origin));
}

void origin_clear(struct session *s)
{
	if (!s->origin)
		return;
	free(s->origin->part);
	free(s->origin);
	s->origin = NULL;
}

static void fail(struct session *s, atomic_uint_fast64_t *counter, enum log_level level,
	const char *word, const char *why)
{
	stats_count(counter, 1);
	record_reason(s->record, word);
	session_log(s, level, "PROXY header: %s", why);
	session_close(s, CLOSE_PROXY_HEADER);
}

void origin_client_gone(struct session *s)
{
	/* A balancer that looks whether somebody listens says nothing at all, every few seconds. */
	fail(s, &s->worker->stats.proxy_headers_cut, s->origin->part_len ? LOG_WARN : LOG_DEBUG,
		"closed", "the connection ended before it was whole");
}

void origin_expire(struct session *s)
{
	fail(s, &s->worker->stats.proxy_header_timeouts, LOG_WARN, "timeout",
		"not whole within limits.handshake");
}

/* Keeps as much of the input as a header could take. */
static void add_part(struct origin *o, const struct worker *w)
{
	size_t room = PPROTO_READ_MAX - o->part_len,
	       n = w->wire.in_len < room ? w->wire.in_len : room;

	o->part = mem_realloc_array(o->part, o->part_len + n, 1);
	memcpy(o->part + o->part_len, w->wire.in, n);
	o->part_len += n;
}

bool origin_read(struct session *s)
{
	struct worker *w = s->worker;
	struct origin *o = s->origin;
	size_t before = o->part_len;
	struct pproto_ends ends;
	struct error err;
	int n = 0;

	if (!before)
		n = pproto_read(&ends, w->wire.in, w->wire.in_len, &err);
	if (n == 0) {
		add_part(o, w);
		n = pproto_read(&ends, o->part, o->part_len, &err);
	}
	if (n < 0)
		fail(s, &w->stats.proxy_headers_malformed, LOG_WARN, "malformed", err.text);
	if (n <= 0)
		return false;
	w->wire.in += (size_t)n - before;
	w->wire.in_len -= (size_t)n - before;
	free(o->part);
	o->part = NULL;
	o->part_len = 0;
	stats_count(&w->stats.proxy_headers, 1);
	if (ends.from.sa.sa_family != AF_UNSPEC) {
		s->from = ends.from;
		o->to = ends.to;
	}
	return true;
}

/* Writing */

/* "RSA2048", "EC256": as HAProxy has it. */
static const char *key_alg(char out[ALG_SIZE], X509 *cert)
{
	const EVP_PKEY *key = X509_get0_pubkey(cert);
	int id = key ? EVP_PKEY_get_base_id(key) : NID_undef;

	switch (id) {
	case EVP_PKEY_RSA: snprintf(out, ALG_SIZE, "RSA%d", EVP_PKEY_get_bits(key)); break;
	case EVP_PKEY_EC: snprintf(out, ALG_SIZE, "EC%d", EVP_PKEY_get_bits(key)); break;
	default: return id ? OBJ_nid2sn(id) : NULL;
	}
	return out;
}

/* The first CN of the subject in UTF-8. Returns a new string, NULL when there is none, or one with
 * a NUL in it, which would be cut to another. */
static char *common_name(const X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len;
	unsigned char *utf8 = NULL;
	char *name = NULL;

	if (i < 0)
		return NULL;
	len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
	if (len > 0 && !memchr(utf8, '\0', (size_t)len))
		name = mem_strndup((char *)utf8, (size_t)len);
	OPENSSL_free(utf8);
	ERR_clear_error();
	return name;
}

static size_t write_tls(unsigned char out[PPROTO_WRITE_MAX], const SSL *ssl,
	const struct pproto_ends *ends, struct pproto_tlvs *tlvs)
{
	X509 *client = SSL_get0_peer_certificate(ssl), *ours = SSL_get_certificate(ssl);
	char alg[ALG_SIZE], *cn = client ? common_name(client) : NULL;
	struct pproto_tls tls = {
		.version = SSL_get_version(ssl),
		.cipher = SSL_get_cipher_name(ssl),
		.has_cert = client,
		.resumed = SSL_session_reused(ssl),
		.verified = SSL_get_verify_result(ssl) == X509_V_OK,
		.cn = cn,
	};
	unsigned int alpn_len;
	size_t n;

	if (ours && !tls.resumed) { /* none is shown otherwise */
		tls.sig_alg = OBJ_nid2sn(X509_get_signature_nid(ours));
		tls.key_alg = key_alg(alg, ours);
	}
	SSL_get0_alpn_selected(ssl, &tlvs->alpn, &alpn_len);
	tlvs->alpn_len = alpn_len;
	tlvs->tls = &tls;
	n = pproto_write_v2(out, ends, tlvs);
	free(cn);
	return n;
}

static size_t write_v2(unsigned char out[PPROTO_WRITE_MAX], const struct session *s,
	const struct pproto_ends *ends)
{
	char id[SESSION_ID_SIZE];
	struct pproto_tlvs tlvs = {.authority = s->handshake->name, .unique_id = session_id(s, id)};

	if (s->ssl)
		return write_tls(out, s->ssl, ends, &tlvs);
	return pproto_write_v2(out, ends, &tlvs); /* passed through */
}

void origin_send(struct session *s)
{
	struct pproto_ends ends = {.from = s->from};
	unsigned char header[PPROTO_WRITE_MAX];
	socklen_t len = sizeof(ends.to);
	size_t n = 0;

	if (s->origin && s->origin->to.sa.sa_family != AF_UNSPEC)
		ends.to = s->origin->to;
	else if (getsockname(s->client.fd, &ends.to.sa, &len) < 0)
		ends.to.sa.sa_family = AF_UNSPEC;
	switch (s->route->proxy_protocol) {
	case PROXY_PROTOCOL_NONE: return;
	case PROXY_PROTOCOL_V1: n = pproto_write_v1(header, &ends); break;
	case PROXY_PROTOCOL_V2: n = write_v2(header, s, &ends); break;
	}
	if (conn_send(&s->backend, header, n) < 0)
		relay_refused(s, errno);
}
