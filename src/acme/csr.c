#include "acme/csr.h"

#include <openssl/x509v3.h>

#include "base/mem.h"
#include "tls/error.h"

static bool add_name(GENERAL_NAMES *names, const char *domain)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	if (!name || !text || !ASN1_STRING_set(text, domain, -1)) {
		GENERAL_NAME_free(name);
		ASN1_IA5STRING_free(text);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool add_names(X509_REQ *req, const struct conf_strings *domains)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	STACK_OF(X509_EXTENSION) *extensions = NULL;
	bool good = names != NULL;

	for (size_t i = 0; good && i < domains->n; i++)
		good = add_name(names, domains->v[i]);
	/* RFC 5280, 4.2.1.6: critical, because there is no subject. */
	good = good &&
	       X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) ==
		       1 &&
	       X509_REQ_add_extensions(req, extensions) == 1;
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	GENERAL_NAMES_free(names);
	return good;
}

uint8_t *acme_csr_make(
	EVP_PKEY *key, const struct conf_strings *domains, size_t *len, struct error *err)
{
	X509_REQ *req = X509_REQ_new();
	unsigned char *der = NULL;
	uint8_t *out = NULL;
	int n = -1;

	if (req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 && add_names(req, domains) &&
		X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_sign(req, key, EVP_sha256()) > 0)
		n = i2d_X509_REQ(req, &der);
	if (n > 0) {
		*len = (size_t)n;
		out = mem_dup(der, *len);
	} else {
		tls_error_set(err, "cannot make a certificate signing request");
	}
	OPENSSL_free(der);
	X509_REQ_free(req);
	return out;
}
