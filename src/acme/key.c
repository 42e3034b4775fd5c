#include "acme/key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"
#include "tls/error.h"

#define P256_BYTES 32
#define RSA_MIN    2048 /* bits */
#define RSA_MAX    8192

static bool is_usable(EVP_PKEY *key)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= RSA_MIN && EVP_PKEY_get_bits(key) <= RSA_MAX;
	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

EVP_PKEY *acme_key_parse(const void *data, size_t len, struct error *err)
{
	const unsigned char *p = data;
	EVP_PKEY *key = NULL;
	/* A NULL passphrase callback would ask on the terminal. */
	OSSL_DECODER_CTX *ctx =
		OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);

	if (!ctx)
		abort(); /* out of memory */
	OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)"", 0);
	if (OSSL_DECODER_from_data(ctx, &p, &len) != 1)
		key = NULL;
	OSSL_DECODER_CTX_free(ctx);
	ERR_clear_error();
	if (key && is_usable(key))
		return key;
	error_set(err,
		"is no private key that lintel can use (EC P-256, or RSA of %d bits or more)",
		RSA_MIN);
	EVP_PKEY_free(key);
	return NULL;
}

const char *acme_key_algorithm(EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "RSA") ? "RS256" : "ES256";
}

/* base64url of a number, in at least `min` bytes. */
static char *number(EVP_PKEY *key, const char *name, int min)
{
	unsigned char bytes[1024]; /* RSA of 8192 bits */
	BIGNUM *n = NULL;
	int len;

	if (EVP_PKEY_get_bn_param(key, name, &n) != 1)
		abort(); /* it is a key of that type */
	len = BN_num_bytes(n);
	if (len < min)
		len = min;
	if (BN_bn2binpad(n, bytes, len < (int)sizeof(bytes) ? len : (int)sizeof(bytes)) < 0)
		abort();
	BN_free(n);
	return enc_base64url(bytes, (size_t)len);
}

char *acme_key_jwk(EVP_PKEY *key)
{
	char *a, *b, *jwk;

	if (EVP_PKEY_is_a(key, "RSA")) {
		a = number(key, OSSL_PKEY_PARAM_RSA_E, 1);
		b = number(key, OSSL_PKEY_PARAM_RSA_N, 1);
		jwk = mem_printf("{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", a, b);
	} else {
		a = number(key, OSSL_PKEY_PARAM_EC_PUB_X, P256_BYTES);
		b = number(key, OSSL_PKEY_PARAM_EC_PUB_Y, P256_BYTES);
		jwk = mem_printf(
			"{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", a, b);
	}
	free(a);
	free(b);
	return jwk;
}

char *acme_key_thumbprint(EVP_PKEY *key)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char *jwk = acme_key_jwk(key);

	SHA256((const unsigned char *)jwk, strlen(jwk), hash);
	free(jwk);
	return enc_base64url(hash, sizeof(hash));
}
