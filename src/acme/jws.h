/* JSON Web Signatures (RFC 7515) in the flattened form that ACME wants (RFC 8555, 6.2). Any thread.
 */
#ifndef LINTEL_ACME_JWS_H
#define LINTEL_ACME_JWS_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* `kid` NULL: the header carries the public key instead; `nonce` NULL: it has none (the inner JWS
 * of a key change). `payload` "" is a POST-as-GET. A new string; NULL with a sentence. */
char *jws_sign(EVP_PKEY *key, const char *kid, const char *nonce, const char *url,
	const char *payload, struct error *err);

/* An external account binding (RFC 8555, 7.3.4): the account's public key, signed by the MAC key
 * that the CA gave. */
char *jws_bind(EVP_PKEY *account, const char *kid, const uint8_t *mac_key, size_t mac_len,
	const char *url, struct error *err);

#endif
