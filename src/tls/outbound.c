#include "tls/outbound.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tls/cert.h"
#include "tls/error.h"

/* The product's own, whatever clients are offered: Mozilla's intermediate profile. */
#define CIPHERS           "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS            "X25519:P-256:P-384"
#define INTERMEDIATES_MAX 8

static bool is_ip(const char *name)
{
	unsigned char ip[16];

	return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* The names that the certificate is for, as far as they fit. */
static void add_names(struct str *out, X509 *x)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	char name[80];
	int shown = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);

		if (one->type != GEN_DNS)
			continue;
		if (++shown > 5) {
			str_addf(out, ", ...");
			break;
		}
		str_escape(name, sizeof(name), ASN1_STRING_get0_data(one->d.dNSName),
			(size_t)ASN1_STRING_length(one->d.dNSName));
		str_addf(out, "%s%s", shown > 1 ? ", " : "", name);
	}
	if (!shown) {
		char subject[TLS_NAME_SIZE];

		str_addf(out, "%s", tls_name_text(subject, X509_get_subject_name(x)));
	}
	GENERAL_NAMES_free(all);
}

static void say_mismatch(struct str *out, X509_STORE_CTX *ctx, X509 *x)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
	const char *host = X509_VERIFY_PARAM_get0_host(param, 0);
	char *ip = X509_VERIFY_PARAM_get1_ip_asc(param);

	str_addf(out, "its certificate is not for %s but for ", host ? host : ip ? ip : "it");
	add_names(out, x);
	OPENSSL_free(ip);
}

static void say_problem(struct str *out, X509_STORE_CTX *ctx)
{
	X509 *x = X509_STORE_CTX_get_current_cert(ctx);
	int error = X509_STORE_CTX_get_error(ctx), depth = X509_STORE_CTX_get_error_depth(ctx);
	char name[TLS_NAME_SIZE];

	if (!x) {
		str_addf(out, "its certificate is refused: %s",
			X509_verify_cert_error_string(error));
		return;
	}
	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: say_mismatch(out, ctx, x); return;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
		str_addf(out, "its certificate is from an issuer that is not trusted, %s: %s",
			tls_name_text(name, X509_get_issuer_name(x)),
			X509_verify_cert_error_string(error));
		return;
	default: break;
	}
	tls_name_text(name, X509_get_subject_name(x));
	str_addf(out, "%s, %s, is refused: %s",
		depth ? "a certificate above its own" : "its certificate",
		*name ? name : "(no subject)", X509_verify_cert_error_string(error));
}

static int on_verified(int good, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct outbound_call *call = SSL_get_app_data(ssl);
	struct str text = {0};

	if (!good && !call->problem) {
		say_problem(&text, ctx);
		call->problem = text.data;
	}
	return good;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct outbound_call *call = SSL_get_app_data(ssl);

	if (!call->on_session)
		return 0;
	call->on_session(call, session);
	return 1;
}

static int show_certificate(
	struct outbound *o, const struct conf_server_tls *conf, EVP_MD_CTX *id, struct error *err)
{
	struct cert *cert = cert_load(conf->cert, conf->key, err);
	struct cert_parsed parsed = {0};
	int rc = -1;

	if (!cert || cert_parse(cert, &parsed, err) < 0)
		error_prefix(err, "cert");
	else if (SSL_CTX_use_cert_and_key(o->ctx, parsed.leaf, parsed.key, parsed.chain, 1) != 1)
		tls_error_set(err, "cert: %s", conf->cert);
	else if (EVP_DigestUpdate(id, cert->leaf, cert->leaf_len) != 1)
		tls_error_set(err, "cert: %s", conf->cert);
	else
		rc = 0;
	cert_parsed_clear(&parsed);
	cert_unref(cert);
	return rc;
}

static int set_up(struct outbound *o, const struct conf_server_tls *conf,
	const struct anchors *roots, EVP_MD_CTX *id, struct error *err)
{
	SSL_CTX *ctx = o->ctx;

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1 ||
		SSL_CTX_set1_groups_list(ctx, GROUPS) != 1 ||
		EVP_DigestInit_ex(id, EVP_sha256(), NULL) != 1)
		return tls_error_set(err, "cannot make an SSL_CTX");
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_set_verify_depth(ctx, INTERMEDIATES_MAX);
	if (roots) {
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verified);
		SSL_CTX_set1_cert_store(ctx, roots->store);
		EVP_DigestUpdate(id, roots->hash, sizeof(roots->hash));
	}
	if (o->server_name)
		EVP_DigestUpdate(id, o->server_name, strlen(o->server_name) + 1);
	if (conf->cert && show_certificate(o, conf, id, err) < 0)
		return -1;
	if (EVP_DigestFinal_ex(id, o->id, NULL) != 1)
		return tls_error_set(err, "cannot make an SSL_CTX");
	return 0;
}

struct outbound *outbound_new(
	const struct conf_server_tls *conf, const struct anchors *roots, struct error *err)
{
	struct outbound *o = mem_zalloc(sizeof(*o));
	EVP_MD_CTX *id = EVP_MD_CTX_new();
	int rc;

	if (!id)
		abort();
	atomic_init(&o->refs, 1);
	o->verify = roots;
	o->server_name = conf->server_name ? mem_strdup(conf->server_name) : NULL;
	o->ctx = SSL_CTX_new(TLS_client_method());
	rc = set_up(o, conf, roots, id, err);
	EVP_MD_CTX_free(id);
	if (rc == 0)
		return o;
	outbound_unref(o);
	return NULL;
}

struct outbound *outbound_ref(struct outbound *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void outbound_unref(struct outbound *o)
{
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(o->ctx);
	free(o->server_name);
	free(o);
}

const char *outbound_name(
	const struct outbound *o, const struct address *a, const char *sni, bool *of_client)
{
	*of_client = !o->server_name && *sni;
	if (o->server_name)
		return o->server_name;
	if (*sni)
		return sni;
	return a->kind == ADDRESS_UNIX ? NULL : a->host;
}

static bool expect_name(SSL *ssl, const char *name)
{
	if (is_ip(name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *outbound_connect(struct outbound *o, struct outbound_call *call, const char *name,
	const unsigned char *alpn, unsigned int alpn_len, BIO *bio)
{
	SSL *ssl = SSL_new(o->ctx);

	if (!ssl || (name && !expect_name(ssl, name)) ||
		(alpn_len && SSL_set_alpn_protos(ssl, alpn, alpn_len) != 0))
		abort(); /* out of memory */
	SSL_set_app_data(ssl, call);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_connect_state(ssl);
	return ssl;
}

const char *outbound_problem(const struct outbound_call *call, char why[ERROR_MAX])
{
	tls_error_text(why); /* empties the queue in any case */
	if (call->problem)
		snprintf(why, ERROR_MAX, "%s", call->problem);
	return why;
}

bool outbound_still_good(const struct outbound *o, const SSL_SESSION *session)
{
	X509 *x = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);

	return !o->verify || (x && X509_cmp_current_time(X509_get0_notAfter(x)) > 0);
}
