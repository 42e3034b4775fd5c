#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "acme/key.h"
#include "base/enc.h"
#include "certgen.h"

/* RFC 7638, 3.1 */
static const char rfc_n[] =
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
	"BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
	"FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"
	"bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

static EVP_PKEY *public_rsa(const char *n64)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	size_t len;
	uint8_t *bytes = enc_base64url_decode(n64, &len, NULL);
	BIGNUM *n = BN_bin2bn(bytes, (int)len, NULL), *e = BN_new();
	OSSL_PARAM *params;

	BN_set_word(e, 65537);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
	params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_fromdata_init(ctx);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	free(bytes);
	return key;
}

static void test_thumbprint(void **state)
{
	EVP_PKEY *key = public_rsa(rfc_n);
	char *jwk = acme_key_jwk(key), *thumbprint = acme_key_thumbprint(key);

	(void)state;
	assert_string_equal(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
	assert_memory_equal(jwk, "{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0vx7", 33);
	assert_string_equal(acme_key_algorithm(key), "RS256");
	free(thumbprint);
	free(jwk);
	EVP_PKEY_free(key);
}

/* RFC 7515, A.3.1: the private key in SEC1's form, without its public half. */
static void test_jwk_of_ec(void **state)
{
	static const unsigned char sec1_head[] = {0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20};
	static const unsigned char sec1_tail[] = {
		0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	unsigned char der[sizeof(sec1_head) + 32 + sizeof(sec1_tail)];
	struct error err = {""};
	EVP_PKEY *key;
	uint8_t *d;
	size_t len;
	char *jwk;

	(void)state;
	d = enc_base64url_decode("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", &len, NULL);
	assert_int_equal(len, 32);
	memcpy(der, sec1_head, sizeof(sec1_head));
	memcpy(der + sizeof(sec1_head), d, 32);
	memcpy(der + sizeof(sec1_head) + 32, sec1_tail, sizeof(sec1_tail));
	free(d);
	key = acme_key_parse(der, sizeof(der), &err);
	assert_string_equal(err.text, "");
	assert_non_null(key);
	jwk = acme_key_jwk(key);
	assert_string_equal(jwk, "{\"crv\":\"P-256\",\"kty\":\"EC\","
				 "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				 "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
	assert_string_equal(acme_key_algorithm(key), "ES256");
	free(jwk);
	EVP_PKEY_free(key);
}

static void expect_read(EVP_PKEY *key, const void *data, size_t len)
{
	struct error err = {""};
	EVP_PKEY *again = acme_key_parse(data, len, &err);

	assert_string_equal(err.text, "");
	assert_int_equal(EVP_PKEY_eq(key, again), 1);
	EVP_PKEY_free(again);
}

static void test_every_form(void **state)
{
	static const char *const types[] = {"P-256", "RSA:2048"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = certgen_key(types[i]);
		char *pem = certgen_key_pem(key), *old = certgen_key_pem_traditional(key);
		unsigned char *der = NULL;
		PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
		int len;

		expect_read(key, pem, strlen(pem));
		expect_read(key, old, strlen(old));
		len = i2d_PrivateKey(key, &der); /* SEC1, PKCS#1 */
		expect_read(key, der, (size_t)len);
		OPENSSL_free(der);
		der = NULL;
		len = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
		expect_read(key, der, (size_t)len);
		OPENSSL_free(der);
		PKCS8_PRIV_KEY_INFO_free(p8);
		free(pem);
		free(old);
		EVP_PKEY_free(key);
	}
}

static void expect_refused(const void *data, size_t len)
{
	struct error err = {""};

	assert_null(acme_key_parse(data, len, &err));
	assert_non_null(strstr(err.text, "is no private key that lintel can use"));
}

static void test_refuses(void **state)
{
	static const char *const types[] = {"P-384", "ED25519", "RSA:1024", "RSA-PSS"};
	EVP_PKEY *key = certgen_key("P-256");
	unsigned char *der = NULL;
	char *pem;
	int len;

	(void)state;
	len = i2d_PUBKEY(key, &der);
	expect_refused(der, (size_t)len);
	OPENSSL_free(der);
	pem = certgen_key_pem(key);
	expect_refused(pem, strlen(pem) / 2);
	free(pem);
	EVP_PKEY_free(key);
	expect_refused("", 0);
	expect_refused("garbage", 7);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		key = certgen_key(types[i]);
		pem = certgen_key_pem(key);
		expect_refused(pem, strlen(pem));
		free(pem);
		EVP_PKEY_free(key);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thumbprint),
		cmocka_unit_test(test_jwk_of_ec),
		cmocka_unit_test(test_every_form),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
