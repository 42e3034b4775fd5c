/* Client certificates: what a route asks for (client_auth), put on one handshake's SSL by the
 * ClientHello, and who the client is afterwards. The policy's anchors are shared by all workers;
 * the rest is the session's thread only. */
#ifndef LINTEL_TLS_CLIENT_AUTH_H
#define LINTEL_TLS_CLIENT_AUTH_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "tls/anchors.h"

struct client_auth_policy {
	enum client_auth mode;
	const struct anchors *anchors; /* borrowed; NULL with CLIENT_AUTH_NONE */
};

#define CLIENT_AUTH_ID_MAX 34
/* Writes what tells this policy from others, by content: a NUL, the mode, the hash of CA and CRL.
 * Nothing for no policy. Returns the number of bytes. */
size_t client_auth_id(const struct client_auth_policy *p, unsigned char *out);

/* Asks the client for a certificate, or does not. May be called again for the same SSL: the second
 * ClientHello behind a HelloRetryRequest decides. */
void client_auth_ask(SSL *ssl, const struct client_auth_policy *p, SSL_verify_cb on_verified);
/* Whose certificate was refused and why, in a verify callback. Returns a new string. */
char *client_auth_problem(X509_STORE_CTX *ctx);
/* Whether what `session` was let in by is in date still. */
bool client_auth_still_good(const struct client_auth_policy *p, const SSL_SESSION *session);

/* The subject of the client's certificate, which was verified (then, when the session was resumed),
 * as RFC 2253 has it, in printable ASCII. False when it showed none. For the session's whole life
 * behind the handshake. */
bool tls_client_subject(const SSL *ssl, char out[TLS_NAME_SIZE]);
#endif
