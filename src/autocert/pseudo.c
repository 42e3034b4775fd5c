#include "autocert/pseudo.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autocert/key.h"
#include "autocert/store.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "tls/cert.h"
#include "tls/error.h"

#define BACKDATE_S    300 /* for clients whose clock is behind */
#define CA_LIFETIME_S (INT64_C(3650) * 86400)
#define SERIAL_BYTES  16 /* RFC 5280, 4.1.2.2: at most 20 */

static bool set_random_serial(X509 *x)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *b;
	bool good;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and always of this length */
	b = BN_bin2bn(bytes, sizeof(bytes), NULL);
	good = b && BN_to_ASN1_INTEGER(b, X509_get_serialNumber(x));
	BN_free(b);
	return good;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return good;
}

/* What CA and leaf have in common; the caller adds extensions and signs. */
static X509 *begin_certificate(EVP_PKEY *key, int64_t from, int64_t until)
{
	X509 *x = X509_new();

	if (x && X509_set_version(x, X509_VERSION_3) && set_random_serial(x) &&
		ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from) &&
		ASN1_TIME_set(X509_getm_notAfter(x), (time_t)until) && X509_set_pubkey(x, key))
		return x;
	X509_free(x);
	return NULL;
}

static X509 *make_ca_certificate(EVP_PKEY *key, struct error *err)
{
	int64_t now = clock_wall_s();
	X509 *x = begin_certificate(key, now - BACKDATE_S, now + CA_LIFETIME_S);
	unsigned char tag[4];
	char hex[2 * sizeof(tag) + 1], cn[64];

	/* Each CA has a name of its own, so that an old one in a trust store is not taken for it.
	 */
	if (!x || RAND_bytes(tag, sizeof(tag)) != 1)
		goto fail;
	str_hex(hex, tag, sizeof(tag));
	snprintf(cn, sizeof(cn), "lintel pseudo CA %s", hex);
	if (X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		    (const unsigned char *)cn, -1, -1, 0) &&
		X509_set_issuer_name(x, X509_get_subject_name(x)) &&
		add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		add_extension(x, x, NID_subject_key_identifier, "hash") &&
		X509_sign(x, key, EVP_sha256()))
		return x;
fail:
	tls_error_set(err, "cannot make the CA's certificate");
	X509_free(x);
	return NULL;
}

/* RFC 5280, 4.2.1.6: critical, because the subject is empty. Returns a new string. */
static char *alt_names(const struct conf_strings *domains)
{
	struct str s = {0};

	str_addf(&s, "critical");
	for (size_t i = 0; i < domains->n; i++)
		str_addf(&s, ",DNS:%s", domains->v[i]);
	return s.data;
}

static X509 *make_leaf(const struct conf_autocert *a, EVP_PKEY *key, const struct cert_parsed *ca,
	int64_t ca_until, struct error *err)
{
	int64_t now = clock_wall_s(), until = now + a->lifetime_s;
	/* A short life is not mostly past when it begins. */
	int64_t from = now - (a->lifetime_s < 10 * BACKDATE_S ? a->lifetime_s / 10 : BACKDATE_S);
	X509 *x = begin_certificate(key, from, until < ca_until ? until : ca_until);
	bool rsa = EVP_PKEY_is_a(key, "RSA");
	char *names = alt_names(&a->domains);

	if (!x || !X509_set_issuer_name(x, X509_get_subject_name(ca->leaf)) ||
		!add_extension(x, ca->leaf, NID_basic_constraints, "critical,CA:FALSE") ||
		!add_extension(x, ca->leaf, NID_key_usage,
			rsa ? "critical,digitalSignature,keyEncipherment"
			    : "critical,digitalSignature") ||
		!add_extension(x, ca->leaf, NID_ext_key_usage, "serverAuth") ||
		!add_extension(x, ca->leaf, NID_subject_key_identifier, "hash") ||
		!add_extension(x, ca->leaf, NID_authority_key_identifier, "keyid:always") ||
		!add_extension(x, ca->leaf, NID_subject_alt_name, names) ||
		!X509_sign(x, ca->key, EVP_sha256())) {
		tls_error_set(err, "cannot make the certificate");
		X509_free(x);
		x = NULL;
	}
	free(names);
	return x;
}

/* New strings; 0 or -1. */
static int write_pems(X509 *x, EVP_PKEY *key, char **cert, char **key_out, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long len;
	int rc = -1;

	*key_out = key_pem(key, err);
	if (!*key_out)
		goto out;
	if (!bio || !PEM_write_bio_X509(bio, x)) {
		tls_error_set(err, "cannot write a certificate as PEM");
		key_pem_free(*key_out);
		goto out;
	}
	len = BIO_get_mem_data(bio, &data);
	*cert = mem_strndup(data, (size_t)len);
	rc = 0;
out:
	BIO_free(bio);
	return rc;
}

/* What an administrator can and should mend is no reason for a new CA. */
static bool is_kept_from_us(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno != ENOENT;
	return access(path, R_OK) < 0 || (st.st_mode & S_IROTH) != 0;
}

static int make_ca(const char *cert_path, const char *key_path, struct error *err)
{
	EVP_PKEY *key = key_make(KEY_EC256, err);
	X509 *x = key ? make_ca_certificate(key, err) : NULL;
	char *cert_text = NULL, *key_text = NULL;
	int rc = x ? write_pems(x, key, &cert_text, &key_text, err) : -1;

	if (rc == 0) {
		rc = store_write_pair(cert_path, cert_text, key_path, key_text, err);
		key_pem_free(key_text);
		free(cert_text);
	}
	if (rc == 0)
		log_info("pseudo: made a CA; clients that shall trust its certificates need %s",
			cert_path);
	X509_free(x);
	EVP_PKEY_free(key);
	return rc;
}

static struct cert *load_ca(
	const char *cert_path, const char *key_path, struct cert_parsed *ca, struct error *err)
{
	struct cert *c = cert_load(cert_path, key_path, err);

	if (!c)
		return NULL;
	if (c->not_after <= clock_wall_s()) {
		error_set(err, "%s has expired", cert_path);
	} else if (cert_parse(c, ca, err) == 0) {
		if (X509_check_ca(ca->leaf) == 1)
			return c;
		error_set(err, "%s is no CA's certificate", cert_path);
		cert_parsed_clear(ca);
	}
	cert_unref(c);
	return NULL;
}

/* The CA, made when there is none. Several providers use one: the lock is for jobs that come at the
 * same time. */
static struct cert *get_ca(const char *state_dir, struct cert_parsed *ca, struct error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	char *cert_path = mem_printf("%s/pseudo/ca.crt", state_dir);
	char *key_path = mem_printf("%s/pseudo/ca.key", state_dir);
	struct cert *c = NULL;

	pthread_mutex_lock(&lock);
	if (store_repair_pair(cert_path, key_path, err) < 0)
		goto out;
	if (access(cert_path, F_OK) == 0 || access(key_path, F_OK) == 0) {
		struct error why = {""};

		c = load_ca(cert_path, key_path, ca, &why);
		if (c)
			goto out;
		if (access(cert_path, R_OK) < 0 ? errno != ENOENT : is_kept_from_us(key_path)) {
			error_set(err, "%s", why.text);
			goto out;
		}
		log_warn("pseudo: %s; a new CA is made", why.text);
		if (store_put_aside(cert_path, err) < 0 || store_put_aside(key_path, err) < 0)
			goto out;
	}
	if (make_ca(cert_path, key_path, err) == 0)
		c = load_ca(cert_path, key_path, ca, err);
out:
	pthread_mutex_unlock(&lock);
	free(cert_path);
	free(key_path);
	return c;
}

struct pseudo {
	struct cert *cert;
	struct cert_parsed parsed;
};

struct pseudo *pseudo_open(const char *state_dir, struct error *err)
{
	struct pseudo *p = mem_zalloc(sizeof(*p));

	p->cert = get_ca(state_dir, &p->parsed, err);
	if (p->cert)
		return p;
	free(p);
	return NULL;
}

void pseudo_close(struct pseudo *p)
{
	if (!p)
		return;
	cert_parsed_clear(&p->parsed);
	cert_unref(p->cert);
	free(p);
}

bool pseudo_is_issuer(const struct pseudo *p, const struct cert *c)
{
	struct cert_parsed leaf;
	bool good = cert_parse(c, &leaf, NULL) == 0 &&
		    X509_check_issued(p->parsed.leaf, leaf.leaf) == X509_V_OK &&
		    X509_verify(leaf.leaf, p->parsed.key) == 1;

	ERR_clear_error();
	cert_parsed_clear(&leaf);
	return good;
}

bool pseudo_has_issued(const char *state_dir, const struct cert *c)
{
	char *cert_path = mem_printf("%s/pseudo/ca.crt", state_dir);
	char *key_path = mem_printf("%s/pseudo/ca.key", state_dir);
	struct pseudo p = {0};
	struct error err;
	bool issued = false;

	if (access(cert_path, F_OK) == 0)
		p.cert = load_ca(cert_path, key_path, &p.parsed, &err);
	if (p.cert) {
		issued = pseudo_is_issuer(&p, c);
		cert_parsed_clear(&p.parsed);
		cert_unref(p.cert);
	}
	free(cert_path);
	free(key_path);
	return issued;
}

int pseudo_mint(const struct pseudo *p, const struct conf_autocert *a, char **cert_text,
	char **key_text, struct error *err)
{
	EVP_PKEY *key = key_make(a->key_type, err);
	X509 *x = key ? make_leaf(a, key, &p->parsed, p->cert->not_after, err) : NULL;
	int rc = x ? write_pems(x, key, cert_text, key_text, err) : -1;

	X509_free(x);
	EVP_PKEY_free(key);
	return rc;
}
