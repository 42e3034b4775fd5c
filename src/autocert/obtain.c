#include "autocert/obtain.h"

#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acme/account.h"
#include "acme/ari.h"
#include "acme/client.h"
#include "acme/csr.h"
#include "acme/order.h"
#include "autocert/key.h"
#include "autocert/pseudo.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/provider.h"

#define CLEANUP_MS      10000 /* for records of an earlier run */
#define STOP_CLEANUP_MS 1500  /* for records that are out when told to stop */
#define DAY_S           86400 /* the longest wait for ARI */
#define CLOCK_MAX_S     60    /* that the CA's clock may be away from ours */

struct run {
	const struct obtain *o;
	const struct conf_autocert *a;
	struct obtained *out;
	struct state *state;         /* out->state */
	struct conf_strings domains; /* to be asked for; borrowed strings */
	struct pseudo *pseudo;
	struct acme *acme;
	EVP_PKEY *account;
	int account_lock;
	bool forced; /* as asked, until it is done */
	struct dns_provider *dns;
	enum schedule_failure failure; /* of what kind one would be, now */
	int64_t retry_at;              /* what the CA asks for then; 0 = nothing */
	bool noted;                    /* this attempt is counted in the state */
	struct error why;
};

__attribute__((format(printf, 4, 5))) static void say(
	const struct run *r, enum autocert_step step, enum log_level level, const char *fmt, ...)
{
	char text[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->o->say(r->o->arg, step, level, text);
}

static double draw(void)
{
	uint32_t n = 0;

	RAND_bytes((unsigned char *)&n, sizeof(n));
	return n / 4294967296.0;
}

/* ---- names ---- */

static bool covers(const char *pattern, const char *name)
{
	const char *rest = strchr(name, '.');

	return strcmp(pattern, name) == 0 ||
	       (str_starts(pattern, "*.") && rest && !str_starts(name, "*.") &&
		       strcmp(pattern + 1, rest) == 0);
}

static bool has_name(const struct cert *c, const char *name)
{
	for (size_t i = 0; i < c->n_names; i++)
		if (covers(c->names[i], name))
			return true;
	return false;
}

/* Those of `all` that no other one covers, each once: CAs refuse what a wildcard of the same order
 * covers. */
static void choose_domains(struct conf_strings *to, const struct conf_strings *all)
{
	to->v = mem_zalloc(all->n * sizeof(*to->v));
	for (size_t i = 0; i < all->n; i++) {
		bool needed = true;

		for (size_t j = 0; j < all->n && needed; j++)
			if (strcmp(all->v[i], all->v[j]) == 0 ? j < i
							      : covers(all->v[j], all->v[i]))
				needed = false;
		if (needed)
			to->v[to->n++] = all->v[i];
	}
}

/* "example.org and 3 more" */
static const char *names_text(char out[300], const struct conf_strings *names)
{
	if (names->n > 1)
		snprintf(out, 300, "%s and %zu more", names->v[0], names->n - 1);
	else
		snprintf(out, 300, "%s", names->v[0]);
	return out;
}

/* ---- the state ---- */

/* A disk that cannot be written to must not cost orders: nothing is begun that cannot be noted. */
static int save(const struct run *r, struct error *err)
{
	return state_save(r->state, r->o->conf->state_dir, r->a->id, err);
}

static void save_or_warn(const struct run *r)
{
	struct error err;

	if (save(r, &err) < 0)
		say(r, STEP_NOTE, LOG_WARN, "%s", err.text);
}

static void forget_order(struct run *r)
{
	free(r->state->order_url);
	free(r->state->order_ca);
	r->state->order_url = r->state->order_ca = NULL;
	store_drop_order_key(r->o->conf->state_dir, r->a->id);
}

static void set_failure(struct run *r, const char *text)
{
	free(r->state->failure);
	r->state->failure = mem_strdup(text);
}

/* ---- records ---- */

static void on_dns(void *arg, const char *text)
{
	say(arg, STEP_SEEN, LOG_INFO, "%s", text);
}

static struct dns_job dns_job(struct run *r)
{
	return (struct dns_job){
		.provider = r->dns,
		.autocert = r->a,
		.stop = r->o->stop,
		.say = on_dns,
		.arg = r,
	};
}

static int open_dns(struct run *r, struct error *err)
{
	struct problems p = {0};
	int rc = 0;

	if (r->dns)
		return 0;
	r->dns = dns_provider_new(r->o->conf, r->a, &p);
	if (!r->dns)
		rc = error_set(err, "%s", p.n ? p.lines[0] : "cannot be used");
	problems_clear(&p);
	return rc;
}

/* The provider is `pseudo` now, which knows of no DNS. */
static void abandon_txts(struct run *r)
{
	struct state *s = r->state;

	say(r, STEP_NOTE, LOG_WARN,
		"%zu TXT records of the DNS provider before are left, that of %s in zone %s among "
		"them: remove them by hand",
		s->n_txts, s->txts[0].name, s->txts[0].zone);
	dns_txts_clear(s->txts, s->n_txts);
	free(s->txts);
	s->txts = NULL;
	s->n_txts = 0;
	save_or_warn(r);
}

/* Removes all records that are journalled. What cannot be removed stays so, and is no failure of
 * the certificate. */
static void clean_up(struct run *r, int64_t ms)
{
	struct dns_job j;
	struct error err = {""};
	size_t left = 0;

	if (!r->state->n_txts)
		return;
	if (!conf_is_acme(r->a)) {
		abandon_txts(r);
		return;
	}
	if (open_dns(r, &err) == 0) {
		j = dns_job(r);
		j.stop = NULL; /* told to stop or not: this is what must be done still */
		j.deadline_ms = clock_mono_ms() + ms;
		dns_cleanup(&j, r->state->txts, r->state->n_txts, &err);
	}
	for (size_t i = 0; i < r->state->n_txts; i++) {
		struct dns_txt *t = &r->state->txts[i], kept = *t;

		if (t->present) {
			*t = (struct dns_txt){0};
			r->state->txts[left++] = kept;
		} else {
			dns_txts_clear(t, 1);
		}
	}
	if (left)
		say(r, STEP_NOTE, LOG_WARN,
			"%zu of %zu TXT records could not be removed, and will be tried again "
			"later: %s",
			left, r->state->n_txts, err.text);
	else
		say(r, STEP_CLEANED, LOG_INFO, "TXT records removed");
	r->state->n_txts = left;
	if (!left) {
		free(r->state->txts);
		r->state->txts = NULL;
	}
	save_or_warn(r);
}

static size_t find_txt(const struct state *s, const struct acme_challenge *c)
{
	size_t i = 0;

	while (i < s->n_txts &&
		(strcmp(s->txts[i].fqdn, c->fqdn) != 0 || strcmp(s->txts[i].value, c->value) != 0))
		i++;
	return i;
}

/* Enters the order's records into the journal, behind what earlier orders have left in it and could
 * not be removed, which must not hold this one up. An order that is gone on with has its own there
 * already. Returns the index of the first. */
static size_t journal(struct state *s, const struct acme_challenge *v, size_t n)
{
	size_t first = s->n_txts;

	for (size_t i = 0; i < n; i++) {
		size_t at = find_txt(s, &v[i]);

		if (at < first) {
			struct dns_txt t = s->txts[at];

			s->txts[at] = s->txts[--first];
			s->txts[first] = t;
		} else if (at == s->n_txts) {
			*(struct dns_txt *)mem_grow(&s->txts, s->n_txts++, sizeof(*s->txts)) =
				(struct dns_txt){.fqdn = mem_strdup(v[i].fqdn),
					.value = mem_strdup(v[i].value)};
		}
	}
	return first;
}

/* All records of the order at once, then one wait. Each is in the journal before it is out. */
static int put_records(struct run *r, const struct acme_challenge *v, size_t n, struct error *err)
{
	struct dns_job j;
	struct dns_txt *txts;
	size_t first, n_txts;

	if (open_dns(r, err) < 0)
		return -1;
	j = dns_job(r);
	first = journal(r->state, v, n);
	txts = r->state->txts + first;
	n_txts = r->state->n_txts - first;
	if (dns_locate(&j, txts, n_txts, err) < 0)
		return -1;
	for (size_t i = 0; i < n_txts; i++)
		txts[i].present = true; /* for all that is known from here on */
	if (save(r, err) < 0 || dns_present(&j, txts, n_txts, err) < 0 || save(r, err) < 0)
		return -1;
	for (size_t i = 0; i < n_txts; i++)
		say(r, STEP_TXT_SET, LOG_INFO, "TXT record of %s set in zone %s", txts[i].name,
			txts[i].zone);
	return dns_wait(&j, txts, n_txts, err);
}

/* ---- the order ---- */

/* After a call of acme/ has failed. An order that the CA was only out of reach for is gone on with.
 */
static int ca_failed(struct run *r)
{
	r->retry_at = acme_retry_at(r->acme);
	switch (acme_fault(r->acme)) {
	case ACME_UNREACHABLE:
	case ACME_STOPPED: r->failure = FAILURE_EARLY; break;
	case ACME_INPUT: r->failure = FAILURE_INPUT; break;
	case ACME_RATE_LIMITED:
	case ACME_REFUSED:
	case ACME_NONSENSE: r->failure = FAILURE_ORDER; break;
	case ACME_NONE: break;
	}
	return -1;
}

static int open_account(struct run *r, struct error *err)
{
	const struct acme_eab eab = {r->a->eab_kid, r->a->eab_hmac};
	bool made, is_new;
	int64_t offset;

	r->acme = acme_new(&(struct acme_options){
		.directory_url = r->a->ca_dir_url,
		.ca_certs = &r->a->ca_certs,
		.stop = r->o->stop,
	});
	if (acme_open(r->acme, err) < 0)
		return ca_failed(r);
	offset = acme_clock_offset(r->acme);
	if (llabs(offset) > CLOCK_MAX_S)
		say(r, STEP_NOTE, LOG_WARN,
			"the clock of this machine is %lld s %s that of the CA: set it right",
			llabs(offset), offset > 0 ? "behind" : "ahead of");
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
			error_set(&r->why,
				"%s; are eab_kid and eab_hmac those that the CA gave, "
				"and not expired?",
				err->text);
			*err = r->why;
		}
		return -1;
	}
	say(r, STEP_ACCOUNT, LOG_INFO, "account %s: %s", is_new ? "registered" : "reused",
		acme_account_url(r->acme));
	return 0;
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
			say(r, STEP_ORDER, LOG_INFO, "going on with the open order %s", o->url);
			return 1;
		}
		error_set(&why, "it is not open any more");
		acme_order_clear(o);
	} else if (acme_fault(r->acme) == ACME_UNREACHABLE || acme_fault(r->acme) == ACME_STOPPED) {
		*err = why;
		return ca_failed(r);
	}
	say(r, STEP_NOTE, LOG_INFO, "the order %s is given up: %s", r->state->order_url, why.text);
	forget_order(r);
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
		schedule_retry_at(FAILURE_ORDER, s->attempts, r->out->cert != NULL, now, 0, draw());
	set_failure(r, NULL);
	return store_mark_failure(r->a, now, err) < 0 ? -1 : save(r, err);
}

static int place_order(struct run *r, struct acme_order *o, struct error *err)
{
	const struct cert *old = r->out->cert;
	char *replaces, names[300];
	int rc;

	if (r->a->profile && !acme_knows_profile(r->acme, r->a->profile))
		say(r, STEP_NOTE, LOG_WARN,
			"the CA does not know the profile \"%s\": going on without one",
			r->a->profile);
	if (note_attempt(r, err) < 0)
		return -1;
	replaces = old ? acme_ari_id(old->leaf, old->leaf_len) : NULL;
	rc = acme_order_new(r->acme, &r->domains, r->a->profile, replaces, o, err);
	free(replaces);
	if (rc < 0)
		return ca_failed(r);
	say(r, STEP_ORDER, LOG_INFO, "order placed for %s: %s", names_text(names, &r->domains),
		o->url);
	r->state->order_url = mem_strdup(o->url);
	r->state->order_ca = mem_strdup(r->a->ca_dir_url);
	r->state->unreachable = 0;
	return save(r, err);
}

/* From pending to ready. */
static int prove_control(struct run *r, const struct acme_order *o, struct error *err)
{
	struct acme_challenge *v = NULL;
	size_t n = 0;
	int rc = -1;

	if (acme_order_challenges(r->acme, o, &v, &n, err) < 0) {
		ca_failed(r);
	} else if (n && put_records(r, v, n, err) < 0) {
		r->failure = FAILURE_ORDER;
		error_prefix(err, "DNS-01 by %s",
			r->dns ? dns_provider_name(r->dns) : "the DNS provider");
	} else if (n && acme_challenges_meet(r->acme, v, n, err) < 0) {
		ca_failed(r);
	} else {
		say(r, STEP_VALIDATED, LOG_INFO, "the CA has validated all names");
		rc = 0;
	}
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

	if (csr && acme_order_finalize(r->acme, o, csr, len, err) < 0)
		ca_failed(r);
	else if (csr)
		rc = 0;
	free(csr);
	return rc;
}

/* What the CA has issued is what was asked for. */
static int check_issued(const struct run *r, const struct cert *c, struct error *err)
{
	int64_t now = clock_wall_s();

	for (size_t i = 0; i < r->domains.n; i++)
		if (!has_name(c, r->domains.v[i]))
			return error_set(
				err, "the certificate that was issued lacks %s", r->domains.v[i]);
	if (c->n_names != r->domains.n)
		return error_set(err,
			"the certificate that was issued has %zu names, %zu were asked for",
			c->n_names, r->domains.n);
	if (c->not_after <= now || c->not_after <= c->not_before)
		return error_set(err, "the certificate that was issued has expired already");
	return 0;
}

static int install(struct run *r, const char *cert_text, const char *key_text, struct error *err)
{
	char date[CLOCK_RFC3339_SIZE];
	struct cert *c = cert_from_pem(cert_text, strlen(cert_text), key_text, strlen(key_text),
		"the certificate that was issued", err);

	r->failure = FAILURE_ORDER;
	if (!c || check_issued(r, c, err) < 0)
		goto fail;
	r->failure = FAILURE_EARLY; /* the order is open: a disk that is full costs no new one */
	if (store_write_pair(r->a->cert_path, cert_text, r->a->key_path, key_text, err) < 0)
		goto fail;
	cert_unref(r->out->cert);
	r->out->cert = c;
	say(r, STEP_ISSUED, LOG_INFO, "certificate obtained: %s, valid until %s", r->a->cert_path,
		clock_rfc3339(date, c->not_after, -1));
	return 0;
fail:
	cert_unref(c);
	return -1;
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
		rc = install(r, cert_text, key_text, err);
	key_pem_free(key_text);
	free(cert_text);
	return rc;
}

static int obtain_from_ca(struct run *r, struct error *err)
{
	struct acme_order o = {0};
	EVP_PKEY *key = NULL;
	int rc = -1, resumed;

	if (open_account(r, err) < 0)
		return -1;
	resumed = resume_order(r, &o, err);
	if (resumed < 0 || (!resumed && place_order(r, &o, err) < 0))
		goto out;
	r->noted = true;
	if (o.status == ACME_READY) {
		say(r, STEP_VALIDATED, LOG_INFO,
			"the CA still trusts an earlier validation of all names");
	} else if (o.status == ACME_PENDING) {
		if (prove_control(r, &o, err) < 0)
			goto out;
		clean_up(r, CLEANUP_MS);
		if (acme_order_get(r->acme, o.url, &o, err) < 0) {
			ca_failed(r);
			goto out;
		}
	}
	key = order_key(r, &o, err);
	if (key && finalize(r, &o, key, err) == 0)
		rc = download(r, &o, key, err);
out:
	EVP_PKEY_free(key);
	acme_order_clear(&o);
	return rc;
}

static int obtain_from_pseudo(struct run *r, struct error *err)
{
	char *cert_text = NULL, *key_text = NULL;
	int rc = pseudo_mint(r->pseudo, r->a, &cert_text, &key_text, err);

	if (rc == 0)
		rc = install(r, cert_text, key_text, err);
	key_pem_free(key_text);
	free(cert_text);
	return rc;
}

/* ---- what follows from it ---- */

static void succeed(struct run *r)
{
	struct state *s = r->state;

	r->out->result = OBTAIN_RENEWED;
	s->attempts = s->unreachable = 0;
	s->failed_at = s->retry_at = 0;
	s->obtained_at = clock_wall_s();
	s->obtained_until = r->out->cert->not_after;
	set_failure(r, NULL);
	forget_order(r);
	store_clear_failure(r->a);
	save_or_warn(r);
}

/* Told to stop: that is no failure, and the same goes on at the next start. */
static void interrupt(struct run *r)
{
	struct state *s = r->state;

	clean_up(r, STOP_CLEANUP_MS);
	r->out->result = OBTAIN_STOPPED;
	if (r->noted && !s->order_url && s->attempts) {
		s->attempts--;
		s->retry_at = 0;
	}
	save_or_warn(r);
	say(r, STEP_NOTE, LOG_INFO, "stopped%s",
		s->order_url ? "; the open order is gone on with at the next start" : "");
}

static void fail(struct run *r, const struct error *why)
{
	struct state *s = r->state;
	int64_t now = clock_wall_s();
	bool serves = r->out->cert && r->out->cert->not_after > now;
	bool early = r->failure == FAILURE_EARLY;
	char date[CLOCK_RFC3339_SIZE], names[300];
	struct error err;

	if (stop_is_set(r->o->stop)) {
		interrupt(r);
		return;
	}
	clean_up(r, CLEANUP_MS);
	r->out->result = OBTAIN_FAILED;
	if (early) {
		if (r->noted && !s->order_url && s->attempts)
			s->attempts--; /* it did not come to an order */
		s->unreachable++;
	} else {
		s->attempts += !r->noted;
		s->unreachable = 0;
		forget_order(r);
	}
	s->failed_at = now;
	s->retry_at = schedule_retry_at(
		r->failure, early ? s->unreachable : s->attempts, serves, now, r->retry_at, draw());
	set_failure(r, why->text);
	if (store_mark_failure(r->a, now, &err) < 0)
		say(r, STEP_NOTE, LOG_WARN, "%s", err.text);
	save_or_warn(r);
	say(r, STEP_FAILED, serves ? LOG_WARN : LOG_ERROR, "%s %s failed: %s; tried again %s",
		serves ? "renewing the certificate of" : "getting a certificate for",
		names_text(names, &r->domains), why->text, clock_rfc3339(date, s->retry_at, -1));
}

/* ---- what is there, and what is to be done ---- */

/* What a failure has left behind counts for the configuration that failed only. */
static void lift_if_changed(struct run *r)
{
	struct state *s = r->state;

	if (strcmp(s->fingerprint, r->a->fingerprint) == 0)
		return;
	snprintf(s->fingerprint, sizeof(s->fingerprint), "%s", r->a->fingerprint);
	s->attempts = s->unreachable = 0;
	s->failed_at = s->retry_at = 0;
	set_failure(r, NULL);
	if (s->order_url)
		forget_order(r);
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
	int64_t at = *s->fingerprint ? 0 : store_last_failure(r->a), now = clock_wall_s();

	if (!at || at > now)
		return;
	s->attempts = 1;
	s->failed_at = at;
	s->retry_at = schedule_retry_at(FAILURE_ORDER, 1, r->out->cert != NULL, at, 0, 0);
	set_failure(r, "an earlier attempt has failed");
	snprintf(s->fingerprint, sizeof(s->fingerprint), "%s", r->a->fingerprint);
}

static bool ari_is_of(const struct state *s, const struct cert *c)
{
	char *id = acme_ari_id(c->leaf, c->leaf_len);
	bool same = id && s->ari_id && strcmp(id, s->ari_id) == 0;

	free(id);
	return same;
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
		error_set(why, "there is no certificate yet: %s", broken->text);
		return;
	}
	for (size_t i = 0; i < r->a->domains.n; i++) {
		if (has_name(c, r->a->domains.v[i]))
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
	if (c->not_before > now) {
		say(r, STEP_NOTE, LOG_WARN,
			"the certificate is not valid before %s: is the clock of this machine "
			"right?",
			clock_rfc3339(date, c->not_before, -1));
		if (r->pseudo) {
			out->why = WHY_AGE;
			error_set(why, "the certificate is not valid yet");
			return;
		}
	}
	out->renew_at = schedule_renew_at(c->not_before, c->not_after,
		r->pseudo || !ari_is_of(r->state, c) ? 0 : r->state->ari_drawn, &out->why);
	if (c->not_after == s->obtained_until) {
		int64_t again_at = schedule_again_at(s->obtained_at, c->not_after - c->not_before);

		if (out->renew_at < again_at && schedule_is_waiting(s->obtained_at, again_at, now))
			out->renew_at = again_at;
	}
	error_set(why, "the certificate ends %s (%s)", clock_rfc3339(date, c->not_after, -1),
		schedule_why_text(out->why));
	if (r->forced) {
		out->renew_at = 0;
		out->why = WHY_FORCED;
		error_set(why, "somebody asked for it");
	}
}

/* What the CA suggests for the certificate that is there. No failure of anything. */
static void ask_ari(struct run *r)
{
	struct state *s = r->state;
	const struct cert *c = r->out->cert;
	char *id = acme_ari_id(c->leaf, c->leaf_len);
	int64_t now = clock_wall_s();
	struct error err = {""};
	struct acme_ari ari;

	r->acme = acme_new(&(struct acme_options){
		.directory_url = r->a->ca_dir_url,
		.ca_certs = &r->a->ca_certs,
		.stop = r->o->stop,
	});
	if (!s->ari_id || !id || strcmp(s->ari_id, id) != 0) {
		free(s->ari_id);
		s->ari_id = id;
		id = NULL;
		s->ari_start = s->ari_end = s->ari_drawn = 0;
		s->ari_failures = 0;
	}
	if (!s->ari_id || acme_open(r->acme, &err) < 0 || !acme_has_ari(r->acme) ||
		acme_ari_get(r->acme, s->ari_id, &ari, &err) < 0) {
		s->ari_failures++;
		s->ari_check_at = schedule_ari_retry(now, acme_fault(r->acme) == ACME_UNREACHABLE,
			s->ari_failures, acme_retry_at(r->acme));
		if (*err.text)
			say(r, STEP_NOTE, LOG_DEBUG, "renewal information: %s", err.text);
	} else {
		if (ari.start != s->ari_start || ari.end != s->ari_end) {
			s->ari_start = ari.start;
			s->ari_end = ari.end;
			s->ari_drawn = schedule_draw(ari.start, ari.end, draw());
			if (ari.explanation)
				say(r, STEP_NOTE, LOG_INFO, "the CA explains its window: %s",
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
	save_or_warn(r);
}

static bool ari_is_due(const struct run *r)
{
	const struct cert *c = r->out->cert;
	int64_t now = clock_wall_s(), check = r->state->ari_check_at;

	return c && conf_is_acme(r->a) && c->not_after > now &&
	       (!schedule_is_waiting(check - DAY_S, check, now) || !ari_is_of(r->state, c));
}

/* Whether a certificate that is wanted is to be got now: not within the wait after a failure. */
static bool may_try(const struct run *r)
{
	const struct state *s = r->state;
	int64_t now = clock_wall_s();

	if (r->forced || !schedule_is_waiting(s->failed_at, s->retry_at, now))
		return true;
	/* Cut off, without a failure: what is open is gone on with, and a first attempt that was
	 * cut off before the CA's answer is made again. */
	return !s->failure && (s->order_url || s->attempts <= 1);
}

static void obtain(struct run *r, const struct error *reason)
{
	char names[300];
	struct error err = {""};

	say(r, STEP_START, LOG_INFO, "getting a certificate for %s: %s",
		names_text(names, &r->domains), reason->text);
	if ((conf_is_acme(r->a) ? obtain_from_ca(r, &err) : obtain_from_pseudo(r, &err)) == 0)
		succeed(r);
	else
		fail(r, &err);
}

/* When to look again. */
static void plan(struct run *r)
{
	struct obtained *out = r->out;
	int64_t now = clock_wall_s(), due;

	if (out->result == OBTAIN_RENEWED || (out->result == OBTAIN_KEPT && out->cert)) {
		struct error why;

		r->forced = false; /* the next one is not */
		decide(r, &why, &why);
	}
	due = out->renew_at;
	if (due < r->state->retry_at)
		due = r->state->retry_at;
	if (out->cert && conf_is_acme(r->a) && out->result != OBTAIN_FAILED) {
		int64_t check = ari_is_of(r->state, out->cert) ? r->state->ari_check_at : now;

		if (check < due)
			due = check;
	}
	out->due = schedule_look_at(now, due);
}

static struct cert *load(struct run *r, struct error *broken)
{
	if (access(r->a->cert_path, F_OK) < 0 && access(r->a->key_path, F_OK) < 0) {
		error_set(broken, "%s does not exist", r->a->cert_path);
		return NULL;
	}
	return cert_load(r->a->cert_path, r->a->key_path, broken);
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
	bool wanted;

	*out = (struct obtained){0};
	choose_domains(&r.domains, &r.a->domains);
	if (store_repair_pair(r.a->cert_path, r.a->key_path, &why) < 0)
		say(&r, STEP_NOTE, LOG_WARN, "%s", why.text);
	out->cert = load(&r, &broken);
	if (state_load(r.state, o->conf->state_dir, r.a->id, &why) < 0)
		say(&r, STEP_NOTE, LOG_WARN, "%s", why.text);
	heed_mark(&r);
	lift_if_changed(&r);
	if (r.a->provider == PROVIDER_PSEUDO)
		r.pseudo = pseudo_open(o->conf->state_dir, &why);
	if (r.a->provider == PROVIDER_PSEUDO && !r.pseudo) {
		say(&r, STEP_START, LOG_INFO, "the pseudo CA is needed");
		fail(&r, &why);
	} else {
		if (!r.state->order_url)
			clean_up(&r, CLEANUP_MS);
		decide(&r, &broken, &why);
		wanted = clock_wall_s() >= out->renew_at;
		if (ari_is_due(&r) && !r.forced && !wanted) {
			ask_ari(&r);
			decide(&r, &broken, &why);
			wanted = clock_wall_s() >= out->renew_at;
		}
		if (wanted && may_try(&r))
			obtain(&r, &why);
	}
	plan(&r);
	acme_free(r.acme);
	EVP_PKEY_free(r.account);
	store_unlock_account(r.account_lock);
	dns_provider_free(r.dns);
	pseudo_close(r.pseudo);
	free(r.domains.v);
}

void obtained_clear(struct obtained *out)
{
	cert_unref(out->cert);
	state_clear(&out->state);
	*out = (struct obtained){0};
}
