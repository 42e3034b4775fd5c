/* A certificate from an ACME CA, from the directory to the files, as RFC 8555 has it. */
#include <stdlib.h>
#include <string.h>

#include "acme/account.h"
#include "acme/ari.h"
#include "acme/csr.h"
#include "acme/order.h"
#include "autocert/key.h"
#include "autocert/run.h"
#include "autocert/store.h"
#include "base/clock.h"
#include "base/mem.h"

/* After a call of acme/ has failed. An order that the CA was only out of reach for, or too busy, is
 * gone on with. */
static int ca_failed(struct run *r)
{
	r->retry_at = acme_retry_at(r->acme);
	switch (acme_fault(r->acme)) {
	case ACME_UNREACHABLE:
	case ACME_STOPPED: r->failure = FAILURE_EARLY; break;
	case ACME_INPUT: r->failure = FAILURE_INPUT; break;
	case ACME_RATE_LIMITED: /* of requests where there is an order, which is as good as before
				 */
		r->failure = r->state->order_url && acme_is_busy(r->acme, INT64_MAX)
				     ? FAILURE_EARLY
				     : FAILURE_ORDER;
		break;
	case ACME_REFUSED:
	case ACME_NONSENSE: r->failure = FAILURE_ORDER; break;
	case ACME_NONE: break;
	}
	return -1;
}

/* The conversation with the CA of the configuration begins. */
static int open_ca(struct run *r, struct error *err)
{
	r->acme = acme_new(&(struct acme_options){
		.directory_url = r->a->ca_dir_url,
		.ca_certs = &r->a->ca_certs,
		.stop = r->o->stop,
	});
	return acme_open(r->acme, err);
}

static int open_account(struct run *r, struct error *err)
{
	const struct acme_eab eab = {r->a->eab_kid, r->a->eab_hmac};
	bool made, is_new;
	struct error why;

	if (open_ca(r, err) < 0)
		return ca_failed(r);
	if (acme_check_clock(r->acme, &why) < 0)
		run_say(r, STEP_NOTE, LOG_WARN, "%s", why.text);
	r->account_lock = store_lock_account(r->a->acme_key_path, false, err);
	if (r->account_lock < 0)
		return -1;
	r->account = store_account_key(r->a->acme_key_path, &made, err);
	if (!r->account)
		return -1;
	acme_use_key(r->acme, r->account);
	if (acme_account_open(r->acme, r->a->email, r->a->eab_kid ? &eab : NULL, &is_new, err) <
		0) {
		ca_failed(r);
		if (r->failure == FAILURE_ORDER && r->a->eab_kid &&
			acme_fault(r->acme) == ACME_REFUSED) {
			r->failure = FAILURE_INPUT;
			why = *err;
			error_set(err,
				"%s; are eab_kid and eab_hmac those that the CA gave, "
				"and not expired?",
				why.text);
		}
		return -1;
	}
	run_say(r, STEP_ACCOUNT, LOG_INFO, "account %s: %s", is_new ? "registered" : "reused",
		acme_account_url(r->acme));
	return 0;
}

/* Whether an order that has come to nothing is so young that another one must wait: as long as one
 * that failed when the last failure was, though that itself was to be tried again sooner. */
static bool is_too_soon(const struct run *r)
{
	const struct state *s = r->state;
	int64_t until = schedule_retry_at(
		FAILURE_ORDER, s->attempts, run_serves(r), s->failed_at, s->retry_at, 0);

	return schedule_is_waiting(s->failed_at, until, clock_wall_s());
}

/* The order that was open when the job before this one ended: 1, or 0 without one. */
static int resume_order(struct run *r, struct acme_order *o, struct error *err)
{
	struct error why = {""};

	if (!r->state->order_url)
		return 0;
	if (strcmp(r->state->order_ca, r->a->ca_dir_url) != 0) {
		error_set(&why, "it was placed with another CA");
	} else if (acme_order_get(r->acme, r->state->order_url, o, &why) == 0) {
		if (o->status <= ACME_VALID) {
			run_say(r, STEP_ORDER, LOG_INFO, "going on with the open order %s", o->url);
			return 1;
		}
		error_set(&why, "it is not open any more");
		acme_order_clear(o);
	} else if (acme_fault(r->acme) == ACME_UNREACHABLE || acme_fault(r->acme) == ACME_STOPPED ||
		   acme_is_busy(r->acme, INT64_MAX)) {
		*err = why;
		return ca_failed(r);
	}
	/* It came to nothing while nobody looked: a failure like any other. */
	if (r->wanted && !r->forced && is_too_soon(r)) {
		error_set(
			err, "the order that was open, %s: %.700s", r->state->order_url, why.text);
		r->noted = true;
		r->failure = FAILURE_ORDER; /* "malformed", of a URL, is no error of input */
		r->retry_at = acme_retry_at(r->acme);
		return -1;
	}
	run_say(r, STEP_NOTE, LOG_INFO, "the order %s is given up: %s", r->state->order_url,
		why.text);
	run_forget_order(r);
	return 0;
}

/* The attempt is noted as failed before it is made: no crash can make it one that never was. */
static int note_attempt(struct run *r, struct error *err)
{
	struct state *s = r->state;
	int64_t now = clock_wall_s();
	char *lock = mem_printf("%s/lock", r->o->conf->state_dir);
	int rc = store_check_room(lock, err);

	free(lock);
	if (rc < 0 || store_check_room(r->a->cert_path, err) < 0 ||
		store_check_room(r->a->key_path, err) < 0)
		return -1;
	r->noted = true;
	s->attempts++;
	s->failed_at = now;
	s->retry_at =
		schedule_retry_at(FAILURE_ORDER, s->attempts, run_serves(r), now, 0, run_draw());
	run_set_failure(r, NULL);
	return store_mark_failure(r->a, now, err) < 0 ? -1 : run_save(r, err);
}

/* What an order says that it replaces (RFC 9773, 5): the certificate that is there where this CA
 * issued it to this account; to others it is unknown, and whose it is concerns nobody else. NULL =
 * nothing, as where it is not known who issued it. A new string. */
static char *choose_replaces(const struct run *r)
{
	const struct cert *old = r->out->cert;
	const struct state *s = r->state;

	if (!old || old->not_after != s->obtained_until || !s->obtained_ca ||
		strcmp(s->obtained_ca, r->a->ca_dir_url) != 0 || !s->obtained_account ||
		strcmp(s->obtained_account, acme_account_url(r->acme)) != 0)
		return NULL;
	return acme_ari_id(old->leaf, old->leaf_len);
}

static int place_order(struct run *r, struct acme_order *o, struct error *err)
{
	char *replaces, names[300];
	int rc;

	if (r->a->profile && !acme_knows_profile(r->acme, r->a->profile))
		run_say(r, STEP_NOTE, LOG_WARN,
			"the CA does not know the profile \"%s\": going on without one",
			r->a->profile);
	if (note_attempt(r, err) < 0)
		return -1;
	replaces = choose_replaces(r);
	rc = acme_order_new(r->acme, &r->domains, r->a->profile, replaces, o, err);
	free(replaces);
	if (rc < 0)
		return ca_failed(r);
	run_say(r, STEP_ORDER, LOG_INFO, "order placed for %s: %s",
		run_names_text(names, &r->domains), o->url);
	r->state->order_url = mem_strdup(o->url);
	r->state->order_ca = mem_strdup(r->a->ca_dir_url);
	r->state->order_account = mem_strdup(acme_account_url(r->acme));
	r->state->unreachable = 0;
	return run_save(r, err);
}

static int meet_challenges(struct run *r, struct acme_challenge *v, size_t n, struct error *err)
{
	if (records_put(r, v, n, err) < 0) {
		r->failure = FAILURE_ORDER;
		return error_prefix(err, "DNS-01 by %s",
			r->dns ? dns_provider_name(r->dns) : "the DNS provider");
	}
	run_say(r, STEP_WAITING, LOG_INFO, "waiting for the CA to look at the TXT records");
	if (acme_challenges_meet(r->acme, v, n, err) < 0) {
		ca_failed(r);
		return -1;
	}
	return 0;
}

/* From pending to ready: all challenges at once, where the DNS provider can hold their records. */
static int prove_control(struct run *r, const struct acme_order *o, struct error *err)
{
	struct acme_challenge *v = NULL;
	size_t n = 0;
	int rc = acme_order_challenges(r->acme, o, &r->domains, &v, &n, err);

	if (rc < 0)
		ca_failed(r);
	for (size_t done = 0, some; rc == 0 && done < n; done += some) {
		if (done)
			records_clean_up(r, RECORDS_MS); /* they stand in the way */
		some = records_at_once(r, n - done);
		rc = meet_challenges(r, v + done, some, err);
	}
	if (rc == 0)
		run_say(r, STEP_VALIDATED, LOG_INFO, "the CA has validated all names");
	/* What is pending when told to stop, or out of reach, is gone on with later. */
	if (rc < 0 && r->failure != FAILURE_EARLY && !stop_is_set(r->o->stop))
		acme_challenges_give_up(r->acme, v, n);
	acme_challenges_free(v, n);
	return rc;
}

/* A new key for each certificate; the one of an order that is past its CSR. */
static EVP_PKEY *order_key(struct run *r, const struct acme_order *o, struct error *err)
{
	const char *dir = r->o->conf->state_dir;
	EVP_PKEY *key;

	if (o->status == ACME_PROCESSING || o->status == ACME_VALID) {
		key = store_get_order_key(dir, r->a->id, err);
		if (!key) {
			r->failure = FAILURE_ORDER;
			error_prefix(err, "the key of the open order is lost");
		}
		return key;
	}
	key = key_make(r->a->key_type, err);
	if (key && store_put_order_key(dir, r->a->id, key, err) < 0) {
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static int finalize(struct run *r, struct acme_order *o, EVP_PKEY *key, struct error *err)
{
	size_t len;
	uint8_t *csr = acme_csr_make(key, &r->domains, &len, err);
	int rc = -1;

	run_say(r, STEP_WAITING, LOG_INFO, "waiting for the CA to issue the certificate");
	if (csr && acme_order_finalize(r->acme, o, csr, len, err) < 0)
		ca_failed(r);
	else if (csr)
		rc = 0;
	free(csr);
	return rc;
}

static int download(struct run *r, const struct acme_order *o, EVP_PKEY *key, struct error *err)
{
	char *cert_text = acme_order_download(r->acme, o, r->a->preferred_chain, err);
	char *key_text = NULL;
	int rc = -1;

	if (!cert_text)
		return ca_failed(r);
	key_text = key_pem(key, err);
	if (key_text)
		rc = run_install(r, cert_text, key_text, err);
	key_pem_free(key_text);
	free(cert_text);
	return rc;
}

int ca_obtain(struct run *r, struct error *err)
{
	struct acme_order o = {0};
	EVP_PKEY *key = NULL;
	int rc = -1, resumed;

	if (open_account(r, err) < 0)
		return -1;
	resumed = resume_order(r, &o, err);
	if (!resumed && !r->wanted)
		return 1;
	if (resumed < 0 || (!resumed && place_order(r, &o, err) < 0))
		goto out;
	r->noted = true;
	if (o.status == ACME_READY) {
		run_say(r, STEP_VALIDATED, LOG_INFO,
			"the CA still trusts an earlier validation of all names");
	} else if (o.status == ACME_PENDING) {
		if (prove_control(r, &o, err) < 0)
			goto out;
		records_clean_up(r, RECORDS_MS);
	}
	key = order_key(r, &o, err);
	if (key && finalize(r, &o, key, err) == 0)
		rc = download(r, &o, key, err);
out:
	EVP_PKEY_free(key);
	acme_order_clear(&o);
	return rc;
}

bool ca_ari_is_of(const struct state *s, const struct cert *c)
{
	char *id = acme_ari_id(c->leaf, c->leaf_len);
	bool same = id && s->ari_id && strcmp(id, s->ari_id) == 0;

	free(id);
	return same;
}

void ca_ask_ari(struct run *r)
{
	struct state *s = r->state;
	const struct cert *c = r->out->cert;
	char *id = acme_ari_id(c->leaf, c->leaf_len);
	int64_t now = clock_wall_s();
	struct error err = {""};
	struct acme_ari ari;

	if (!s->ari_id || !id || strcmp(s->ari_id, id) != 0) {
		free(s->ari_id);
		s->ari_id = id;
		id = NULL;
		s->ari_start = s->ari_end = s->ari_drawn = 0;
		s->ari_failures = 0;
	}
	if (open_ca(r, &err) < 0 || !s->ari_id || !acme_has_ari(r->acme) ||
		acme_ari_get(r->acme, s->ari_id, &ari, &err) < 0) {
		s->ari_failures++;
		s->ari_check_at = schedule_ari_retry(now, acme_fault(r->acme) == ACME_UNREACHABLE,
			s->ari_failures, acme_retry_at(r->acme));
		if (*err.text)
			run_say(r, STEP_NOTE, LOG_DEBUG, "renewal information: %s", err.text);
	} else {
		if (ari.start != s->ari_start || ari.end != s->ari_end) {
			s->ari_start = ari.start;
			s->ari_end = ari.end;
			s->ari_drawn = schedule_draw(ari.start, ari.end, run_draw());
			if (ari.explanation)
				run_say(r, STEP_NOTE, LOG_INFO, "the CA explains its window: %s",
					ari.explanation);
		}
		free(s->ari_explanation);
		s->ari_explanation = mem_strdup(ari.explanation);
		s->ari_failures = 0;
		s->ari_check_at =
			schedule_ari_check(now, ari.retry_at, c->not_after - c->not_before);
		acme_ari_clear(&ari);
	}
	free(id);
	acme_free(r->acme);
	r->acme = NULL;
	run_save_or_warn(r);
}
