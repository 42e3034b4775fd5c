#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <grp.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"
#include "tls/cert.h"

#define PLENTY   8
#define KEPT_MAX 256

static char *folder;
static EVP_PKEY *p256, *p384, *rsa, *other, *ca_key;
static X509 *ca;

static int set_up(void **state)
{
	folder = certgen_temp();
	p256 = certgen_key("P-256");
	p384 = certgen_key("P-384");
	rsa = certgen_key("RSA:2048");
	other = certgen_key("P-256");
	ca_key = certgen_key("P-256");
	ca = certgen_cert(&(struct certgen){.cn = "test intermediate", .key = ca_key});
	return 0;
}

static int tear_down(void **state)
{
	certgen_remove(folder);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ca_key);
	X509_free(ca);
	return 0;
}

/* Strings that live until free_all(), so that tests read straight. */
static char *kept[KEPT_MAX];
static int n_kept;

static char *keep(char *s)
{
	assert_true(n_kept < KEPT_MAX);
	return kept[n_kept++] = s;
}

static int free_all(void **state)
{
	while (n_kept)
		free(kept[--n_kept]);
	return 0;
}

static char *path_of(const char *name)
{
	return keep(mem_printf("%s/%s", folder, name));
}

static char *leaf_pem(EVP_PKEY *key, const char *cn, const char *alt_names)
{
	X509 *x = certgen_cert(&(struct certgen){
		.cn = cn, .alt_names = alt_names, .key = key, .issuer = ca, .issuer_key = ca_key});
	char *pem = keep(certgen_cert_pem(x));

	X509_free(x);
	return pem;
}

static char *key_pem(EVP_PKEY *key)
{
	return keep(certgen_key_pem(key));
}

static char *ca_pem(void)
{
	return keep(certgen_cert_pem(ca));
}

static char *join(const char *a, const char *b, const char *c)
{
	return keep(certgen_join(a, b, c));
}

static struct cert *load_text(const char *cert, const char *key)
{
	struct error err = {""};
	struct cert *c = cert_from_pem(cert, strlen(cert), key, key ? strlen(key) : 0, "t", &err);

	if (!c)
		fail_msg("%s", err.text);
	return c;
}

/* The names, each in brackets. */
static char *names_of(const struct cert *c)
{
	struct str s = {0};

	str_add(&s, "", 0);
	for (size_t i = 0; i < c->n_names; i++)
		str_addf(&s, "[%s]", c->names[i]);
	return keep(s.data);
}

static void assert_parses(const struct cert *c)
{
	struct cert_parsed p;
	struct error err = {""};

	if (cert_parse(c, &p, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(X509_check_private_key(p.leaf, p.key), 1);
	cert_parsed_clear(&p);
}

/* Loads by every way that the pair may be written, and by the certificate's own dates. */
static void check_key_type(EVP_PKEY *key, enum cert_kind kind)
{
	char *cert = leaf_pem(key, NULL, "DNS:a.example");
	const char *keys[2] = {key_pem(key), NULL};
	size_t n = 1;

	if (kind != CERT_EDDSA && !EVP_PKEY_is_a(key, "RSA-PSS"))
		keys[n++] = keep(certgen_key_pem_traditional(key));
	for (size_t i = 0; i < n; i++) {
		const char *texts[] = {join(cert, keys[i], NULL), join(keys[i], cert, ca_pem())};

		for (size_t j = 0; j < 2; j++) {
			struct cert *c = load_text(texts[j], NULL);

			assert_int_equal(c->kind, kind);
			assert_string_equal(names_of(c), "[a.example]");
			assert_string_equal(c->file, "t");
			assert_int_equal(c->chain != NULL, j == 1);
			assert_parses(c);
			cert_unref(c);
		}
	}
}

static void loads_every_kind_of_key(void **state)
{
	EVP_PKEY *p521 = certgen_key("P-521"), *ed = certgen_key("ED25519");
	EVP_PKEY *pss = certgen_key("RSA-PSS");

	check_key_type(p256, CERT_ECDSA);
	check_key_type(p384, CERT_ECDSA);
	check_key_type(p521, CERT_ECDSA);
	check_key_type(rsa, CERT_RSA);
	check_key_type(ed, CERT_EDDSA);
	check_key_type(pss, CERT_RSA);
	EVP_PKEY_free(pss);
	EVP_PKEY_free(p521);
	EVP_PKEY_free(ed);
}

static void loads_a_sec1_key_without_its_public_half(void **state)
{
	EVP_PKEY *bare = EVP_PKEY_dup(other);
	char *text;
	struct cert *c;

	assert_int_equal(EVP_PKEY_set_int_param(bare, OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, 0), 1);
	text = keep(certgen_key_pem_traditional(bare));
	c = load_text(leaf_pem(other, NULL, "DNS:a.example"), text);
	assert_true(c->key_len < 65); /* indeed without */
	assert_parses(c);
	cert_unref(c);
	EVP_PKEY_free(bare);
}

static void reads_dates(void **state)
{
	static const struct {
		int64_t from, until;
	} spans[] = {{-3600, 86400}, {-400LL * 86400, -1}, {3600, 40LL * 365 * 86400}};

	for (size_t i = 0; i < 3; i++) {
		X509 *x = certgen_cert(&(struct certgen){.cn = "a.example",
			.key = p256,
			.from_s = spans[i].from,
			.until_s = spans[i].until});
		struct cert *c = load_text(keep(certgen_cert_pem(x)), key_pem(p256));
		time_t from = (time_t)c->not_before, until = (time_t)c->not_after;

		assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(x), from), 0);
		assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notAfter(x), until), 0);
		assert_int_equal(until - from, spans[i].until - spans[i].from);
		cert_unref(c);
		X509_free(x);
	}
}

static void check_names(const char *cn, const char *alt_names, const char *want)
{
	struct cert *c = load_text(leaf_pem(p256, cn, alt_names), key_pem(p256));

	assert_string_equal(names_of(c), want);
	cert_unref(c);
}

static void reads_names(void **state)
{
	check_names("cn.example", "DNS:a.example,DNS:*.B.Example", "[a.example][*.b.example]");
	check_names("cn.example", NULL, "[cn.example]");
	check_names("*.cn.Example", "IP:192.0.2.1,email:x@y.example", "[*.cn.example]");
	check_names("Some Person", NULL, "");
	check_names(NULL, NULL, "");
	check_names("192.0.2.1", NULL, "");
	check_names("cn.example", "DNS:a.*.x,DNS:192.0.2.1,DNS:*.*.x,DNS:a_b.x", "[a_b.x]");
	/* There is a DNS name, if none that we can use: the CN does not count. */
	check_names("cn.example", "DNS:a.*.x", "");
}

/* OpenSSL's matching says yes wherever ours does. */
static void names_agree_with_openssl(void **state)
{
	static const char *const alt = "DNS:a.example,DNS:*.b.example,DNS:C.Example,DNS:*.d";
	X509 *x = certgen_cert(&(struct certgen){.key = p256, .alt_names = alt});
	struct cert *c = load_text(keep(certgen_cert_pem(x)), key_pem(p256));

	assert_int_equal(c->n_names, 4);
	for (size_t i = 0; i < c->n_names; i++) {
		const char *name = c->names[i];
		char *host = keep(
			mem_printf("%s%s", name[0] == '*' ? "x" : "", name + (name[0] == '*')));

		/* OpenSSL wants two labels behind a star; the contract does not. */
		assert_int_equal(X509_check_host(x, host, 0, 0, NULL), strcmp(name, "*.d") != 0);
	}
	cert_unref(c);
	X509_free(x);
}

static bool lacks_chain(const char *access, const char *chain)
{
	X509 *x = certgen_cert(&(struct certgen){.cn = "a.example",
		.access = access,
		.key = p256,
		.issuer = ca,
		.issuer_key = ca_key});
	struct cert *c = load_text(join(keep(certgen_cert_pem(x)), chain, NULL), key_pem(p256));
	bool lacks = c->lacks_chain;

	cert_unref(c);
	X509_free(x);
	return lacks;
}

static void sees_that_a_chain_is_missing(void **state)
{
	static const char issuers[] = "OCSP;URI:http://a.example/,caIssuers;URI:http://a.example/c";

	assert_true(lacks_chain(issuers, NULL));
	assert_false(lacks_chain(issuers, ca_pem()));
	assert_false(lacks_chain("OCSP;URI:http://a.example/", NULL));
	assert_false(lacks_chain(NULL, NULL)); /* straight from a root of somebody's own */
}

static void passes_over_what_stands_around(void **state)
{
	static const char parameters[] = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
					 "-----END EC PARAMETERS-----\n";
	char *text, *crlf, *to;
	struct cert *c;

	text = join("subject=/CN=x\n- a line\n--\n", parameters,
		keep(certgen_key_pem_traditional(p256)));
	text = join(text, "\nissuer=none\n", leaf_pem(p256, NULL, "DNS:a.example"));
	text = join(text, ca_pem(), "the end, without a line's end");
	c = load_text(text, NULL);
	assert_string_equal(names_of(c), "[a.example]");
	cert_unref(c);

	crlf = to = keep(mem_alloc(2 * strlen(text) + 1));
	for (const char *p = text; *p; p++) {
		if (*p == '\n')
			*to++ = '\r';
		*to++ = *p;
	}
	*to = '\0';
	c = load_text(crlf, NULL);
	assert_string_equal(names_of(c), "[a.example]");
	assert_parses(c);
	cert_unref(c);
}

static void parses_the_chain_in_order(void **state)
{
	EVP_PKEY *root_key = certgen_key("P-256");
	X509 *root = certgen_cert(&(struct certgen){.cn = "root", .key = root_key});
	char *text =
		join(leaf_pem(p256, NULL, "DNS:a.example"), ca_pem(), keep(certgen_cert_pem(root)));
	struct cert *c = load_text(text, key_pem(p256));
	struct cert_parsed p, again;

	assert_int_equal(cert_parse(c, &p, NULL), 0);
	assert_int_equal(sk_X509_num(p.chain), 2);
	assert_int_equal(X509_cmp(sk_X509_value(p.chain, 0), ca), 0);
	assert_int_equal(X509_cmp(sk_X509_value(p.chain, 1), root), 0);
	assert_int_equal(cert_parse(c, &again, NULL), 0);
	assert_ptr_equal(sk_X509_value(p.chain, 0), sk_X509_value(again.chain, 0));
	cert_parsed_clear(&p);
	cert_parsed_clear(&again);
	cert_unref(c);
	X509_free(root);
	EVP_PKEY_free(root_key);
}

/* Each refusal: its words, and the file's name in front. */
static void assert_refused(const char *cert_file, const char *key_file, const char *words)
{
	struct error err = {""};
	struct cert *c = cert_load(cert_file, key_file, &err);

	assert_null(c);
	if (!strstr(err.text, words) || !strstr(err.text, folder))
		fail_msg("want \"%s\" and the folder, got: %s", words, err.text);
}

static const char *file(const char *name, const char *text, mode_t mode)
{
	char *path = path_of(name);

	certgen_write_text(path, text, mode);
	return path;
}

static void refuses_with_a_sentence(void **state)
{
	char *cert = leaf_pem(p256, NULL, "DNS:a.example"), *key = key_pem(p256);
	const char *good_cert = file("good.crt", cert, 0644);
	const char *good_key = file("good.key", key, 0600);
	char *cut = keep(mem_strndup(cert, strlen(cert) - 40));
	char *broken = keep(mem_strdup(cert));
	struct cert *c = cert_load(good_cert, good_key, NULL);

	assert_non_null(c);
	cert_unref(c);
	memset(broken + 200, '!', 1);
	assert_refused(path_of("none"), good_key, "none does not exist");
	assert_refused(good_cert, path_of("none"), "none does not exist");
	assert_refused(folder, good_key, "is not a regular file");
	assert_refused(file("empty", "", 0600), NULL, "empty is empty");
	assert_refused(file("text", "hello\n", 0600), NULL, "it is no PEM file");
	assert_refused(file("only.crt", cert, 0600), NULL, "there is no private key in it");
	assert_refused(file("only.key", key, 0600), NULL, "there is no certificate in it");
	assert_refused(good_cert, file("c.key", cert, 0600), "there is no private key in it");
	assert_refused(file("cut", cut, 0644), good_key, "begins in line 1 has no end");
	assert_refused(file("broken", broken, 0644), good_key, "is no base64");
	assert_refused(
		good_cert, file("other.key", key_pem(other), 0600), "other.key does not fit");
	assert_refused(file("order.pem", join(ca_pem(), cert, key), 0600), NULL,
		"fits certificate 2 of the file");
	assert_refused(good_cert,
		file("ssh.key",
			"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE "
			"KEY-----\n",
			0600),
		"OpenSSH's own format");
}

static void refuses_keys_that_all_may_read(void **state)
{
	char *cert = leaf_pem(p256, NULL, "DNS:a.example"), *key = key_pem(p256);
	const char *cert_file = file("pub.crt", cert, 0644);
	struct cert *c = cert_load(cert_file, file("group.key", key, 0640), NULL);

	assert_non_null(c);
	cert_unref(c);
	assert_refused(cert_file, file("all.key", key, 0644), "all.key holds a private key");
	assert_refused(cert_file, file("all.key", key, 0604), "(mode 0604): run chmod o-rwx");
	assert_refused(
		file("all.pem", join(cert, key, NULL), 0664), NULL, "all.pem holds a private");
	/* A key that lies in the certificate's file unused is open to all as well. */
	assert_refused(file("stray.pem", join(cert, key, NULL), 0664), file("good.key", key, 0600),
		"stray.pem holds a private key");
	/* Whoever has taken the wrong file is told so, and of no key that is not there. */
	assert_refused(cert_file, NULL, "pub.crt: there is no private key in it");
	assert_refused(file("only.key", key, 0600), cert_file, "there is no certificate in it");
	assert_refused(cert_file, cert_file, "pub.crt: there is no private key in it");
}

static void refuses_what_is_no_pem(void **state)
{
	char *cert = leaf_pem(p256, NULL, "DNS:a.example");
	struct cert *c = load_text(cert, key_pem(p256));
	char *big = keep(mem_zalloc(CERT_FILE_MAX + 1));
	PKCS12 *p12;
	X509 *x = certgen_cert(&(struct certgen){.cn = "x", .key = p256});
	unsigned char *der = NULL;
	int len;

	certgen_write(path_of("leaf.der"), c->leaf, c->leaf_len, 0644);
	certgen_write(path_of("key.der"), c->key, c->key_len, 0600);
	assert_refused(path_of("leaf.der"), path_of("key.der"), "openssl x509 -inform DER");
	assert_refused(file("l.crt", cert, 0644), path_of("key.der"), "openssl pkey -inform DER");
	p12 = PKCS12_create("x", "x", p256, x, NULL, 0, 0, 0, 0, 0);
	len = i2d_PKCS12(p12, &der);
	assert_true(len > 0);
	certgen_write(path_of("x.p12"), der, (size_t)len, 0600);
	assert_refused(path_of("x.p12"), NULL, "it is PKCS#12");
	certgen_write(path_of("big"), big, CERT_FILE_MAX + 1, 0600);
	assert_refused(path_of("big"), NULL, "more than 1048576 is refused");
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	assert_refused(path_of("fifo"), NULL, "is not a regular file");
	OPENSSL_free(der);
	PKCS12_free(p12);
	X509_free(x);
	cert_unref(c);
}

static void refuses_encrypted_keys(void **state)
{
	const char *cert_file = file("enc.crt", leaf_pem(p256, NULL, "DNS:a.example"), 0644);
	BIO *pkcs8 = BIO_new(BIO_s_mem()), *old = BIO_new(BIO_s_mem());
	char *text;
	long len;

	assert_true(PEM_write_bio_PKCS8PrivateKey(
		pkcs8, p256, EVP_aes_128_cbc(), "secret", 6, NULL, NULL));
	len = BIO_get_mem_data(pkcs8, &text);
	certgen_write(path_of("enc8.key"), text, (size_t)len, 0600);
	assert_refused(cert_file, path_of("enc8.key"), "the private key is encrypted");
	assert_true(PEM_write_bio_PrivateKey_traditional(
		old, p256, EVP_aes_128_cbc(), (unsigned char *)"secret", 6, NULL, NULL));
	len = BIO_get_mem_data(old, &text);
	certgen_write(path_of("enc1.key"), text, (size_t)len, 0600);
	assert_refused(cert_file, path_of("enc1.key"), "the private key is encrypted");
	BIO_free(pkcs8);
	BIO_free(old);
}

static void refuses_small_rsa_keys(void **state)
{
	EVP_PKEY *small = certgen_key("RSA:1024");

	assert_refused(
		file("small.pem", join(leaf_pem(small, "x", NULL), key_pem(small), NULL), 0600),
		NULL, "the RSA key has 1024 bits");
	EVP_PKEY_free(small);
}

/* In a child, which may give up being root for it. */
static void names_the_user_that_may_not_read(void **state)
{
	const char *path = file("closed.pem", "x", 0);
	pid_t child;
	int status;

	chmod(folder, 0755);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct error err = {""};

		if (geteuid() == 0 &&
			(setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0))
			_exit(2);
		cert_load(path, NULL, &err);
		_exit(strncmp(err.text, "user ", 5) == 0 && strstr(err.text, "may not read") ? 0
											     : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* The key has p256's public half and another's secret: loading cannot see it, the first use must.
 */
static void finds_a_wrong_private_half_at_first_use(void **state)
{
	struct cert *right = load_text(leaf_pem(p256, "x", NULL), key_pem(p256));
	struct cert *wrong = load_text(leaf_pem(other, "x", NULL), key_pem(other));
	struct cert *c;
	struct cert_parsed p;
	struct error err = {""};
	uint8_t *der = mem_dup(right->key, right->key_len);
	char *b64 = keep(mem_alloc(1024)), *pem;

	/* The secret's 32 bytes: PKCS#8's header, then ECPrivateKey's, 36 bytes in all. */
	assert_int_equal(right->key_len, wrong->key_len);
	memcpy(der + 36, wrong->key + 36, 32);
	EVP_EncodeBlock((unsigned char *)b64, der, (int)right->key_len);
	pem = keep(mem_printf("-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", b64));
	c = load_text(leaf_pem(p256, "x", NULL), pem);
	assert_int_equal(cert_parse(c, &p, &err), -1);
	assert_non_null(strstr(err.text, "halves do not fit"));
	assert_null(p.leaf);
	free(der);
	cert_unref(c);
	cert_unref(right);
	cert_unref(wrong);
}

static void finds_a_wrong_rsa_half_at_first_use(void **state)
{
	struct cert *right = load_text(leaf_pem(rsa, "x", NULL), key_pem(rsa));
	uint8_t *der = mem_dup(right->key, right->key_len);
	char *b64 = keep(mem_alloc(4096)), *pem;
	struct cert_parsed p;
	struct error err = {""};
	struct cert *c;

	der[right->key_len - 8] ^= 0x10;   /* in 1/q mod p */
	der[right->key_len - 300] ^= 0x10; /* in q or d mod p-1 */
	EVP_EncodeBlock((unsigned char *)b64, der, (int)right->key_len);
	pem = keep(mem_printf("-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n", b64));
	c = load_text(leaf_pem(rsa, "x", NULL), pem);
	assert_int_equal(cert_parse(c, &p, &err), -1);
	assert_non_null(strstr(err.text, "halves do not fit"));
	free(der);
	cert_unref(c);
	cert_unref(right);
}

static void cache_keeps_the_recently_used(void **state)
{
	struct cert *c[PLENTY];
	struct cert_cache *cache = cert_cache_new(3);
	const struct cert_parsed *first;
	X509 *x;

	for (int i = 0; i < PLENTY; i++)
		c[i] = load_text(leaf_pem(p256, "a.example", NULL), key_pem(p256));
	first = cert_cache_get(cache, c[0], NULL);
	assert_non_null(first);
	x = first->leaf;
	for (int i = 1; i < PLENTY; i++) {
		assert_non_null(cert_cache_get(cache, c[i], NULL));
		assert_ptr_equal(cert_cache_get(cache, c[0], NULL)->leaf, x); /* still the same */
	}
	/* It holds the three used last, and no other. */
	for (int i = 0; i < PLENTY; i++) {
		bool held = i == 0 || i >= PLENTY - 2;

		assert_int_equal(atomic_load(&c[i]->refs), held ? 2 : 1);
		cert_unref(c[i]);
	}
	cert_cache_free(cache);
	cert_cache_free(NULL);
}

/* Those that share a bucket with the one that goes stay. */
static void cache_drops_one_at_a_time(void **state)
{
	enum { HELD = 16, ALL = 200 };
	char *text = leaf_pem(p256, "a.example", NULL), *pem = key_pem(p256);
	struct cert_cache *cache = cert_cache_new(HELD);
	const struct cert_parsed *seen[ALL];
	struct cert *c[ALL];

	for (int i = 0; i < ALL; i++) {
		int oldest = i < HELD ? 0 : i - HELD + 1;

		c[i] = load_text(text, pem);
		seen[i] = cert_cache_get(cache, c[i], NULL);
		assert_non_null(seen[i]);
		for (int k = i; k >= oldest; k--)
			assert_ptr_equal(cert_cache_get(cache, c[k], NULL), seen[k]);
		for (int k = oldest; k <= i; k++) /* the oldest goes next */
			cert_cache_get(cache, c[k], NULL);
	}
	cert_cache_free(cache);
	for (int i = 0; i < ALL; i++) {
		assert_int_equal(atomic_load(&c[i]->refs), 1);
		cert_unref(c[i]);
	}
}

static void *parse_often(void *arg)
{
	struct cert *c = cert_ref(arg);
	struct cert_cache *cache = cert_cache_new(2);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	for (int i = 0; i < 50; i++) {
		struct cert_parsed p;
		SSL *ssl = SSL_new(ctx);

		assert_int_equal(cert_parse(c, &p, NULL), 0);
		assert_int_equal(SSL_use_cert_and_key(ssl, p.leaf, p.key, p.chain, 1), 1);
		assert_non_null(cert_cache_get(cache, c, NULL));
		cert_parsed_clear(&p);
		SSL_free(ssl);
	}
	SSL_CTX_free(ctx);
	cert_cache_free(cache);
	cert_unref(c);
	return NULL;
}

static void workers_share_a_cert(void **state)
{
	struct cert *c =
		load_text(join(leaf_pem(p256, "a.example", NULL), ca_pem(), NULL), key_pem(p256));
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, parse_often, c), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&c->refs), 1);
	cert_unref(c);
}

#define TEST(f) cmocka_unit_test_teardown(f, free_all)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(loads_every_kind_of_key),
		TEST(loads_a_sec1_key_without_its_public_half),
		TEST(reads_dates),
		TEST(reads_names),
		TEST(names_agree_with_openssl),
		TEST(sees_that_a_chain_is_missing),
		TEST(passes_over_what_stands_around),
		TEST(parses_the_chain_in_order),
		TEST(refuses_with_a_sentence),
		TEST(refuses_keys_that_all_may_read),
		TEST(refuses_what_is_no_pem),
		TEST(refuses_encrypted_keys),
		TEST(refuses_small_rsa_keys),
		TEST(names_the_user_that_may_not_read),
		TEST(finds_a_wrong_private_half_at_first_use),
		TEST(finds_a_wrong_rsa_half_at_first_use),
		TEST(cache_keeps_the_recently_used),
		TEST(cache_drops_one_at_a_time),
		TEST(workers_share_a_cert),
	};

	return cmocka_run_group_tests_name("cert", tests, set_up, tear_down);
}
