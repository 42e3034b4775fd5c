/* A certificate with its chain and key, as files hold them. A struct cert is the cheap form that
 * the table keeps by the hundred thousand: DER and what was read from it by our own walk, no
 * OpenSSL object. A struct cert_parsed is the form that a handshake needs, made on first use by a
 * worker, which keeps it in a bounded cache of its own (worker-local; no locks).
 *
 * struct cert is immutable and refcounted: any thread. */
#ifndef LINTEL_TLS_CERT_H
#define LINTEL_TLS_CERT_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CERT_FILE_MAX (1 << 20) /* bytes; larger files are refused */

/* Which of a name's certificates a signature algorithm can use. */
enum cert_kind { CERT_ECDSA, CERT_RSA, CERT_EDDSA, CERT_KINDS };

struct cert_chain; /* intermediates' DER, shared by the certs that have the same */

struct cert {
	atomic_uint refs;
	enum cert_kind kind;
	bool lacks_chain; /* it comes alone, although somebody between it and a root signed it */
	int64_t not_before, not_after; /* Unix seconds */
	char *file;                    /* where the leaf was read from, for messages */
	const char *const *names;      /* normalised patterns: the leaf's DNS names, else its CN */
	size_t n_names;
	const uint8_t *leaf; /* DER */
	size_t leaf_len;
	const uint8_t *key; /* DER as it stood in the file: PKCS#8, SEC1 or PKCS#1 */
	size_t key_len;
	struct cert_chain *chain;
};

/* Reads and checks a pair. `key_file` NULL = the key is in `cert_file` too. New reference, or NULL
 * with a sentence that names the file and what would mend it (unreadable, world-readable key, not
 * PEM, no certificate, no key, encrypted key, key does not fit the leaf, ...). Blocking. */
struct cert *cert_load(const char *cert_file, const char *key_file, struct error *err);
/* The same from memory; `label` stands for the file in sentences. */
struct cert *cert_from_pem(const char *pem, size_t len, const char *key_pem, size_t key_len,
	const char *label, struct error *err);
struct cert *cert_ref(struct cert *c);
void cert_unref(struct cert *c); /* wipes the key with the last reference */

struct cert_parsed {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) *chain; /* NULL = none */
};

/* Makes OpenSSL's objects (about 130 us). Returns 0, or -1 with a sentence. */
int cert_parse(const struct cert *c, struct cert_parsed *out, struct error *err);
void cert_parsed_clear(struct cert_parsed *p);

/* One worker's parsed certificates, the least recently used dropped beyond `max`. It holds a
 * reference to each cert that it has parsed. */
struct cert_cache;
struct cert_cache *cert_cache_new(size_t max);
void cert_cache_free(struct cert_cache *cache);
/* Borrowed until the next call. NULL with a sentence when it does not parse. */
const struct cert_parsed *cert_cache_get(
	struct cert_cache *cache, struct cert *c, struct error *err);

#endif
