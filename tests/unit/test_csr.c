#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "acme/csr.h"
#include "certgen.h"

static char apex[] = "example.org", wild[] = "*.example.org", idn[] = "xn--bcher-kva.test";
static char *names[] = {apex, wild, idn};

static void test_makes(void **state)
{
	static const char *const types[] = {"P-256", "P-384", "RSA:2048"};

	(void)state;
	for (size_t t = 0; t < 3; t++) {
		EVP_PKEY *key = certgen_key(types[t]);
		const struct conf_strings domains = {names, 3};
		size_t len;
		uint8_t *der = acme_csr_make(key, &domains, &len, NULL);
		const unsigned char *p = der;
		X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)len);
		STACK_OF(X509_EXTENSION) *extensions;
		GENERAL_NAMES *alt;
		int critical;

		assert_non_null(req);
		assert_ptr_equal(p, der + len);
		assert_int_equal(X509_REQ_verify(req, key), 1);
		assert_int_equal(X509_REQ_get_version(req), X509_REQ_VERSION_1);
		assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(req)), 0);
		extensions = X509_REQ_get_extensions(req);
		assert_int_equal(sk_X509_EXTENSION_num(extensions), 1); /* no must-staple */
		alt = X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, NULL);
		assert_int_equal(critical, 1);
		assert_int_equal(sk_GENERAL_NAME_num(alt), 3);
		for (int i = 0; i < 3; i++) {
			GENERAL_NAME *n = sk_GENERAL_NAME_value(alt, i);

			assert_int_equal(n->type, GEN_DNS);
			assert_string_equal(
				(const char *)ASN1_STRING_get0_data(n->d.dNSName), names[i]);
		}
		GENERAL_NAMES_free(alt);
		sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
		X509_REQ_free(req);
		free(der);
		EVP_PKEY_free(key);
	}
}

static void test_says_what_fails(void **state)
{
	EVP_PKEY *key = certgen_key("ED25519"); /* has no digest of its own choice */
	const struct conf_strings domains = {names, 1};
	struct error err = {""};
	size_t len;

	(void)state;
	assert_null(acme_csr_make(key, &domains, &len, &err));
	assert_non_null(strstr(err.text, "cannot make a certificate signing request"));
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_makes),
		cmocka_unit_test(test_says_what_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
