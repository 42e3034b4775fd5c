/* Account keys: read from whatever form they were kept in, and what RFC 7517 and 7638 make of them.
 * Any thread; nothing of files. */
#ifndef LINTEL_ACME_KEY_H
#define LINTEL_ACME_KEY_H

#include <openssl/evp.h>
#include <stddef.h>

#include "base/error.h"

/* PEM or DER; PKCS#8, SEC1 or PKCS#1; EC P-256 or RSA of 2048 bits or more. New; NULL with a
 * sentence. */
EVP_PKEY *acme_key_parse(const void *data, size_t len, struct error *err);
/* The algorithm that JWS signs with: "ES256" or "RS256". */
const char *acme_key_algorithm(EVP_PKEY *key);
/* The public key as a JWK, members in the order of RFC 7638, no white space. A new string. */
char *acme_key_jwk(EVP_PKEY *key);
/* RFC 7638, base64url. A new string. */
char *acme_key_thumbprint(EVP_PKEY *key);

#endif
