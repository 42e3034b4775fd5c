#include "certgen.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define must(expression)                                                                           \
	do {                                                                                       \
		if (!(expression))                                                                 \
			fail(#expression, __LINE__);                                               \
	} while (0)

static void fail(const char *what, int line)
{
	fprintf(stderr, "certgen.c:%d: %s failed\n", line, what);
	ERR_print_errors_fp(stderr);
	abort();
}

static EVP_PKEY *make_pss_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *key = NULL;

	must(ctx && EVP_PKEY_keygen_init(ctx) == 1);
	must(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1);
	must(EVP_PKEY_generate(ctx, &key) == 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

EVP_PKEY *certgen_key(const char *type)
{
	EVP_PKEY *key;

	if (strcmp(type, "RSA-PSS") == 0)
		key = make_pss_key();
	else if (strncmp(type, "RSA:", 4) == 0)
		key = EVP_RSA_gen((unsigned)atoi(type + 4));
	else if (strncmp(type, "P-", 2) == 0)
		key = EVP_EC_gen(type);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, type);
	must(key);
	return key;
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(e && X509_add_ext(x, e, -1));
	X509_EXTENSION_free(e);
}

X509 *certgen_cert(const struct certgen *g)
{
	static long serial;
	int64_t from = g->from_s || g->until_s ? g->from_s : -3600;
	int64_t until = g->from_s || g->until_s ? g->until_s : 86400;
	EVP_PKEY *signer = g->issuer_key ? g->issuer_key : g->key;
	X509 *x = X509_new();

	must(x && X509_set_version(x, X509_VERSION_3));
	must(ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial));
	must(X509_time_adj_ex(X509_getm_notBefore(x), 0, (long)from, NULL));
	must(X509_time_adj_ex(X509_getm_notAfter(x), 0, (long)until, NULL));
	if (g->cn)
		must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
			(const unsigned char *)g->cn, -1, -1, 0));
	must(X509_set_issuer_name(x, X509_get_subject_name(g->issuer ? g->issuer : x)));
	must(X509_set_pubkey(x, g->key));
	if (g->alt_names)
		add_extension(x, g->issuer, NID_subject_alt_name, g->alt_names);
	if (g->access)
		add_extension(x, g->issuer, NID_info_access, g->access);
	must(X509_sign(
		x, signer, EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()));
	return x;
}

static char *take(BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	char *text = mem_strndup(data, (size_t)len);

	BIO_free(bio);
	return text;
}

char *certgen_cert_pem(X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(PEM_write_bio_X509(bio, x));
	return take(bio);
}

char *certgen_key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
	return take(bio);
}

char *certgen_key_pem_traditional(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	must(PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL));
	return take(bio);
}

char *certgen_join(const char *a, const char *b, const char *c)
{
	return mem_printf("%s%s%s", a, b ? b : "", c ? c : "");
}

void certgen_write(const char *path, const void *data, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	must(fd >= 0 && fchmod(fd, mode) == 0);
	must(write(fd, data, len) == (ssize_t)len);
	close(fd);
}

void certgen_write_text(const char *path, const char *text, mode_t mode)
{
	certgen_write(path, text, strlen(text), mode);
}

char *certgen_temp(void)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = mem_printf("%s/lintel-test.XXXXXX", tmp ? tmp : "/tmp");

	must(mkdtemp(folder));
	return folder;
}

static int on_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void certgen_remove(char *folder)
{
	must(nftw(folder, on_file, 16, FTW_DEPTH | FTW_PHYS) == 0);
	free(folder);
}

char *certgen_combined(
	const char *folder, const char *file, const char *type, const char *alt_names)
{
	struct certgen g = {.alt_names = alt_names, .key = certgen_key(type)};
	X509 *x = certgen_cert(&g);
	char *path = mem_printf("%s/%s", folder, file), *key = certgen_key_pem(g.key);
	char *cert = certgen_cert_pem(x), *both = certgen_join(key, cert, NULL);

	certgen_write_text(path, both, 0600);
	free(key);
	free(cert);
	free(both);
	X509_free(x);
	EVP_PKEY_free(g.key);
	return path;
}
