#include "acme/jws.h"

#include <json-c/json.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "acme/key.h"
#include "base/enc.h"
#include "base/mem.h"
#include "tls/error.h"

#define ES256_HALF 32 /* bytes of r and of s (RFC 7518, 3.4) */

static void add(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

/* Takes the header. A new string. */
static char *encode_header(struct json_object *header)
{
	const char *text = json_object_to_json_string_ext(
		header, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *encoded = enc_base64url(text, strlen(text));

	json_object_put(header);
	return encoded;
}

static char *flatten(const char *header, const char *payload, const void *signature, size_t len)
{
	char *encoded = enc_base64url(signature, len);
	char *jws = mem_printf("{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}",
		header, payload, encoded);

	free(encoded);
	return jws;
}

/* DER's SEQUENCE of r and s becomes both, one behind the other. */
static bool to_halves(const unsigned char *der, size_t len, unsigned char out[2 * ES256_HALF])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, ES256_HALF) == ES256_HALF &&
		    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + ES256_HALF, ES256_HALF) == ES256_HALF;

	ECDSA_SIG_free(sig);
	return good;
}

static int sign(EVP_PKEY *key, const char *text, unsigned char *out, size_t *len, struct error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char der[1024];
	size_t der_len = sizeof(der);
	bool good =
		ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSign(ctx, der, &der_len, (const unsigned char *)text, strlen(text)) == 1;

	EVP_MD_CTX_free(ctx);
	if (good && EVP_PKEY_is_a(key, "EC")) {
		*len = 2 * ES256_HALF;
		good = to_halves(der, der_len, out);
	} else if (good) {
		*len = der_len;
		memcpy(out, der, der_len);
	}
	return good ? 0 : tls_error_set(err, "cannot sign with the account key");
}

char *jws_sign(EVP_PKEY *key, const char *kid, const char *nonce, const char *url,
	const char *payload, struct error *err)
{
	struct json_object *header = json_object_new_object();
	unsigned char signature[1024];
	char *head, *body, *text, *jwk, *jws = NULL;
	size_t len;

	add(header, "alg", acme_key_algorithm(key));
	if (kid) {
		add(header, "kid", kid);
	} else {
		jwk = acme_key_jwk(key);
		json_object_object_add(header, "jwk", json_tokener_parse(jwk));
		free(jwk);
	}
	if (nonce)
		add(header, "nonce", nonce);
	add(header, "url", url);
	head = encode_header(header);
	body = enc_base64url(payload, strlen(payload));
	text = mem_printf("%s.%s", head, body);
	if (sign(key, text, signature, &len, err) == 0)
		jws = flatten(head, body, signature, len);
	free(text);
	free(body);
	free(head);
	return jws;
}

char *jws_bind(EVP_PKEY *account, const char *kid, const uint8_t *mac_key, size_t mac_len,
	const char *url, struct error *err)
{
	struct json_object *header = json_object_new_object();
	unsigned char mac[EVP_MAX_MD_SIZE];
	char *head, *body, *text, *jwk = acme_key_jwk(account), *jws = NULL;
	unsigned len;

	add(header, "alg", "HS256");
	add(header, "kid", kid);
	add(header, "url", url);
	head = encode_header(header);
	body = enc_base64url(jwk, strlen(jwk));
	text = mem_printf("%s.%s", head, body);
	if (HMAC(EVP_sha256(), mac_key, (int)mac_len, (const unsigned char *)text, strlen(text),
		    mac, &len))
		jws = flatten(head, body, mac, len);
	else
		tls_error_set(err, "cannot sign with eab_hmac");
	free(text);
	free(body);
	free(head);
	free(jwk);
	return jws;
}
