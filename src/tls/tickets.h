/* The keys that encrypt session tickets. They lie outside any SSL_CTX, so that they survive
 * reloads; a new key every 12 h, the ones before it decrypt for a day more. struct tickets is
 * immutable and refcounted: control makes a rotated one and publishes it with a snapshot. */
#ifndef LINTEL_TLS_TICKETS_H
#define LINTEL_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "base/error.h"

#define TICKETS_ROTATE_S   (12 * 3600)
#define TICKETS_LIFETIME_S (24 * 3600)

struct tickets;

/* A set whose first key is new and whose others are `before`'s (may be NULL), but for the oldest.
 */
struct tickets *tickets_rotate(const struct tickets *before, struct error *err);
struct tickets *tickets_ref(struct tickets *t);
void tickets_unref(struct tickets *t); /* wipes the keys with the last reference */

/* What OpenSSL's ticket callback does, with `t`'s keys (SSL_CTX_set_tlsext_ticket_key_evp_cb). */
int tickets_use(const struct tickets *t, SSL *ssl, unsigned char name[16],
	unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt);

#endif
