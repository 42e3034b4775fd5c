/* The TXT records of an order: journalled, put out, waited for, removed. */
#include <stdlib.h>
#include <string.h>

#include "acme/challenge.h"
#include "autocert/run.h"
#include "base/clock.h"
#include "base/mem.h"

#define DAY_S 86400

static void on_dns(void *arg, enum dns_progress what, const char *text)
{
	run_say(arg, what == DNS_SEEN ? STEP_SEEN : STEP_WAITING,
		what == DNS_STILL ? LOG_DEBUG : LOG_INFO, "%s", text);
}

static struct dns_job dns_job(struct run *r)
{
	return (struct dns_job){
		.provider = r->dns,
		.autocert = r->a,
		.limits.stop = r->o->stop,
		.say = on_dns,
		.arg = r,
	};
}

int records_open(struct run *r, struct error *err)
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

	run_say(r, STEP_NOTE, LOG_WARN,
		"%zu TXT records of the DNS provider before are left, that of %s in zone %s among "
		"them: remove them by hand",
		s->n_txts, s->txts[0].name, s->txts[0].zone);
	dns_txts_clear(s->txts, s->n_txts);
	free(s->txts);
	s->txts = NULL;
	s->n_txts = 0;
	run_save_or_warn(r);
}

void records_clean_up(struct run *r, int64_t ms)
{
	struct dns_job j;
	struct error err = {""};
	struct state *s = r->state;
	int64_t now = clock_wall_s();
	size_t before;
	bool told;

	state_drop_absent(s); /* what has not come to be put out */
	before = s->n_txts;
	if (!before)
		return;
	if (!conf_is_acme(r->a)) {
		abandon_txts(r);
		return;
	}
	if (records_open(r, &err) == 0) {
		j = dns_job(r);
		j.limits.stop = NULL; /* told to stop or not: this is what must be done still */
		j.limits.deadline_ms = clock_mono_ms() + ms;
		dns_cleanup(&j, s->txts, s->n_txts, &err);
	}
	state_drop_absent(s);
	if (!s->n_txts) {
		s->txts_warned_at = 0;
		run_say(r, STEP_CLEANED, LOG_INFO, "TXT records removed");
	} else {
		told = schedule_is_waiting(s->txts_warned_at, s->txts_warned_at + DAY_S, now);
		if (!told)
			s->txts_warned_at = now;
		run_say(r, STEP_NOTE, told ? LOG_DEBUG : LOG_WARN,
			"%zu of %zu TXT records could not be removed, and will be tried again "
			"later: %s",
			s->n_txts, before, err.text);
	}
	run_save_or_warn(r);
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
					.value = mem_strdup(v[i].value),
					.domain = mem_strdup(v[i].domain),
					.token = mem_strdup(v[i].token),
					.authorization = mem_strdup(v[i].key_authorization)};
		}
	}
	return first;
}

size_t records_at_once(struct run *r, size_t n)
{
	return records_open(r, NULL) == 0 ? dns_at_once(r->dns, n) : n;
}

/* All records at once, then one wait. Each is in the journal before it is out. */
int records_put(struct run *r, const struct acme_challenge *v, size_t n, struct error *err)
{
	struct dns_job j;
	struct dns_txt *txts;
	size_t first, n_txts;

	if (records_open(r, err) < 0)
		return -1;
	j = dns_job(r);
	first = journal(r->state, v, n);
	txts = r->state->txts + first;
	n_txts = r->state->n_txts - first;
	if (dns_locate(&j, txts, n_txts, err) < 0)
		return -1;
	for (size_t i = 0; i < n_txts; i++)
		txts[i].present = true; /* for all that is known from here on */
	free(r->state->dns);
	r->state->dns = mem_strdup(dns_provider_name(r->dns));
	if (run_save(r, err) < 0 || dns_present(&j, txts, n_txts, err) < 0 || run_save(r, err) < 0)
		return -1;
	for (size_t i = 0; i < n_txts; i++)
		run_say(r, STEP_TXT_SET, LOG_INFO, "TXT record of %s set in zone %s", txts[i].name,
			txts[i].zone);
	return dns_wait(&j, txts, n_txts, err);
}
