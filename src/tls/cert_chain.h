/* The intermediates behind a leaf. Thousands of certificates share few chains: one that has been
 * seen before is found again by its bytes in a struct cert_chain_set, which lives while a table is
 * built. Chains are refcounted, immutable but for OpenSSL's objects, which are made once, under the
 * chain's lock. Any thread. */
#ifndef LINTEL_TLS_CERT_CHAIN_H
#define LINTEL_TLS_CERT_CHAIN_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cert_chain;

/* From certificates' DER, one behind the other. New reference. */
struct cert_chain *cert_chain_new(const uint8_t *der, size_t len);
struct cert_chain *cert_chain_ref(struct cert_chain *c); /* NULL gives NULL */
void cert_chain_unref(struct cert_chain *c);

/* The chain as OpenSSL has it. Borrowed from the chain; NULL with a sentence. */
STACK_OF(X509) *cert_chain_x509s(struct cert_chain *c, struct error *err);

struct cert_chain_set;
struct cert_chain_set *cert_chain_set_new(void);
void cert_chain_set_free(struct cert_chain_set *set);
/* Takes `c` and returns the set's chain with the same bytes, which may be `c`: a reference of the
 * caller's. */
struct cert_chain *cert_chain_intern(struct cert_chain_set *set, struct cert_chain *c);

#endif
