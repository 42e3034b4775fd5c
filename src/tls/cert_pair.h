/* From PEM text to a checked struct cert: which blocks are the leaf, its chain and its key, what
 * the leaf says, and whether the key fits it. Any thread; no I/O. */
#ifndef LINTEL_TLS_CERT_PAIR_H
#define LINTEL_TLS_CERT_PAIR_H

#include <stddef.h>

#include "base/error.h"
#include "tls/cert.h"

struct cert_text {
	const char *label; /* the file, for sentences */
	const char *data;
	size_t len;
};

/* `key` NULL = the key is in `cert` too. New reference, or NULL with a sentence. */
struct cert *cert_from_texts(
	const struct cert_text *cert, const struct cert_text *key, struct error *err);

#endif
