#include "dns/sets.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define TRIES 5 /* of a change, when others change the same sets meanwhile */

static const struct dns_sets_ops *ops_of(const struct dns_job *j)
{
	return j->provider->ops->sets;
}

void dns_set_add(struct conf_strings *set, const char *value)
{
	*(char **)mem_grow(&set->v, set->n++, sizeof(*set->v)) = mem_strdup(value);
}

static void set_clear(struct conf_strings *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->v[i]);
	free(set->v);
	*set = (struct conf_strings){0};
}

/* Where it is; set->n = it is not there. */
static size_t find_value(const struct conf_strings *set, const char *value)
{
	size_t i = 0;

	while (i < set->n && !dns_is_value(set->v[i], value))
		i++;
	return i;
}

bool dns_set_has(const struct conf_strings *set, const char *value)
{
	return find_value(set, value) < set->n;
}

/* The records' values are put into the set of what is there, or taken out. Whether that changed it.
 */
static bool merge(struct conf_strings *set, struct dns_txt *const *v, size_t n, bool add, bool bare)
{
	bool changed = false;

	for (size_t i = 0; i < n; i++) {
		size_t at = find_value(set, v[i]->value);
		char *shown;

		if (add == (at < set->n))
			continue;
		changed = true;
		if (!add) {
			free(set->v[at]);
			memmove(&set->v[at], &set->v[at + 1], (--set->n - at) * sizeof(*set->v));
			continue;
		}
		shown = mem_printf(bare ? "%s" : "\"%s\"", v[i]->value);
		dns_set_add(set, shown);
		free(shown);
	}
	return changed;
}

static void clear(struct dns_set *s)
{
	set_clear(&s->old);
	set_clear(&s->wanted);
	json_object_put(s->shown);
}

static size_t size_of(const struct conf_strings *set)
{
	size_t size = 0;

	for (size_t i = 0; i < set->n; i++)
		size += strlen(set->v[i]) + DNS_VALUE_EXTRA;
	return size;
}

/* Reads the set of a name's records. 1 = it is to be changed. */
static int plan_set(const struct dns_job *j, struct dns_set *s, struct dns_txt *const *v, size_t n,
	bool add, struct error *err)
{
	const struct dns_sets_ops *ops = ops_of(j);
	int rc;

	*s = (struct dns_set){.t = v[0], .ttl = j->provider->ttl};
	rc = ops->read(j, s, err);
	for (size_t i = 0; i < s->old.n; i++)
		dns_set_add(&s->wanted, s->old.v[i]);
	return rc < 0 ? rc : merge(&s->wanted, v, n, add, ops->bare);
}

/* Puts into the change what becomes of the names from v[*at] on, as much as goes into it. */
static int plan(const struct dns_job *j, struct dns_change *c, size_t *at, struct error *err)
{
	struct dns_txt **same = mem_zalloc(c->n_v * sizeof(struct dns_txt *));
	const size_t room = ops_of(j)->room;
	size_t used = 0;
	int rc = 0;

	for (; rc >= 0 && *at < c->n_v; ++*at) {
		size_t count = dns_same_name(c->v, c->n_v, *at, same), size;
		struct dns_set s;

		if (!count)
			continue;
		rc = plan_set(j, &s, same, count, c->add, err);
		size = size_of(s.old.n > s.wanted.n ? &s.old : &s.wanted);
		if (rc != 1 || (room && c->n && used + size > room)) {
			clear(&s);
			if (rc == 1) /* it is full */
				break;
			continue;
		}
		used += size;
		*(struct dns_set *)mem_grow(&c->sets, c->n++, sizeof(*c->sets)) = s;
	}
	free(same);
	return rc < 0 ? rc : 0;
}

/* About the polling interval, but not as long as those pause who do the same; half of what is left
 * at most, so that a cleanup in a hurry has its second try. False when told to stop, or when
 * nothing is left. */
static bool pause_for_others(const struct dns_job *j)
{
	int64_t ms = j->provider->patience.interval_ms,
		left = j->limits.deadline_ms - clock_mono_ms();
	uint32_t random;

	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		abort();
	ms = ms / 2 + random % (ms / 2 + 1);
	return left > 0 && !stop_wait(j->limits.stop, ms < left / 2 ? ms : left / 2);
}

/* Reads and writes, within the account's turn. */
static int change_some(const struct dns_job *j, struct dns_change *c, size_t *at, struct error *err)
{
	struct http_account *account = ((const struct http_api *)j->provider->own)->account;
	const size_t from = *at;
	int rc = DNS_CONFLICT;

	for (unsigned tries = 0; rc == DNS_CONFLICT && tries < TRIES; tries++) {
		if (tries && !pause_for_others(j))
			break;
		if (http_account_enter(account, HTTP_CHANGE, &j->limits, err) < 0)
			return -1;
		*at = from;
		rc = plan(j, c, at, err);
		if (rc == 0 && c->n)
			rc = ops_of(j)->write(j, c, err);
		http_account_leave(account, HTTP_CHANGE);
		for (size_t i = 0; i < c->n; i++)
			clear(&c->sets[i]);
		free(c->sets);
		c->sets = NULL;
		c->n = 0;
	}
	if (rc == DNS_CONFLICT && stop_is_set(j->limits.stop))
		rc = error_set(err, "stopped");
	if (rc == DNS_CONFLICT)
		rc = error_prefix(err, "somebody else changes them all the time");
	return rc;
}

/* Until all of the provider's name servers have it. */
static int wait_done(const struct dns_job *j, const struct dns_change *c, struct error *err)
{
	const struct dns_sets_ops *ops = ops_of(j);
	const int64_t interval = j->provider->patience.interval_ms;
	struct dns_job patient = *j;
	int rc;

	patient.limits = limits_within(&j->limits, j->provider->patience.timeout_ms);
	while ((rc = ops->is_done(&patient, c, err)) == 0) {
		if (clock_mono_ms() + interval >= patient.limits.deadline_ms)
			return error_set(err, "%s", ops->late);
		if (stop_wait(j->limits.stop, interval))
			return error_set(err, "stopped");
	}
	return rc < 0 ? rc : 0;
}

static int change(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add, struct error *err)
{
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && at < n) {
		struct dns_change c = {.v = v, .n_v = n, .add = add};

		rc = change_some(j, &c, &at, err);
		if (rc == 0 && c.id)
			rc = wait_done(j, &c, err);
		free(c.id);
	}
	return rc;
}

int dns_sets_present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return change(j, v, n, true, err);
}

int dns_sets_cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return change(j, v, n, false, err);
}
