/* The server's side of a handshake up to its end: one SSL_CTX from the policy of the configuration,
 * and what each handshake chooses by the ClientHello: certificates, ALPN, minimum version, session
 * id context (contract, section 3). The SSL_CTX is shared by all workers; a struct handshake
 * belongs to one session and is needed until its handshake has ended. */
#ifndef LINTEL_TLS_HANDSHAKE_H
#define LINTEL_TLS_HANDSHAKE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/names.h"
#include "conf/conf.h"
#include "tls/certs.h"
#include "tls/client_auth.h"
#include "tls/tickets.h"

/* What differs between the routes. */
struct tls_policy {
	int min_version;     /* TLS1_2_VERSION or TLS1_3_VERSION */
	unsigned char *alpn; /* as on the wire, in our order of preference; NULL = ignore ALPN */
	size_t alpn_len;
	struct client_auth_policy client_auth;
};

enum tls_refusal { /* why our side ended it, where it was one of these */
	TLS_REFUSED_NOT,
	TLS_REFUSED_NO_CERT,
	TLS_REFUSED_NO_ALPN,
	TLS_REFUSED_NO_ROUTE,
	TLS_REFUSED_BAD_CERT,
	TLS_REFUSED_CLIENT_CERT,
};

struct handshake {
	/* Borrowed, set before the first SSL_accept(). */
	const struct certs *certs;
	const struct tickets *tickets;
	struct cert_cache *cache; /* of this thread */
	bool strict_sni;
	/* Whether this client is not ours to talk TLS with: asked first, with the normalised name
	 * ("" = none that is valid) and the protocols that it offers, as on the wire, without the
	 * list's length. Then SSL_accept() stops there (SSL_ERROR_WANT_CLIENT_HELLO_CB), and is not
	 * to be called again. NULL = none is passed through. */
	bool (*passes)(void *arg, const char *name, const unsigned char *alpn, size_t len);
	/* The policy for the normalised name ("" = none that is valid); NULL = nothing is served
	 * under it. May be called twice (HelloRetryRequest). */
	const struct tls_policy *(*choose)(void *arg, const char *name);
	void *arg;
	/* Filled in by the ClientHello. */
	bool seen; /* it is whole */
	char name[NAME_SIZE];
	const struct tls_policy *policy;
	enum tls_refusal refusal;
	char *client_problem; /* what is wrong with the client's certificate; new string */
};

/* A new SSL_CTX, with a sentence that names the option at fault otherwise. */
SSL_CTX *tls_context_new(const struct conf_tls *conf, struct error *err);
/* A new SSL that accepts with the choices of `h`. Aborts when out of memory. */
SSL *tls_accept_new(SSL_CTX *ctx, struct handshake *h, BIO *bio);

/* After SSL_accept() failed: why, with a sentence. Empties OpenSSL's queue of errors. */
enum tls_refusal tls_refusal_of(const struct handshake *h, char why[ERROR_MAX]);
void handshake_free(struct handshake *h);

/* `list` as ALPN has it on the wire. Returns new bytes, NULL for an empty list. */
unsigned char *tls_alpn_wire(const struct conf_strings *list, size_t *len);

/* The host_name of a server_name extension (RFC 6066, section 3). False when there is none or it is
 * malformed, which OpenSSL refuses by itself afterwards; `name` borrows from `ext` otherwise. */
bool tls_parse_server_name(
	const unsigned char *ext, size_t len, const char **name, size_t *name_len);

#endif
