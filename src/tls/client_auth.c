#include "tls/client_auth.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define INTERMEDIATES_MAX 4          /* between a client's certificate and the CA that we trust */
#define CHAIN_MAX         (32 << 10) /* bytes of a client's Certificate message */

size_t client_auth_id(const struct client_auth_policy *p, unsigned char *out)
{
	if (p->mode == CLIENT_AUTH_NONE)
		return 0;
	out[0] = '\0';
	out[1] = (unsigned char)p->mode;
	memcpy(out + 2, p->anchors->hash, sizeof(p->anchors->hash));
	return 2 + sizeof(p->anchors->hash);
}

void client_auth_ask(SSL *ssl, const struct client_auth_policy *p, SSL_verify_cb on_verified)
{
	STACK_OF(X509_NAME) *names;

	if (p->mode == CLIENT_AUTH_NONE) {
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
		return;
	}
	SSL_set_verify(ssl,
		SSL_VERIFY_PEER |
			(p->mode == CLIENT_AUTH_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
		on_verified);
	SSL_set_verify_depth(ssl, INTERMEDIATES_MAX);
	SSL_set_max_cert_list(ssl, CHAIN_MAX);
	names = p->anchors->names ? SSL_dup_CA_list(p->anchors->names) : sk_X509_NAME_new_null();
	if (!names || SSL_set1_verify_cert_store(ssl, p->anchors->store) != 1)
		abort(); /* out of memory */
	SSL_set0_CA_list(ssl, names);
}

char *client_auth_problem(X509_STORE_CTX *ctx)
{
	const X509 *x = X509_STORE_CTX_get_current_cert(ctx);
	const char *why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx));
	int depth = X509_STORE_CTX_get_error_depth(ctx);
	char name[TLS_NAME_SIZE];

	tls_name_text(name, x ? X509_get_subject_name(x) : NULL);
	if (depth > 0)
		return mem_printf("the client's certificate is refused: %s, number %d above it: %s",
			*name ? name : "(no subject)", depth, why);
	return mem_printf(
		"the client's certificate, %s, is refused: %s", *name ? name : "(no subject)", why);
}

bool client_auth_still_good(const struct client_auth_policy *p, const SSL_SESSION *session)
{
	X509 *x;

	if (p->mode == CLIENT_AUTH_NONE)
		return true;
	x = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
	if (!x) /* optional: it showed none. A session under `require` has one. */
		return p->mode == CLIENT_AUTH_OPTIONAL;
	return X509_cmp_current_time(X509_get0_notAfter(x)) > 0 &&
	       p->anchors->crls_until > clock_wall_s();
}

bool tls_client_subject(const SSL *ssl, char out[TLS_NAME_SIZE])
{
	const X509 *x = SSL_get0_peer_certificate(ssl);

	if (!x || SSL_get_verify_result(ssl) != X509_V_OK)
		return false;
	tls_name_text(out, X509_get_subject_name(x));
	return true;
}
