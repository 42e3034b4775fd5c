/* Signed messages (TSIG, RFC 8945): the key as it is configured, what it signs, and what a server
 * says about it. Any thread. */
#ifndef LINTEL_DNS_TSIG_H
#define LINTEL_DNS_TSIG_H

#include <stdbool.h> /* before ldns, which else makes a char of bool */

#include <ldns/ldns.h>
#include <stdint.h>

#include "base/error.h"

struct tsig_key {
	char *name;      /* lower case, without a dot at the end; NULL = nothing is signed */
	char *algorithm; /* "hmac-sha256" */
	char *secret;    /* base64 */
};

/* Checks the three and fills `k`; the algorithm may have any letter case and a dot at the end. The
 * sentence never shows the secret. */
int tsig_key_set(struct tsig_key *k, const char *name, const char *algorithm, const char *secret,
	struct error *err);
/* The same from a file of tsig-keygen's form: key "name" { algorithm X; secret "..."; }; */
int tsig_key_parse(struct tsig_key *k, const char *text, struct error *err);
/* The same, of the file itself; the sentence names it. Blocking. */
int tsig_key_read(struct tsig_key *k, const char *path, struct error *err);
void tsig_key_clear(struct tsig_key *k); /* wipes the secret */

/* Signs, and returns the MAC, which checking the answer needs (new: ldns_rdf_deep_free), or NULL.
 */
ldns_rdf *tsig_sign(const struct tsig_key *k, ldns_pkt *p, struct error *err);
/* Whether the answer says that our signature was good, and is itself signed by the key, now.
 * `wire` is what `p` was read from; `now` in Unix seconds. -1 with a sentence that says which of
 * the two's name, secret, algorithm or clock is wrong. An unsigned answer passes when it is a
 * refusal: nothing is done by it. */
int tsig_check(const struct tsig_key *k, ldns_pkt *p, const uint8_t *wire, size_t len,
	const ldns_rdf *request_mac, int64_t now, struct error *err);

#endif
