#include "tls/handshake.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tls/error.h"

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
}

bool tls_parse_server_name(
	const unsigned char *ext, size_t len, const char **name, size_t *name_len)
{
	size_t list;

	if (len < 5)
		return false;
	list = (size_t)ext[0] << 8 | ext[1];
	*name_len = (size_t)ext[3] << 8 | ext[4];
	*name = (const char *)ext + 5;
	return list == len - 2 && ext[2] == 0 /* host_name */ && *name_len == len - 5;
}

/* False when OpenSSL will refuse the extension, so that nothing need be chosen. */
static bool read_name(SSL *ssl, struct handshake *h)
{
	const unsigned char *ext;
	const char *raw;
	size_t len, raw_len;

	h->name[0] = '\0';
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext, &len))
		return true;
	if (!tls_parse_server_name(ext, len, &raw, &raw_len))
		return false;
	name_normalise(h->name, raw, raw_len);
	return true;
}

/* A ticket is good for the same name under the same client-certificate policy only, whose part
 * begins with a NUL, as no name does. Without a policy the name is all. */
static bool set_session_context(SSL *ssl, const struct handshake *h)
{
	unsigned char in[NAME_SIZE + CLIENT_AUTH_ID_MAX], context[EVP_MAX_MD_SIZE];
	size_t name_len = strlen(h->name);
	unsigned int len = 0;

	memcpy(in, h->name, name_len);
	name_len += client_auth_id(&h->policy->client_auth, in + name_len);
	return EVP_Digest(in, name_len, context, &len, sha256, NULL) == 1 &&
	       SSL_set_session_id_context(ssl, context, SSL_MAX_SID_CTX_LENGTH) == 1;
}

static bool use_certificates(SSL *ssl, struct handshake *h, const struct certs_entry *entry)
{
	struct error err;
	bool any = false;

	for (int kind = 0; kind < CERT_KINDS; kind++) {
		const struct cert_parsed *parsed;

		if (!entry->by_kind[kind])
			continue;
		parsed = cert_cache_get(h->cache, entry->by_kind[kind], &err);
		if (!parsed || SSL_use_cert_and_key(
				       ssl, parsed->leaf, parsed->key, parsed->chain, 1) != 1) {
			if (parsed)
				tls_error_set(&err, "not usable");
			log_error("certificate %s: %s", entry->by_kind[kind]->file, err.text);
			continue;
		}
		any = true;
	}
	return any;
}

/* OpenSSL's verdict on each certificate of the client's chain: the first no is told. */
static int on_client_verified(int good, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct handshake *h = SSL_get_app_data(ssl);

	if (!good && !h->client_problem)
		h->client_problem = client_auth_problem(ctx);
	return good;
}

static int refuse(struct handshake *h, enum tls_refusal refusal, int *alert, int description)
{
	h->refusal = refusal;
	*alert = description;
	return SSL_CLIENT_HELLO_ERROR;
}

/* The protocols of the extension (RFC 7301, section 3.1); *len is 0 when there are none. */
static const unsigned char *read_alpn(SSL *ssl, size_t *len)
{
	const unsigned char *ext;

	if (!SSL_client_hello_get0_ext(
		    ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &ext, len) ||
		*len < 2 || ((size_t)ext[0] << 8 | ext[1]) != *len - 2) {
		*len = 0;
		return NULL;
	}
	*len -= 2;
	return ext + 2;
}

static bool passes(SSL *ssl, const struct handshake *h)
{
	const unsigned char *alpn;
	size_t len;

	if (!h->passes)
		return false;
	alpn = read_alpn(ssl, &len);
	return h->passes(h->arg, h->name, alpn, len);
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct handshake *h = SSL_get_app_data(ssl);
	const struct certs_entry *entry;

	(void)arg;
	h->seen = true;
	if (!read_name(ssl, h))
		return SSL_CLIENT_HELLO_SUCCESS;
	if (passes(ssl, h)) {
		if (!h->policy)
			return SSL_CLIENT_HELLO_RETRY;
		/* It has a HelloRetryRequest of ours, and asks for the same (RFC 8446, 4.1.2). */
		ERR_raise_data(ERR_LIB_SSL, SSL_R_CALLBACK_FAILED,
			"the second ClientHello is for another server than the first");
		return refuse(h, TLS_REFUSED_NOT, alert, SSL_AD_ILLEGAL_PARAMETER);
	}
	entry = h->name[0] ? certs_find(h->certs, h->name) : NULL;
	if (!entry && !h->strict_sni)
		entry = certs_fallback(h->certs);
	if (!entry)
		return refuse(h, TLS_REFUSED_NO_CERT, alert, SSL_AD_UNRECOGNIZED_NAME);
	h->policy = h->choose(h->arg, h->name);
	if (!h->policy)
		return refuse(h, TLS_REFUSED_NO_ROUTE, alert, SSL_AD_UNRECOGNIZED_NAME);
	if (!use_certificates(ssl, h, entry))
		return refuse(h, TLS_REFUSED_BAD_CERT, alert, SSL_AD_INTERNAL_ERROR);
	client_auth_ask(ssl, &h->policy->client_auth, on_client_verified);
	if (!SSL_set_min_proto_version(ssl, h->policy->min_version) ||
		!set_session_context(ssl, h)) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned int in_len, void *arg)
{
	struct handshake *h = SSL_get_app_data(ssl);
	unsigned char *chosen;

	(void)arg;
	if (!h->policy || !h->policy->alpn)
		return SSL_TLSEXT_ERR_NOACK;
	if (SSL_select_next_proto(&chosen, out_len, h->policy->alpn,
		    (unsigned int)h->policy->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED) {
		h->refusal = TLS_REFUSED_NO_ALPN;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH],
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	const struct handshake *h = SSL_get_app_data(ssl);

	return tickets_use(h->tickets, ssl, name, iv, cipher, mac, encrypt);
}

/* A client's certificate may have run out, or its CRL, since the ticket was made. */
static SSL_TICKET_RETURN on_ticket_decrypted(SSL *ssl, SSL_SESSION *session,
	const unsigned char *key_name, size_t key_name_len, SSL_TICKET_STATUS status, void *arg)
{
	const struct handshake *h = SSL_get_app_data(ssl);
	bool renew = status != SSL_TICKET_SUCCESS;

	(void)key_name;
	(void)key_name_len;
	(void)arg;
	if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	if (h->policy && !client_auth_still_good(&h->policy->client_auth, session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return renew ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

static int set_suites(SSL_CTX *ctx, const struct conf_tls *conf, struct error *err)
{
	if (SSL_CTX_set_cipher_list(ctx, conf->ciphers) != 1)
		return tls_error_set(err, "tls.ciphers: \"%s\"", conf->ciphers);
	if (SSL_CTX_set_ciphersuites(ctx, conf->ciphersuites) != 1)
		return tls_error_set(err, "tls.ciphersuites: \"%s\"", conf->ciphersuites);
	if (SSL_CTX_set1_groups_list(ctx, conf->groups) != 1)
		return tls_error_set(err, "tls.groups: \"%s\"", conf->groups);
	return 0;
}

SSL_CTX *tls_context_new(const struct conf_tls *conf, struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	pthread_once(&sha256_once, fetch_sha256);
	if (!ctx || !sha256) {
		tls_error_set(err, "cannot make an SSL_CTX");
		goto fail;
	}
	if (SSL_CTX_set_min_proto_version(ctx, conf->min_version) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, conf->max_version) != 1) {
		tls_error_set(err, "tls.min_version, tls.max_version");
		goto fail;
	}
	if (set_suites(ctx, conf, err) < 0)
		goto fail;
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
					 SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 (conf->tickets ? 0 : SSL_OP_NO_TICKET));
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_num_tickets(ctx, (size_t)conf->tickets);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, TICKETS_LIFETIME_S);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_session_ticket_cb(ctx, NULL, on_ticket_decrypted, NULL);
	/* Of its own: without one a session of any name would resume under any other. */
	if (SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"none", 4) != 1) {
		tls_error_set(err, "cannot set the session id context");
		goto fail;
	}
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

SSL *tls_accept_new(SSL_CTX *ctx, struct handshake *h, BIO *bio)
{
	SSL *ssl = SSL_new(ctx);

	if (!ssl)
		abort();
	SSL_set_app_data(ssl, h);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}

enum tls_refusal tls_refusal_of(const struct handshake *h, char why[ERROR_MAX])
{
	static const char *const sentences[] = {
		[TLS_REFUSED_NO_CERT] = "no certificate for this server name",
		[TLS_REFUSED_NO_ALPN] = "none of the client's ALPN protocols is served",
		[TLS_REFUSED_NO_ROUTE] = "no route for this server name on this listener",
		[TLS_REFUSED_BAD_CERT] = "the certificate for this server name cannot be used",
		[TLS_REFUSED_CLIENT_CERT] = "the client sent no certificate",
	};
	enum tls_refusal refusal = h->refusal;

	if (h->client_problem ||
		ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		refusal = TLS_REFUSED_CLIENT_CERT;
	tls_error_text(why); /* empties the queue in any case */
	if (h->client_problem)
		snprintf(why, ERROR_MAX, "%s", h->client_problem);
	else if (refusal)
		snprintf(why, ERROR_MAX, "%s", sentences[refusal]);
	return refusal;
}

void handshake_free(struct handshake *h)
{
	if (h)
		free(h->client_problem);
	free(h);
}

unsigned char *tls_alpn_wire(const struct conf_strings *list, size_t *len)
{
	struct str wire = {0};

	for (size_t i = 0; i < list->n; i++) {
		unsigned char n = (unsigned char)strlen(list->v[i]); /* 1 to 255, checked by conf */

		str_add(&wire, &n, 1);
		str_add(&wire, list->v[i], n);
	}
	*len = wire.len;
	return (unsigned char *)wire.data;
}
