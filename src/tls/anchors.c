#include "tls/anchors.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "tls/error.h"

/* What is sent of them to clients: more would be longer than what many read of a handshake. */
#define NAMES_MAX (16 << 10)

const char *tls_name_text(char out[TLS_NAME_SIZE], const X509_NAME *name)
{
	BIO *text = BIO_new(BIO_s_mem());
	char *data = NULL;
	long len;

	if (!text)
		abort();
	out[0] = '\0';
	if (name && X509_NAME_print_ex(text, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(text, &data);
		if (len >= TLS_NAME_SIZE) {
			memcpy(out, data, TLS_NAME_SIZE - 4);
			memcpy(out + TLS_NAME_SIZE - 4, "...", 4);
		} else if (len > 0) {
			memcpy(out, data, (size_t)len);
			out[len] = '\0';
		}
	}
	BIO_free(text);
	ERR_clear_error();
	return out;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

/* There are no encrypted blocks in what is read here; OpenSSL would ask on the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/* True at the end of a PEM file; else what was read last is broken. */
static bool at_end(void)
{
	unsigned long e = ERR_peek_last_error();
	bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;

	if (end)
		ERR_clear_error();
	return end;
}

static BIO *read_file(const char *file, size_t max, char **data, size_t *len, struct error *err)
{
	BIO *in;

	*data = file_read(file, max, len, err);
	if (!*data)
		return NULL;
	in = BIO_new_mem_buf(*data, (int)*len);
	if (!in)
		abort();
	return in;
}

static bool add_to_hash(unsigned char hash[32], const void *data, size_t len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(md, hash, 32) == 1 && EVP_DigestUpdate(md, data, len) == 1 &&
		    EVP_DigestFinal_ex(md, hash, NULL) == 1;

	EVP_MD_CTX_free(md);
	return done;
}

static int add_certificates(struct anchors *a, const char *file, BIO *in, struct error *err)
{
	X509 *x;

	while ((x = PEM_read_bio_X509(in, NULL, no_password, NULL))) {
		X509_check_purpose(x, -1, 0); /* what it keeps of the extensions is made now */
		if (!sk_X509_push(a->certs, x) || X509_STORE_add_cert(a->store, x) != 1)
			return tls_error_set(
				err, "%s: certificate %d", file, sk_X509_num(a->certs));
	}
	if (!at_end())
		return tls_error_set(
			err, "%s: certificate %d is broken", file, sk_X509_num(a->certs) + 1);
	if (sk_X509_num(a->certs) == 0)
		return error_set(err,
			"%s: there is no certificate in it: it takes those of CAs, as PEM", file);
	return 0;
}

static void list_names(struct anchors *a)
{
	int size = 0;

	a->names = sk_X509_NAME_new_null();
	for (int i = 0; i < sk_X509_num(a->certs); i++) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(sk_X509_value(a->certs, i)));

		if (!name || !sk_X509_NAME_push(a->names, name))
			abort();
		size += i2d_X509_NAME(name, NULL);
	}
	if (size > NAMES_MAX) {
		sk_X509_NAME_pop_free(a->names, X509_NAME_free);
		a->names = NULL;
	}
}

struct anchors *anchors_load(const char *file, struct error *err)
{
	struct anchors *a = mem_zalloc(sizeof(*a));
	char *data = NULL;
	size_t len = 0;
	BIO *in;

	atomic_init(&a->refs, 1);
	a->crls_until = INT64_MAX;
	a->store = X509_STORE_new();
	a->certs = sk_X509_new_null();
	if (!a->store || !a->certs)
		abort();
	X509_STORE_set_flags(a->store, X509_V_FLAG_PARTIAL_CHAIN);
	in = read_file(file, ANCHORS_FILE_MAX, &data, &len, err);
	if (!in || add_certificates(a, file, in, err) < 0)
		goto fail;
	if (!add_to_hash(a->hash, data, len)) {
		tls_error_set(err, "%s: cannot be hashed", file);
		goto fail;
	}
	list_names(a);
	BIO_free(in);
	free(data);
	return a;
fail:
	BIO_free(in);
	free(data);
	anchors_unref(a);
	return NULL;
}

struct anchors *anchors_load_system(struct error *err)
{
	const char *const files[] = {getenv(X509_get_default_cert_file_env()),
		X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] && *files[i] && access(files[i], F_OK) == 0)
			return anchors_load(files[i], err);
	error_set(err, "this system has no file of roots: install ca-certificates, or give ca");
	return NULL;
}

void anchors_warn_expired(const struct anchors *a, const char *file)
{
	for (int i = 0; i < sk_X509_num(a->certs); i++) {
		const X509 *x = sk_X509_value(a->certs, i);
		int64_t until = seconds_of(X509_get0_notAfter(x));
		char name[TLS_NAME_SIZE], date[CLOCK_RFC3339_SIZE];

		if (until < clock_wall_s())
			log_warn("%s: %s has expired: %s: no chain that ends there is good", file,
				tls_name_text(name, X509_get_subject_name(x)),
				clock_rfc3339(date, until, -1));
	}
}

int anchors_find_no_ca(const struct anchors *a)
{
	for (int i = 0; i < sk_X509_num(a->certs); i++)
		if (!X509_check_ca(sk_X509_value(a->certs, i)))
			return i;
	return -1;
}

/* CRLs */

/* Whether a CA of these has signed it; a CA may be there with several keys. */
static int check_issuer(const struct anchors *a, X509_CRL *crl, struct error *err)
{
	const X509_NAME *issuer = X509_CRL_get_issuer(crl);
	char name[TLS_NAME_SIZE];
	bool named = false;

	for (int i = 0; i < sk_X509_num(a->certs); i++) {
		X509 *ca = sk_X509_value(a->certs, i);

		if (X509_NAME_cmp(X509_get_subject_name(ca), issuer) != 0)
			continue;
		named = true;
		if (X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1)
			return 0;
		ERR_clear_error();
	}
	tls_name_text(name, issuer);
	if (named)
		return error_set(err,
			"the CRL of %s is not signed with the key of that CA in ca: take the CRL "
			"that the CA offers now, or its certificate of now",
			name);
	return error_set(err,
		"the CRL of %s is of no CA in ca: add the certificate of that CA there, or take "
		"its CRL out",
		name);
}

/* A CA of these that is revoked would go on to be trusted: it is an anchor. */
static int check_revoked_cas(const struct anchors *a, X509_CRL *crl, struct error *err)
{
	char name[TLS_NAME_SIZE];

	for (int i = 0; i < sk_X509_num(a->certs); i++) {
		X509 *ca = sk_X509_value(a->certs, i);
		X509_REVOKED *entry = NULL;

		if (X509_NAME_cmp(X509_get_issuer_name(ca), X509_CRL_get_issuer(crl)) == 0 &&
			X509_CRL_get0_by_cert(crl, &entry, ca) == 1)
			return error_set(err, "the CA %s is revoked in it: take it out of ca",
				tls_name_text(name, X509_get_subject_name(ca)));
	}
	return 0;
}

/* Takes `crl`. */
static int add_crl(struct anchors *a, const char *file, X509_CRL *crl, struct error *err)
{
	int64_t until = seconds_of(X509_CRL_get0_nextUpdate(crl));
	char name[TLS_NAME_SIZE], date[CLOCK_RFC3339_SIZE];
	int rc = -1;

	if (check_issuer(a, crl, err) < 0 || check_revoked_cas(a, crl, err) < 0) {
		error_prefix(err, "%s", file);
	} else if (X509_STORE_add_crl(a->store, crl) != 1) {
		tls_error_set(err, "%s", file);
	} else {
		if (until < a->crls_until)
			a->crls_until = until;
		/* Refusing it would keep everything else from starting. */
		if (until < clock_wall_s())
			log_warn("%s: the CRL of %s has expired: %s: certificates of this CA are "
				 "refused until there is a newer one, and a reload",
				file, tls_name_text(name, X509_CRL_get_issuer(crl)),
				clock_rfc3339(date, until, -1));
		rc = 0;
	}
	X509_CRL_free(crl);
	return rc;
}

static int add_all_crls(struct anchors *a, const char *file, BIO *in, struct error *err)
{
	X509_CRL *crl;
	int n = 0;

	while ((crl = PEM_read_bio_X509_CRL(in, NULL, no_password, NULL))) {
		if (add_crl(a, file, crl, err) < 0)
			return -1;
		n++;
	}
	if (!at_end())
		return tls_error_set(err, "%s: CRL %d is broken", file, n + 1);
	if (!n)
		return error_set(err, "%s: there is no CRL in it", file);
	return 0;
}

int anchors_add_crls(struct anchors *a, const char *file, struct error *err)
{
	const unsigned char *der;
	char *data = NULL;
	size_t len = 0;
	X509_CRL *crl;
	BIO *in = read_file(file, CRL_FILE_MAX, &data, &len, err);
	int rc = -1;

	if (!in)
		return -1;
	der = (const unsigned char *)data;
	crl = len && *der == 0x30 ? d2i_X509_CRL(NULL, &der, (long)len) : NULL;
	ERR_clear_error();
	rc = crl ? add_crl(a, file, crl, err) : add_all_crls(a, file, in, err);
	if (rc == 0 && !add_to_hash(a->hash, data, len))
		rc = tls_error_set(err, "%s: cannot be hashed", file);
	X509_STORE_set_flags(a->store, X509_V_FLAG_CRL_CHECK);
	BIO_free(in);
	free(data);
	return rc;
}

struct anchors *anchors_ref(struct anchors *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void anchors_unref(struct anchors *a)
{
	if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
		return;
	X509_STORE_free(a->store);
	sk_X509_pop_free(a->certs, X509_free);
	sk_X509_NAME_pop_free(a->names, X509_NAME_free);
	free(a);
}
