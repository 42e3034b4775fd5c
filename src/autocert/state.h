/* What must outlast a restart of a provider beside its files: failures in a row, the order that is
 * open, TXT records that may be out, the renewal time that the CA suggests. One JSON file,
 * state_dir/autocert/<id>.json, 0600, no secrets in it. Blocking: a job. */
#ifndef LINTEL_AUTOCERT_STATE_H
#define LINTEL_AUTOCERT_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dns/provider.h"

#define STATE_FILE_MAX (1 << 20) /* bytes */

struct state {
	/* Of the configuration that failures and the order belong to, and of what the files that
	 * it names hold: store_keyed_hash(). "" = not known. */
	char fingerprint[65];
	/* Orders in a row that came to nothing, counted before they are placed, and times in a row
	 * that it did not even come to an order. */
	unsigned attempts, unreachable;
	int64_t failed_at, retry_at; /* Unix seconds; 0 = none */
	char *failure;               /* the last sentence; NULL = none since a success */
	/* The last success, until when what it gave is valid, and from whom: the CA's directory and
	 * the account's URL; NULL = not known, or of the pseudo CA. */
	int64_t obtained_at, obtained_until;
	char *obtained_ca, *obtained_account;
	/* The order that is open, and with whom; order_url and order_ca are there together. */
	char *order_url, *order_ca, *order_account;
	struct dns_txt *txts; /* that may be out */
	size_t n_txts;
	int64_t txts_warned_at; /* when somebody was told that they cannot be removed; 0 = not */
	char *dns;              /* the DNS provider that they were written by; NULL = not known */
	/* What the CA suggests for the certificate of this ARI id (RFC 9773). */
	char *ari_id, *ari_explanation;
	int64_t ari_start, ari_end, ari_drawn; /* 0 = nothing suggested */
	int64_t ari_check_at;
	unsigned ari_failures;
};

/* A file that is missing gives an empty one, so does a broken one, which is kept aside with a
 * warning. -1 where it is there but cannot be read. */
int state_load(struct state *s, const char *state_dir, const char *id, struct error *err);
int state_save(const struct state *s, const char *state_dir, const char *id, struct error *err);
/* From its text, which may hold anything and has a NUL at text[len]. */
int state_parse(struct state *s, const char *text, size_t len, struct error *err);
/* Takes the TXT records that are not out (any more) from the journal. */
void state_drop_absent(struct state *s);
void state_clear(struct state *s); /* may be used again */

#endif
