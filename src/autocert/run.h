/* One look at a provider, as the parts of obtain.c share it: what it knows, and what they all do.
 * For this folder; the job's thread. */
#ifndef LINTEL_AUTOCERT_RUN_H
#define LINTEL_AUTOCERT_RUN_H

#include "acme/challenge.h"
#include "acme/client.h"
#include "autocert/obtain.h"
#include "autocert/pseudo.h"
#include "dns/provider.h"

struct run {
	const struct obtain *o;
	const struct conf_autocert *a;
	struct obtained *out;
	struct state *state;         /* out->state */
	struct conf_strings domains; /* to be asked for; borrowed strings */
	char fingerprint[65];        /* as in the state */
	struct pseudo *pseudo;
	struct acme *acme;
	EVP_PKEY *account;
	int account_lock;
	bool forced; /* as asked, until it is done */
	struct dns_provider *dns;
	enum schedule_failure failure; /* of what kind one would be, now */
	int64_t retry_at;              /* what the CA asks for then; 0 = nothing */
	bool noted;                    /* this attempt is counted in the state */
	bool wanted;                   /* a new certificate; else an order is open still */
};

void run_say(const struct run *r, enum autocert_step step, enum log_level level, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
double run_draw(void); /* in [0, 1) */

/* Whether `pattern` is the name, or the wildcard that it lies under. */
bool run_covers(const char *pattern, const char *name);
bool run_has_name(const struct cert *c, const char *name);
/* "example.org and 3 more". Returns `out`. */
const char *run_names_text(char out[300], const struct conf_strings *names);

/* Whether there is a certificate that can still be served. */
bool run_serves(const struct run *r);

/* Writes the state: nothing is begun that cannot be noted. */
int run_save(const struct run *r, struct error *err);
void run_save_or_warn(const struct run *r);
void run_forget_order(struct run *r);                  /* and saves */
void run_set_failure(struct run *r, const char *text); /* NULL = none */

/* Checks the pair that was issued, and puts it in its place and into out->cert. */
int run_install(struct run *r, const char *cert_text, const char *key_text, struct error *err);

/* records.c: TXT records, each in the journal before it is out. */
/* Makes r->dns, unless it is there already. */
int records_open(struct run *r, struct error *err);
/* How many of `n` records may be out at the same time. */
size_t records_at_once(struct run *r, size_t n);
int records_put(struct run *r, const struct acme_challenge *v, size_t n, struct error *err);
/* Removes all that are journalled, within `ms`. What cannot be removed stays so, and is no failure
 * of the certificate: a warning, once a day. */
void records_clean_up(struct run *r, int64_t ms);
#define RECORDS_MS 10000 /* that removing them may take */

/* ca.c: from the directory to the files, by an ACME CA. 0, -1, or 1 where the order that was open
 * is not any more, and no other is wanted. */
int ca_obtain(struct run *r, struct error *err);
/* What the CA suggests for the certificate that is there. No failure of anything. */
void ca_ask_ari(struct run *r);
/* Whether what it has suggested is about this certificate. */
bool ca_ari_is_of(const struct state *s, const struct cert *c);

#endif
