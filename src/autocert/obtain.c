#include "autocert/obtain.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acme/ari.h"
#include "autocert/key.h"
#include "autocert/run.h"
#include "autocert/store.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define STOP_CLEANUP_MS 1500  /* for records that are out when told to stop */
#define DAY_S           86400 /* the longest wait for ARI */

/* Those of `all` that no other one covers, each once: CAs refuse what a wildcard of the same order
 * covers. */
static void choose_domains(struct conf_strings *to, const struct conf_strings *all)
{
	to->v = mem_zalloc(all->n * sizeof(*to->v));
	for (size_t i = 0; i < all->n; i++) {
		bool needed = true;

		for (size_t j = 0; j < all->n && needed; j++)
			if (strcmp(all->v[i], all->v[j]) == 0 ? j < i
							      : run_covers(all->v[j], all->v[i]))
				needed = false;
		if (needed)
			to->v[to->n++] = all->v[i];
	}
}

static int obtain_from_pseudo(struct run *r, struct error *err)
{
	char *cert_text = NULL, *key_text = NULL;
	int rc = pseudo_mint(r->pseudo, r->a, &cert_text, &key_text, err);

	if (rc == 0)
		rc = run_install(r, cert_text, key_text, err);
	key_pem_free(key_text);
	free(cert_text);
	return rc;
}

/* ---- what follows from it ---- */

/* No failure, no order: all that was is over. */
static void settle(struct run *r)
{
	struct state *s = r->state;

	s->attempts = s->unreachable = 0;
	s->failed_at = s->retry_at = 0;
	run_set_failure(r, NULL);
	run_forget_order(r);
	store_clear_failure(r->a);
}

static void succeed(struct run *r)
{
	struct state *s = r->state;

	r->out->result = OBTAIN_RENEWED;
	s->obtained_at = clock_wall_s();
	s->obtained_until = r->out->cert->not_after;
	free(s->obtained_ca);
	free(s->obtained_account);
	s->obtained_ca = s->order_ca;
	s->obtained_account = s->order_account;
	s->order_ca = s->order_account = NULL;
	settle(r);
}

/* Cut off when the files were in place already: they are of the order that is open. */
static bool is_of_open_order(const struct run *r)
{
	const struct cert *c = r->state->order_url ? r->out->cert : NULL;
	EVP_PKEY *key = c ? store_get_order_key(r->o->conf->state_dir, r->a->id, NULL) : NULL;
	struct cert_parsed parsed = {0};
	bool same = key && cert_parse(c, &parsed, NULL) == 0 && EVP_PKEY_eq(parsed.key, key) == 1;

	cert_parsed_clear(&parsed);
	EVP_PKEY_free(key);
	return same;
}

/* Told to stop: that is no failure, and the same goes on at the next start. */
static void interrupt(struct run *r)
{
	struct state *s = r->state;

	records_clean_up(r, STOP_CLEANUP_MS);
	r->out->result = OBTAIN_STOPPED;
	if (r->noted && !s->order_url && s->attempts) {
		s->attempts--;
		s->retry_at = 0;
	}
	run_save_or_warn(r);
	run_say(r, STEP_NOTE, LOG_INFO, "stopped%s",
		s->order_url ? "; the open order is gone on with later, unless the configuration "
			       "is another one then"
			     : "");
}

static void decide(struct run *r, const struct error *broken, struct error *why);

/* When it is tried again after a failure: not at all before it is due where somebody asked for it
 * and there is no order to go on with. */
static int64_t again_at(struct run *r)
{
	struct error err;

	r->forced = false;
	if (!r->out->cert || r->state->order_url)
		return r->state->retry_at;
	decide(r, &err, &err);
	return obtained_next(r->out);
}

static void fail(struct run *r, const struct error *why)
{
	struct state *s = r->state;
	int64_t now = clock_wall_s();
	bool serves = run_serves(r);
	bool early = r->failure == FAILURE_EARLY;
	char date[CLOCK_RFC3339_SIZE], names[300];
	struct error err;

	if (stop_is_set(r->o->stop)) {
		interrupt(r);
		return;
	}
	records_clean_up(r, RECORDS_MS);
	r->out->result = OBTAIN_FAILED;
	if (early) {
		if (r->noted && !s->order_url && s->attempts)
			s->attempts--; /* it did not come to an order */
		s->unreachable++;
	} else {
		s->attempts += !r->noted;
		s->unreachable = 0;
		run_forget_order(r);
	}
	s->failed_at = now;
	s->retry_at = schedule_retry_at(r->failure, early ? s->unreachable : s->attempts, serves,
		now, r->retry_at, run_draw());
	run_set_failure(r, why->text);
	if (store_mark_failure(r->a, now, &err) < 0)
		run_say(r, STEP_NOTE, LOG_WARN, "%s", err.text);
	run_save_or_warn(r);
	run_say(r, STEP_FAILED, serves ? LOG_WARN : LOG_ERROR, "%s %s failed: %s; tried again %s",
		serves ? "renewing the certificate of" : "getting a certificate for",
		run_names_text(names, &r->domains), why->text,
		clock_rfc3339(date, again_at(r), -1));
}

/* ---- what is there, and what is to be done ---- */

/* What stands in the configuration, and what its files and the environment have of it: somebody who
 * mends a secret there does not touch the configuration. What cannot be read is zeros, so that its
 * return counts too. Where there can be no fingerprint nothing counts as changed. */
static void set_fingerprint(struct run *r)
{
	unsigned char hash[SHA256_DIGEST_LENGTH] = {0};
	struct str s = {0};
	struct error err;

	str_add(&s, r->a->fingerprint, strlen(r->a->fingerprint));
	if (conf_is_acme(r->a) && records_open(r, NULL) == 0)
		dns_provider_hash(r->dns, hash);
	str_add(&s, hash, sizeof(hash));
	for (size_t i = 0; i < r->a->ca_certs.n; i++) {
		file_hash(r->a->ca_certs.v[i], ACME_ROOTS_MAX, hash);
		str_add(&s, hash, sizeof(hash));
	}
	if (store_keyed_hash(r->o->conf->state_dir, s.data, s.len, r->fingerprint, &err) < 0) {
		run_say(r, STEP_NOTE, LOG_WARN, "%s", err.text);
		memcpy(r->fingerprint, r->state->fingerprint, sizeof(r->fingerprint));
	}
	OPENSSL_cleanse(s.data, s.len);
	str_clear(&s);
}

/* What a failure has left behind counts for the configuration that failed only. A state without a
 * fingerprint is new, or of a lintel that did not key it: what it has is taken for ours. */
static void lift_if_changed(struct run *r)
{
	struct state *s = r->state;
	bool changed = *s->fingerprint && strcmp(s->fingerprint, r->fingerprint) != 0;

	memcpy(s->fingerprint, r->fingerprint, sizeof(s->fingerprint));
	if (!changed)
		return;
	s->attempts = s->unreachable = 0;
	s->failed_at = s->retry_at = 0;
	run_set_failure(r, NULL);
	if (s->order_url) {
		run_say(r, STEP_NOTE, LOG_INFO,
			"the order %s is given up: the configuration is another one now",
			s->order_url);
		run_forget_order(r);
	}
	/* They may be another provider's, to whom the names say enough. */
	for (size_t i = 0; i < s->n_txts; i++) {
		free(s->txts[i].handle);
		s->txts[i].handle = NULL;
	}
}

/* A failure mark without a state, of the program before this one or of a state that was lost. */
static void heed_mark(struct run *r)
{
	struct state *s = r->state;
	bool known = *s->fingerprint || s->failed_at;
	int64_t at = known ? 0 : store_last_failure(r->a), now = clock_wall_s();

	if (!at || at > now)
		return;
	s->attempts = 1;
	s->failed_at = at;
	s->retry_at = schedule_retry_at(FAILURE_ORDER, 1, run_serves(r), at, 0, 0);
	run_set_failure(r, "an earlier attempt has failed");
	memcpy(s->fingerprint, r->fingerprint, sizeof(s->fingerprint));
}

/* Sets out->renew_at and out->why; `why` says it in words. */
static void decide(struct run *r, const struct error *broken, struct error *why)
{
	const struct cert *c = r->out->cert;
	struct obtained *out = r->out;
	const struct state *s = r->state;
	int64_t now = clock_wall_s();
	char date[CLOCK_RFC3339_SIZE];

	out->renew_at = 0;
	if (!c) {
		out->why = WHY_MISSING;
		error_set(why, "%s", broken->text);
		return;
	}
	for (size_t i = 0; i < r->a->domains.n; i++) {
		if (run_has_name(c, r->a->domains.v[i]))
			continue;
		out->why = WHY_NAMES;
		error_set(why, "the certificate lacks %s", r->a->domains.v[i]);
		return;
	}
	if (r->pseudo && !pseudo_is_issuer(r->pseudo, c)) {
		out->why = WHY_ISSUER;
		error_set(why, "the certificate is not of this CA");
		return;
	}
	if (conf_is_acme(r->a) && pseudo_has_issued(r->o->conf->state_dir, c)) {
		out->why = WHY_ISSUER;
		error_set(why, "the certificate is of the pseudo CA");
		return;
	}
	if (c->not_before > now && r->pseudo) {
		out->why = WHY_AGE;
		error_set(why, "the certificate is not valid yet");
		return;
	}
	out->renew_at = schedule_renew_at(c->not_before, c->not_after,
		r->pseudo || !ca_ari_is_of(r->state, c) ? 0 : r->state->ari_drawn, &out->why);
	if (c->not_after == s->obtained_until) {
		int64_t again_at = schedule_again_at(s->obtained_at, c->not_after - c->not_before);

		if (out->renew_at < again_at && schedule_is_waiting(s->obtained_at, again_at, now))
			out->renew_at = again_at;
	}
	clock_rfc3339(date, c->not_after, -1);
	if (c->not_after <= now)
		error_set(why, "the certificate has ended %s", date);
	else
		error_set(why, "the certificate ends %s (%s)", date, schedule_why_text(out->why));
	if (r->forced) {
		out->renew_at = 0;
		out->why = WHY_FORCED;
		error_set(why, "somebody asked for it");
	}
}

/* When to ask the CA what it suggests for the certificate that is there; never where that is wanted
 * anyway, or of nobody who could be asked. */
static int64_t ari_due(const struct run *r)
{
	const struct cert *c = r->out->cert;
	int64_t now = clock_wall_s(), at = INT64_MAX, check = r->state->ari_check_at;
	char *id;

	if (!c || !conf_is_acme(r->a) || c->not_after <= now || r->out->renew_at <= now)
		return at;
	id = acme_ari_id(c->leaf, c->leaf_len);
	if (id)
		at = ca_ari_is_of(r->state, c) && schedule_is_waiting(check - DAY_S, check, now)
			     ? check
			     : now;
	free(id);
	return at;
}

/* Whether a certificate that is wanted is to be got now: not within the wait after a failure. */
static bool may_try(const struct run *r)
{
	const struct state *s = r->state;
	int64_t now = clock_wall_s();

	if (r->forced || !schedule_is_waiting(s->failed_at, s->retry_at, now))
		return true;
	if (r->o->first && s->order_url) /* what it waited for may be over */
		return true;
	/* Cut off, without a failure: what is open is gone on with, and a first attempt that was
	 * cut off before the CA's answer is made again. */
	return !s->failure && (s->order_url || s->attempts <= 1);
}

static void warn_of_clock(const struct run *r)
{
	const struct cert *c = r->out->cert;
	char date[CLOCK_RFC3339_SIZE];

	if (c && c->not_before > clock_wall_s())
		run_say(r, STEP_NOTE, LOG_WARN,
			"the certificate is not valid before %s: is the clock of this machine "
			"right?",
			clock_rfc3339(date, c->not_before, -1));
}

/* Why nothing happens, for who has just started lintel or reloaded it. */
static void tell_wait(const struct run *r, const struct error *reason)
{
	const struct state *s = r->state;
	char date[CLOCK_RFC3339_SIZE];

	run_say(r, STEP_NOTE, LOG_WARN, "%s; tried again %s, after a failure%s%s", reason->text,
		clock_rfc3339(date, s->retry_at, -1), s->failure ? ": " : "",
		s->failure ? s->failure : "");
}

/* One that another CA has issued is kept until it is old: that of a test, say. */
static void tell_other_ca(const struct run *r)
{
	const struct state *s = r->state;
	const struct cert *c = r->out->cert;
	char date[CLOCK_RFC3339_SIZE];

	if (c && s->obtained_ca && c->not_after == s->obtained_until &&
		strcmp(s->obtained_ca, r->a->ca_dir_url) != 0)
		run_say(r, STEP_NOTE, LOG_WARN,
			"the certificate is of another CA, %s, and is kept until %s: `lintel "
			"renew %s` gets one of %s now",
			s->obtained_ca, clock_rfc3339(date, r->out->renew_at, -1), r->a->name,
			r->a->ca_dir_url);
}

static void obtain(struct run *r, const struct error *reason)
{
	char names[300];
	struct error err = {""};
	int rc;

	run_say(r, STEP_START, LOG_INFO, "getting a certificate for %s: %s",
		run_names_text(names, &r->domains),
		r->wanted ? reason->text : "an order is open still");
	rc = conf_is_acme(r->a) ? ca_obtain(r, &err) : obtain_from_pseudo(r, &err);
	if (rc < 0) {
		fail(r, &err);
	} else if (rc == 0) {
		succeed(r);
	} else {
		settle(r);
		records_clean_up(r, RECORDS_MS);
	}
}

/* When to look again. */
static void plan(struct run *r)
{
	struct obtained *out = r->out;
	int64_t now = clock_wall_s(), due, check;

	if (out->cert) {
		struct error why;

		r->forced = false; /* the next one is not */
		decide(r, &why, &why);
	}
	if (r->state->order_url)
		out->renew_at = 0; /* it is gone on with */
	due = obtained_next(out);
	check = ari_due(r);
	out->due = schedule_look_at(now, check < due ? check : due);
}

static struct cert *load(struct run *r, struct error *broken)
{
	struct cert *c;

	if (access(r->a->cert_path, F_OK) < 0 && access(r->a->key_path, F_OK) < 0) {
		error_set(
			broken, "there is no certificate yet: %s does not exist", r->a->cert_path);
		return NULL;
	}
	c = cert_load(r->a->cert_path, r->a->key_path, broken);
	if (!c)
		error_prefix(broken, "the certificate cannot be used");
	return c;
}

void obtain_run(const struct obtain *o, struct obtained *out)
{
	struct run r = {.o = o,
		.a = o->autocert,
		.out = out,
		.state = &out->state,
		.account_lock = -1,
		.forced = o->forced,
		.failure = FAILURE_EARLY};
	struct error broken = {""}, why = {""};

	*out = (struct obtained){0};
	choose_domains(&r.domains, &r.a->domains);
	if (store_repair_pair(r.a->cert_path, r.a->key_path, &why) < 0)
		run_say(&r, STEP_NOTE, LOG_WARN, "%s", why.text);
	out->cert = load(&r, &broken);
	if (state_load(r.state, o->conf->state_dir, r.a->id, &why) < 0)
		run_say(&r, STEP_NOTE, LOG_WARN, "%s", why.text);
	set_fingerprint(&r);
	heed_mark(&r);
	lift_if_changed(&r);
	if (r.a->provider == PROVIDER_PSEUDO)
		r.pseudo = pseudo_open(o->conf->state_dir, &why);
	if (r.a->provider == PROVIDER_PSEUDO && !r.pseudo) {
		run_say(&r, STEP_START, LOG_INFO, "the pseudo CA is needed");
		fail(&r, &why);
	} else {
		if (is_of_open_order(&r))
			succeed(&r);
		if (!r.state->order_url)
			records_clean_up(&r, RECORDS_MS);
		warn_of_clock(&r);
		decide(&r, &broken, &why);
		if (ari_due(&r) <= clock_wall_s()) {
			ca_ask_ari(&r);
			decide(&r, &broken, &why);
		}
		r.wanted = clock_wall_s() >= out->renew_at;
		if ((r.wanted || r.state->order_url) && may_try(&r))
			obtain(&r, &why);
		else if (r.wanted && o->fresh)
			tell_wait(&r, &why);
		else if (o->fresh && conf_is_acme(r.a))
			tell_other_ca(&r);
	}
	plan(&r);
	acme_free(r.acme);
	EVP_PKEY_free(r.account);
	store_unlock_account(r.account_lock);
	dns_provider_free(r.dns);
	pseudo_close(r.pseudo);
	free(r.domains.v);
}

int64_t obtained_next(const struct obtained *out)
{
	return out->renew_at > out->state.retry_at ? out->renew_at : out->state.retry_at;
}

void obtained_clear(struct obtained *out)
{
	cert_unref(out->cert);
	state_clear(&out->state);
	*out = (struct obtained){0};
}
