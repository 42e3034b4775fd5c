/* Handshakes in memory against OpenSSL's client: what the ClientHello chooses, and what resumes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "certgen.h"
#include "tls/handshake.h"
#include "tls/outbound.h"

static struct conf_tls conf = {
	.min_version = TLS1_2_VERSION,
	.max_version = TLS1_3_VERSION,
	.ciphers = (char[]){"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"},
	.ciphersuites = (char[]){"TLS_AES_128_GCM_SHA256"},
	.groups = (char[]){"X25519:P-256"},
	.tickets = 1,
};

static struct certs *table;
static struct cert_cache *cache;
static struct tickets *keys;
static char *folder;

static int setup(void **state)
{
	struct certs_source sources[3] = {
		{.place = "a", .cert = NULL}, {.place = "b"}, {.place = "c"}};
	struct problems p = {0};
	struct error err;

	(void)state;
	folder = certgen_temp();
	sources[0].cert = certgen_combined(folder, "a", "P-256", "DNS:a.test,DNS:*.a.test");
	sources[1].cert = certgen_combined(folder, "a-rsa", "RSA:2048", "DNS:a.test");
	sources[2].cert = certgen_combined(folder, "b", "P-256", "DNS:b.test");
	table = certs_build(sources, 3, NULL, &p);
	for (size_t i = 0; i < p.n; i++)
		print_error("%s\n", p.lines[i]);
	assert_non_null(table);
	cache = cert_cache_new(10);
	keys = tickets_rotate(NULL, &err);
	assert_non_null(keys);
	for (int i = 0; i < 3; i++)
		free((char *)(uintptr_t)sources[i].cert);
	certgen_remove(folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	certs_unref(table);
	cert_cache_free(cache);
	tickets_unref(keys);
	return 0;
}

static struct tls_policy policy = {.min_version = TLS1_2_VERSION};

static const struct tls_policy *choose(void *arg, const char *name)
{
	(void)arg;
	return strcmp(name, "nowhere.a.test") == 0 ? NULL : &policy;
}

struct run { /* what a client asks for and what came of it */
	const char *sni;
	const char *alpn; /* on the wire */
	const char *sigalgs;
	int version;        /* 0 = any */
	SSL_SESSION *offer; /* freed by run_client() */
	X509 *cert;         /* the client's; NULL = none */
	EVP_PKEY *key;
	int above; /* how many times its certificate is sent again, as its chain */
	bool strict;
	/* results */
	bool ok, resumed;
	int alert;     /* that the client got; 0 = none */
	char cn_kind;  /* 'e' or 'r': the key of the certificate shown */
	char name[64]; /* its first DNS name */
	char chosen[32];
	SSL_SESSION *session;
	enum tls_refusal refusal;
	char why[ERROR_MAX];
	char subject[TLS_NAME_SIZE]; /* the client's, as the server sees it; "" = nobody */
};

static struct run *the_run;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(the_run->session);
	the_run->session = session;
	return 1;
}

static void on_info(const SSL *ssl, int where, int value)
{
	(void)ssl;
	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL)
		the_run->alert = value & 0xff;
}

static SSL *make_client(struct run *r, SSL_CTX *ctx)
{
	SSL *c;

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_info_callback(ctx, on_info);
	c = SSL_new(ctx);
	if (r->version) {
		SSL_set_min_proto_version(c, r->version);
		SSL_set_max_proto_version(c, r->version);
	}
	if (r->sni)
		SSL_set_tlsext_host_name(c, r->sni);
	if (r->alpn)
		SSL_set_alpn_protos(c, (const unsigned char *)r->alpn, (unsigned)strlen(r->alpn));
	if (r->sigalgs)
		assert_int_equal(SSL_set1_sigalgs_list(c, r->sigalgs), 1);
	if (r->offer)
		SSL_set_session(c, r->offer);
	if (r->cert)
		assert_int_equal(SSL_use_cert_and_key(c, r->cert, r->key, NULL, 1), 1);
	for (int i = 0; i < r->above; i++)
		assert_int_equal(SSL_add1_chain_cert(c, r->cert), 1);
	SSL_set_connect_state(c);
	return c;
}

static void look_at(struct run *r, SSL *c)
{
	X509 *x = SSL_get1_peer_certificate(c);
	GENERAL_NAMES *san = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	const unsigned char *proto;
	unsigned int len;

	r->resumed = SSL_session_reused(c);
	r->cn_kind = EVP_PKEY_is_a(X509_get0_pubkey(x), "RSA") ? 'r' : 'e';
	snprintf(r->name, sizeof(r->name), "%s",
		ASN1_STRING_get0_data(sk_GENERAL_NAME_value(san, 0)->d.dNSName));
	SSL_get0_alpn_selected(c, &proto, &len);
	snprintf(r->chosen, sizeof(r->chosen), "%.*s", (int)len, (const char *)proto);
	GENERAL_NAMES_free(san);
	X509_free(x);
}

static void run_client(struct run *r, SSL_CTX *server_ctx)
{
	struct handshake h = {
		.certs = table,
		.tickets = keys,
		.cache = cache,
		.strict_sni = r->strict,
		.choose = choose,
	};
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
	BIO *near, *far;
	SSL *s, *c;
	char byte = 'x';
	int rs = 0, rc = 0;

	the_run = r;
	assert_int_equal(BIO_new_bio_pair(&near, 0, &far, 0), 1);
	s = tls_accept_new(server_ctx, &h, near);
	c = make_client(r, client_ctx);
	SSL_set_bio(c, far, far);
	for (int i = 0; i < 10 && (rs != 1 || rc != 1); i++) {
		if (rc != 1)
			rc = SSL_do_handshake(c);
		if (rs != 1)
			rs = SSL_do_handshake(s);
		if (rs != 1 && SSL_get_error(s, rs) == SSL_ERROR_SSL && !*r->why)
			r->refusal = tls_refusal_of(&h, r->why);
	}
	r->ok = rs == 1 && rc == 1;
	free(h.client_problem);
	if (r->ok) {
		tls_client_subject(s, r->subject);
		assert_int_equal(SSL_write(s, &byte, 1), 1); /* brings the tickets along */
		assert_int_equal(SSL_read(c, &byte, 1), 1);
		look_at(r, c);
		SSL_shutdown(c);
	}
	SSL_SESSION_free(r->offer);
	r->offer = NULL;
	SSL_free(s);
	SSL_free(c);
	SSL_CTX_free(client_ctx);
	ERR_clear_error();
}

static SSL_CTX *new_context(void)
{
	struct error err;
	SSL_CTX *ctx = tls_context_new(&conf, &err);

	assert_non_null(ctx);
	return ctx;
}

static void test_certificate_by_name(void **state)
{
	static const struct {
		const char *sni, *gets;
	} cases[] = {
		{"a.test", "a.test"},
		{"x.a.test", "a.test"},
		{"b.test", "b.test"},
		{"B.TeSt", "b.test"},
		{"b.test.", "b.test"},
		{"x.y.a.test", "a.test"},
		{"unknown.test", "a.test"},
		{NULL, "a.test"},
	};
	SSL_CTX *ctx = new_context();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r = {.sni = cases[i].sni};

		run_client(&r, ctx);
		assert_true(r.ok);
		assert_string_equal(r.name, cases[i].gets);
		SSL_SESSION_free(r.session);
	}
	SSL_CTX_free(ctx);
}

static void test_strict_and_unrouted_names(void **state)
{
	struct run unknown = {.sni = "unknown.test", .strict = true};
	struct run none = {.strict = true}, known = {.sni = "b.test", .strict = true};
	struct run unrouted = {.sni = "nowhere.a.test"};
	SSL_CTX *ctx = new_context();

	(void)state;
	run_client(&unknown, ctx);
	run_client(&none, ctx);
	run_client(&known, ctx);
	run_client(&unrouted, ctx);
	assert_false(unknown.ok);
	assert_int_equal(unknown.alert, SSL_AD_UNRECOGNIZED_NAME);
	assert_int_equal(unknown.refusal, TLS_REFUSED_NO_CERT);
	assert_int_equal(none.alert, SSL_AD_UNRECOGNIZED_NAME);
	assert_true(known.ok);
	assert_int_equal(unrouted.alert, SSL_AD_UNRECOGNIZED_NAME);
	assert_int_equal(unrouted.refusal, TLS_REFUSED_NO_ROUTE);
	SSL_SESSION_free(known.session);
	SSL_CTX_free(ctx);
}

/* The key's two halves do not fit, which its first use is the first to see. */
static char *write_broken(void)
{
	EVP_PKEY *key = certgen_key("P-256"), *other = certgen_key("P-256");
	X509 *x = certgen_cert(&(struct certgen){.alt_names = "DNS:half.test", .key = key});
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key), *p8_other = EVP_PKEY2PKCS8(other);
	unsigned char *der = NULL, *der_other = NULL;
	int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
	char b64[512], *cert = certgen_cert_pem(x), *text, *path = mem_printf("%s/half", folder);

	assert_int_equal(i2d_PKCS8_PRIV_KEY_INFO(p8_other, &der_other), len);
	memcpy(der + 36, der_other + 36, 32); /* the secret */
	EVP_EncodeBlock((unsigned char *)b64, der, len);
	text = mem_printf(
		"%s-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", cert, b64);
	certgen_write_text(path, text, 0600);
	OPENSSL_free(der);
	OPENSSL_free(der_other);
	PKCS8_PRIV_KEY_INFO_free(p8);
	PKCS8_PRIV_KEY_INFO_free(p8_other);
	X509_free(x);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	free(text);
	free(cert);
	return path;
}

/* One that cannot be used leaves the name to the other kind; alone it is refused. */
static void test_a_broken_certificate(void **state)
{
	struct certs *usual = table;
	SSL_CTX *ctx = new_context();
	struct problems p = {0};
	char *broken, *good;

	(void)state;
	folder = certgen_temp();
	broken = write_broken();
	good = certgen_combined(folder, "good", "RSA:2048", "DNS:half.test");
	for (size_t n = 2; n > 0; n--) {
		const struct certs_source sources[] = {
			{.place = "a", .cert = broken}, {.place = "b", .cert = good}};
		struct run r = {.sni = "half.test"};

		table = certs_build(sources, n, NULL, &p);
		assert_non_null(table);
		run_client(&r, ctx);
		assert_int_equal(r.ok, n == 2);
		assert_int_equal(r.refusal, n == 2 ? TLS_REFUSED_NOT : TLS_REFUSED_BAD_CERT);
		SSL_SESSION_free(r.session);
		certs_unref(table);
	}
	table = usual;
	free(broken);
	free(good);
	certgen_remove(folder);
	SSL_CTX_free(ctx);
}

/* ECDSA first, whatever the client prefers; RSA for those that know nothing else. */
static void test_ecdsa_and_rsa(void **state)
{
	int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	SSL_CTX *ctx = new_context();

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct run both = {.sni = "a.test",
			.version = versions[i],
			.sigalgs = "rsa_pss_rsae_sha256:ECDSA+SHA256:RSA+SHA256"};
		struct run rsa = {.sni = "a.test",
			.version = versions[i],
			.sigalgs = "rsa_pss_rsae_sha256:RSA+SHA256"};

		run_client(&both, ctx);
		run_client(&rsa, ctx);
		assert_true(both.ok && rsa.ok);
		assert_int_equal(both.cn_kind, 'e');
		assert_int_equal(rsa.cn_kind, 'r');
		SSL_SESSION_free(both.session);
		SSL_SESSION_free(rsa.session);
	}
	SSL_CTX_free(ctx);
}

static void test_alpn(void **state)
{
	char *list[] = {(char[]){"h2"}, (char[]){"http/1.1"}};
	struct conf_strings ours = {list, 2};
	struct run both = {.sni = "a.test", .alpn = "\x08http/1.1\x02h2"};
	struct run none = {.sni = "a.test"}, other = {.sni = "a.test",
						     .alpn = "\x03"
							     "foo"};
	struct run ignored = {.sni = "a.test",
		.alpn = "\x03"
			"foo"};
	SSL_CTX *ctx = new_context();

	(void)state;
	run_client(&ignored, ctx);
	policy.alpn = tls_alpn_wire(&ours, &policy.alpn_len);
	run_client(&both, ctx);
	run_client(&none, ctx);
	run_client(&other, ctx);
	free(policy.alpn);
	policy.alpn = NULL;
	assert_true(ignored.ok && both.ok && none.ok);
	assert_string_equal(ignored.chosen, "");
	assert_string_equal(both.chosen, "h2"); /* the server's order */
	assert_false(other.ok);
	assert_int_equal(other.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
	assert_int_equal(other.refusal, TLS_REFUSED_NO_ALPN);
	SSL_SESSION_free(ignored.session);
	SSL_SESSION_free(both.session);
	SSL_SESSION_free(none.session);
	SSL_CTX_free(ctx);
}

static void test_route_minimum_version(void **state)
{
	struct run old = {.sni = "a.test", .version = TLS1_2_VERSION};
	struct run new = {.sni = "a.test", .version = TLS1_3_VERSION};
	SSL_CTX *ctx = new_context();

	(void)state;
	policy.min_version = TLS1_3_VERSION;
	run_client(&old, ctx);
	run_client(&new, ctx);
	policy.min_version = TLS1_2_VERSION;
	assert_false(old.ok);
	assert_int_equal(old.alert, SSL_AD_PROTOCOL_VERSION);
	assert_true(new.ok);
	SSL_SESSION_free(new.session);
	SSL_CTX_free(ctx);
}

/* A session resumes for its own name only, across a new SSL_CTX and a rotated key. */
static void test_resumption(void **state)
{
	int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	SSL_CTX *ctx = new_context();
	struct error err;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct run first = {.sni = "a.test", .version = versions[i]}, same, other, none;
		struct tickets *older = keys;

		run_client(&first, ctx);
		assert_true(first.ok && !first.resumed && first.session);
		other = (struct run){
			.sni = "b.test", .version = versions[i], .offer = first.session};
		SSL_SESSION_up_ref(first.session);
		run_client(&other, ctx);
		none = (struct run){.version = versions[i], .offer = first.session};
		SSL_SESSION_up_ref(first.session);
		run_client(&none, ctx);
		assert_true(other.ok && !other.resumed);
		assert_true(none.ok && !none.resumed);
		SSL_CTX_free(ctx);
		ctx = new_context();
		keys = tickets_rotate(older, &err);
		tickets_unref(older);
		same = (struct run){
			.sni = "A.test.", .version = versions[i], .offer = first.session};
		run_client(&same, ctx);
		assert_true(same.ok && same.resumed);
		/* And got a new ticket. (Of a resumed 1.2 session the client tells nothing.) */
		assert_true(same.session || versions[i] == TLS1_2_VERSION);
		if (same.session) { /* as it does while the key stays */
			struct run next = {.sni = "a.test", .offer = same.session};

			assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(same.session),
				TICKETS_LIFETIME_S);
			SSL_SESSION_up_ref(same.session);
			run_client(&next, ctx);
			assert_true(next.ok && next.resumed && next.session);
			SSL_SESSION_free(next.session);
		}
		SSL_SESSION_free(other.session);
		SSL_SESSION_free(none.session);
		SSL_SESSION_free(same.session);
	}
	SSL_CTX_free(ctx);
}

/* Client certificates */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
	struct anchors *anchors; /* with it as the one that is trusted */
};

static void make_identity(struct identity *i, const char *cn, int64_t until_s)
{
	struct certgen g = {.cn = cn, .from_s = -7200, .until_s = until_s};
	char *dir = certgen_temp(), *path = mem_printf("%s/ca.crt", dir), *pem;
	struct error err;

	g.key = i->key = certgen_key("P-256");
	i->cert = certgen_cert(&g);
	pem = certgen_cert_pem(i->cert);
	certgen_write_text(path, pem, 0644);
	i->anchors = anchors_load(path, &err);
	assert_non_null(i->anchors);
	free(pem);
	free(path);
	certgen_remove(dir);
}

static void clear_identity(struct identity *i)
{
	EVP_PKEY_free(i->key);
	X509_free(i->cert);
	anchors_unref(i->anchors);
}

static void test_client_certificates(void **state)
{
	struct identity alice, bob;
	SSL_CTX *ctx = new_context();

	(void)state;
	make_identity(&alice, "a,li\"ce\n\xc3\xa9", 3600);
	make_identity(&bob, "bob", 3600);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct run good = {.version = version, .cert = alice.cert, .key = alice.key};
		struct run bad = {.version = version, .cert = bob.cert, .key = bob.key};
		struct run none = {.version = version}, nobody = none, much = good;

		policy.client_auth =
			(struct client_auth_policy){CLIENT_AUTH_REQUIRE, alice.anchors};
		run_client(&good, ctx);
		run_client(&bad, ctx);
		run_client(&none, ctx);
		much.above = (40 << 10) / i2d_X509(alice.cert, NULL);
		run_client(&much, ctx);
		policy.client_auth.mode = CLIENT_AUTH_OPTIONAL;
		run_client(&nobody, ctx);
		assert_true(good.ok && nobody.ok);
		assert_string_equal(good.subject, "CN=a\\,li\\\"ce\\0A\\C3\\A9");
		assert_string_equal(nobody.subject, "");
		assert_false(bad.ok || none.ok || much.ok);
		assert_int_equal(bad.refusal, TLS_REFUSED_CLIENT_CERT);
		assert_non_null(strstr(bad.why, "certificate, CN=bob, is refused"));
		assert_int_equal(none.refusal, TLS_REFUSED_CLIENT_CERT);
		assert_string_equal(none.why, "the client sent no certificate");
		SSL_SESSION_free(good.session);
		SSL_SESSION_free(nobody.session);
		SSL_SESSION_free(bad.session);
		SSL_SESSION_free(none.session);
		SSL_SESSION_free(much.session);
	}
	policy.client_auth = (struct client_auth_policy){0};
	clear_identity(&alice);
	clear_identity(&bob);
	SSL_CTX_free(ctx);
}

/* A ticket outlives neither the certificate in it nor the CRLs that it was held against. */
static void test_tickets_of_what_has_expired(void **state)
{
	struct identity late, good;
	SSL_CTX *ctx = new_context();

	(void)state;
	make_identity(&late, "late", -3600);
	make_identity(&good, "good", 3600);
	/* Let in as if it were an hour and a half ago. */
	X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(late.anchors->store), time(NULL) - 5400);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct identity *who[] = {&late, &good};

		for (int i = 0; i < 2; i++) {
			struct run first = {
				.version = version, .cert = who[i]->cert, .key = who[i]->key};
			struct run again = first;

			policy.client_auth =
				(struct client_auth_policy){CLIENT_AUTH_REQUIRE, who[i]->anchors};
			run_client(&first, ctx);
			assert_true(first.ok && first.session);
			again.offer = first.session;
			SSL_SESSION_up_ref(first.session);
			run_client(&again, ctx);
			assert_true(again.ok);
			assert_int_equal(again.resumed, i == 1);
			assert_string_equal(again.subject, i == 1 ? "CN=good" : "CN=late");
			SSL_SESSION_free(again.session);
			again.session = NULL;
			again.offer = first.session;
			who[i]->anchors->crls_until = time(NULL) - 1;
			run_client(&again, ctx);
			assert_true(again.ok && !again.resumed);
			who[i]->anchors->crls_until = INT64_MAX;
			SSL_SESSION_free(again.session);
		}
	}
	policy.client_auth = (struct client_auth_policy){0};
	clear_identity(&late);
	clear_identity(&good);
	SSL_CTX_free(ctx);
}

/* What a server's certificate was good for ends with it, as towards clients. */
static void test_sessions_with_servers_that_expired(void **state)
{
	const struct conf_server_tls none = {0};
	struct certs *usual = table;
	SSL_CTX *ctx = new_context();
	struct identity ca;
	struct error err;
	struct outbound *verifies, *trusts;

	(void)state;
	make_identity(&ca, "ca", 3600);
	verifies = outbound_new(&none, ca.anchors, &err);
	trusts = outbound_new(&none, NULL, &err);
	assert_non_null(verifies);
	assert_non_null(trusts);
	for (int i = 0; i < 2; i++) {
		EVP_PKEY *key = certgen_key("P-256");
		X509 *x = certgen_cert(&(struct certgen){.alt_names = "DNS:s.test",
			.key = key,
			.from_s = -7200,
			.until_s = i ? 3600 : -3600});
		char *cert = certgen_cert_pem(x), *pem = certgen_key_pem(key),
		     *both = certgen_join(cert, pem, NULL), *dir = certgen_temp(),
		     *path = mem_printf("%s/s", dir);
		const struct certs_source source = {.place = "s", .cert = path};
		struct run r = {.sni = "s.test"};
		struct problems p = {0};

		certgen_write_text(path, both, 0600);
		table = certs_build(&source, 1, NULL, &p);
		assert_non_null(table);
		run_client(&r, ctx);
		assert_true(r.ok && r.session);
		assert_int_equal(outbound_still_good(verifies, r.session), i == 1);
		assert_true(outbound_still_good(trusts, r.session));
		SSL_SESSION_free(r.session);
		certs_unref(table);
		certgen_remove(dir);
		free(path);
		free(both);
		free(pem);
		free(cert);
		X509_free(x);
		EVP_PKEY_free(key);
	}
	table = usual;
	outbound_unref(verifies);
	outbound_unref(trusts);
	clear_identity(&ca);
	SSL_CTX_free(ctx);
}

/* The places of keys that are not made yet have a name too, one that anybody can know. */
static void test_no_key_but_those_made(void **state)
{
	unsigned char name[16] = {0}, iv[EVP_MAX_IV_LENGTH] = {0};
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
	SSL_CTX *ctx = new_context();
	SSL *ssl = SSL_new(ctx);
	struct error err;
	struct tickets *one = tickets_rotate(NULL, &err);

	(void)state;
	assert_non_null(one);
	assert_int_equal(tickets_use(one, ssl, name, iv, cipher, mac, 0), 0);
	assert_int_equal(tickets_use(one, ssl, name, iv, cipher, mac, 1), 1); /* its own name */
	assert_true(tickets_use(one, ssl, name, iv, cipher, mac, 0) > 0);
	tickets_unref(one);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	EVP_MAC_CTX_free(mac);
	EVP_MAC_free(hmac);
	EVP_CIPHER_CTX_free(cipher);
}

static void test_keys_age_out(void **state)
{
	struct run first = {.sni = "a.test"}, late;
	SSL_CTX *ctx = new_context();
	struct error err;

	(void)state;
	run_client(&first, ctx);
	for (int i = 0; i <= TICKETS_LIFETIME_S / TICKETS_ROTATE_S; i++) {
		struct tickets *older = keys;

		keys = tickets_rotate(older, &err);
		tickets_unref(older);
	}
	late = (struct run){.sni = "a.test", .offer = first.session};
	run_client(&late, ctx);
	assert_true(late.ok && !late.resumed);
	SSL_SESSION_free(late.session);
	SSL_CTX_free(ctx);
}

static void test_no_tickets(void **state)
{
	int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	SSL_CTX *ctx;

	(void)state;
	conf.tickets = 0;
	ctx = new_context();
	conf.tickets = 1;
	for (int i = 0; i < 2; i++) {
		struct run r = {.sni = "a.test", .version = versions[i]}, again;

		run_client(&r, ctx);
		assert_true(r.ok);
		again = (struct run){.sni = "a.test", .version = versions[i], .offer = r.session};
		run_client(&again, ctx);
		assert_true(again.ok && !again.resumed);
		SSL_SESSION_free(again.session);
	}
	SSL_CTX_free(ctx);
}

static void test_bad_options(void **state)
{
	struct conf_tls bad = conf;
	struct error err;

	(void)state;
	bad.ciphers = (char[]){"NO-SUCH-CIPHER"};
	assert_null(tls_context_new(&bad, &err));
	assert_non_null(strstr(err.text, "tls.ciphers: \"NO-SUCH-CIPHER\""));
	bad = conf;
	bad.groups = (char[]){"X25519:P-255"};
	assert_null(tls_context_new(&bad, &err));
	assert_non_null(strstr(err.text, "tls.groups"));
	assert_int_equal(ERR_peek_error(), 0);
}

static void test_server_name_extension(void **state)
{
	static const unsigned char good[] = {0, 6, 0, 0, 3, 'a', '.', 'b'};
	static const unsigned char two[] = {0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'};
	static const unsigned char type[] = {0, 6, 1, 0, 3, 'a', '.', 'b'};
	const char *name;
	size_t len;

	(void)state;
	assert_true(tls_parse_server_name(good, sizeof(good), &name, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(name, "a.b", 3);
	assert_false(tls_parse_server_name(two, sizeof(two), &name, &len));
	assert_false(tls_parse_server_name(type, sizeof(type), &name, &len));
	for (size_t cut = 0; cut < sizeof(good); cut++)
		assert_false(tls_parse_server_name(good, cut, &name, &len));
	/* OpenSSL lets it pass: it is a name that matches nothing. */
	assert_true(tls_parse_server_name((const unsigned char *)"\0\3\0\0\0", 5, &name, &len));
	assert_int_equal(len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificate_by_name),
		cmocka_unit_test(test_strict_and_unrouted_names),
		cmocka_unit_test(test_a_broken_certificate),
		cmocka_unit_test(test_ecdsa_and_rsa),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_route_minimum_version),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_tickets_of_what_has_expired),
		cmocka_unit_test(test_sessions_with_servers_that_expired),
		cmocka_unit_test(test_no_key_but_those_made),
		cmocka_unit_test(test_keys_age_out),
		cmocka_unit_test(test_no_tickets),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_server_name_extension),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
