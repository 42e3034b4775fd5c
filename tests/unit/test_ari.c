#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "acme/ari.h"
#include "certgen.h"

/* RFC 9773, appendix A */
static const char rfc_cert[] = "-----BEGIN CERTIFICATE-----\n"
			       "MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt\n"
			       "cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS\n"
			       "BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu\n"
			       "7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf\n"
			       "qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B\n"
			       "yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb\n"
			       "+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK\n"
			       "-----END CERTIFICATE-----\n";

static void expect_id(X509 *x, const char *id)
{
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);
	char *text = acme_ari_id(der, (size_t)len);

	if (id)
		assert_string_equal(text, id);
	else
		assert_null(text);
	free(text);
	OPENSSL_free(der);
	X509_free(x);
}

/* 4.1: the serial number's leading zero byte counts. */
static void test_the_example(void **state)
{
	BIO *bio = BIO_new_mem_buf(rfc_cert, -1);

	(void)state;
	expect_id(PEM_read_bio_X509(bio, NULL, NULL, NULL), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
	BIO_free(bio);
}

static void test_no_such_identifier(void **state)
{
	EVP_PKEY *key = certgen_key("P-256");
	const struct certgen g = {.cn = "x", .alt_names = "DNS:x.example", .key = key};

	(void)state;
	expect_id(certgen_cert(&g), NULL);
	EVP_PKEY_free(key);
	assert_null(acme_ari_id((const uint8_t *)"no certificate", 14));
	assert_null(acme_ari_id(NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_example),
		cmocka_unit_test(test_no_such_identifier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
