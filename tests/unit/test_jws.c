#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>

#include "acme/jws.h"
#include "acme/key.h"
#include "base/enc.h"
#include "base/mem.h"
#include "certgen.h"

struct parts { /* of a JWS, decoded */
	struct json_object *whole, *header;
	char *payload, *signed_text;
	uint8_t *signature;
	size_t signature_len;
};

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(o, key, &value));
	return json_object_get_string(value);
}

static char *decode(const char *text)
{
	size_t len;
	uint8_t *data = enc_base64url_decode(text, &len, NULL);
	char *out;

	assert_non_null(data);
	out = mem_strndup((char *)data, len);
	free(data);
	return out;
}

static struct parts take_apart(char *jws)
{
	struct parts p = {0};
	char *header;

	assert_non_null(jws);
	p.whole = json_tokener_parse(jws);
	assert_int_equal(json_object_object_length(p.whole), 3);
	header = decode(member(p.whole, "protected"));
	p.header = json_tokener_parse(header);
	p.payload = decode(member(p.whole, "payload"));
	p.signed_text =
		mem_printf("%s.%s", member(p.whole, "protected"), member(p.whole, "payload"));
	p.signature = enc_base64url_decode(member(p.whole, "signature"), &p.signature_len, NULL);
	assert_non_null(p.signature);
	free(header);
	free(jws);
	return p;
}

static void clear(struct parts *p)
{
	json_object_put(p->whole);
	json_object_put(p->header);
	free(p->payload);
	free(p->signed_text);
	free(p->signature);
}

/* RFC 7518, 3.4: r and s, 32 bytes each. */
static unsigned char *to_der(const struct parts *p, size_t *len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	unsigned char *der = NULL;

	assert_int_equal(p->signature_len, 64);
	ECDSA_SIG_set0(
		sig, BN_bin2bn(p->signature, 32, NULL), BN_bin2bn(p->signature + 32, 32, NULL));
	*len = (size_t)i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	return der;
}

static bool verifies(const struct parts *p, EVP_PKEY *key)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	const unsigned char *sig = p->signature;
	size_t len = p->signature_len;
	bool good;

	if (EVP_PKEY_is_a(key, "EC"))
		sig = der = to_der(p, &len);
	EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key);
	good = EVP_DigestVerify(ctx, sig, len, (const unsigned char *)p->signed_text,
		       strlen(p->signed_text)) == 1;
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(der);
	return good;
}

static void test_by_account(void **state)
{
	static const char *const types[] = {"P-256", "RSA:2048"}, *const algs[] = {
									  "ES256", "RS256"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = certgen_key(types[i]);
		/* Often enough that r or s begins with a zero byte. */
		for (int n = 0; n < (i ? 1 : 600); n++) {
			struct parts p = take_apart(jws_sign(key, "https://ca.example/acct/1",
				"nonce", "https://ca.example/order", "{\"a\":1}", NULL));

			assert_string_equal(member(p.header, "alg"), algs[i]);
			assert_string_equal(member(p.header, "kid"), "https://ca.example/acct/1");
			assert_string_equal(member(p.header, "nonce"), "nonce");
			assert_string_equal(member(p.header, "url"), "https://ca.example/order");
			assert_int_equal(json_object_object_length(p.header), 4); /* no jwk */
			assert_string_equal(p.payload, "{\"a\":1}");
			assert_true(verifies(&p, key));
			clear(&p);
		}
		EVP_PKEY_free(key);
	}
}

static void test_by_key(void **state)
{
	EVP_PKEY *key = certgen_key("P-256");
	struct parts p = take_apart(jws_sign(key, NULL, NULL, "https://ca.example/x", "", NULL));
	char *jwk = acme_key_jwk(key);
	struct json_object *expected;

	(void)state;
	assert_string_equal(p.payload, "");                       /* POST-as-GET */
	assert_int_equal(json_object_object_length(p.header), 3); /* neither kid nor nonce */
	expected = json_tokener_parse(jwk);
	assert_true(json_object_equal(json_object_object_get(p.header, "jwk"), expected));
	json_object_put(expected);
	assert_null(strstr(p.signed_text, "\"d\""));
	assert_true(verifies(&p, key));
	free(jwk);
	clear(&p);
	EVP_PKEY_free(key);
}

/* RFC 8555, 7.3.4: HS256 over the account's public key; kid and url, no nonce. */
static void test_binding(void **state)
{
	static const uint8_t mac_key[] = "the CA's secret";
	EVP_PKEY *key = certgen_key("P-256");
	struct parts p = take_apart(
		jws_bind(key, "kid-1", mac_key, 15, "https://ca.example/new-account", NULL));
	char *jwk = acme_key_jwk(key);
	unsigned char mac[32];
	unsigned len;

	(void)state;
	assert_string_equal(member(p.header, "alg"), "HS256");
	assert_string_equal(member(p.header, "kid"), "kid-1");
	assert_string_equal(member(p.header, "url"), "https://ca.example/new-account");
	assert_int_equal(json_object_object_length(p.header), 3);
	assert_string_equal(p.payload, jwk);
	HMAC(EVP_sha256(), mac_key, 15, (unsigned char *)p.signed_text, strlen(p.signed_text), mac,
		&len);
	assert_int_equal(p.signature_len, 32);
	assert_memory_equal(p.signature, mac, 32);
	free(jwk);
	clear(&p);
	EVP_PKEY_free(key);
}

static void test_says_what_fails(void **state)
{
	EVP_PKEY *key = certgen_key("ED25519"); /* none that acme_key_parse() gives */
	struct error err = {""};

	(void)state;
	assert_null(jws_sign(key, "k", "n", "https://ca.example/x", "", &err));
	assert_non_null(strstr(err.text, "cannot sign with the account key"));
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_account),
		cmocka_unit_test(test_by_key),
		cmocka_unit_test(test_binding),
		cmocka_unit_test(test_says_what_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
