#include "dns/propagation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define FIRST_MS 100  /* between the first looks; doubles up to the interval */
#define ASK_MS   6000 /* for one server's answer */

/* The strings of a TXT record as one. */
static bool has_value(const ldns_rr *rr, const char *value)
{
	size_t left = strlen(value);

	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *rdf = ldns_rr_rdf(rr, i);
		const uint8_t *data = ldns_rdf_data(rdf);
		size_t len = ldns_rdf_size(rdf) ? ldns_rdf_size(rdf) - 1 : 0;

		if (len > left || memcmp(data + 1, value, len) != 0)
			return false;
		value += len;
		left -= len;
	}
	return left == 0;
}

static bool answer_has(const ldns_pkt *p, const char *value)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_answer(p)); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);

		if (ldns_rr_get_type(rr) == LDNS_RR_TYPE_TXT && has_value(rr, value))
			return true;
	}
	return false;
}

/* Whether one server has one record. NXDOMAIN, SERVFAIL and silence are "not yet". */
static bool look(const struct dns_job *j, const struct endpoint *server, const char *server_name,
	const struct dns_txt *t, int64_t end_ms, struct error *why)
{
	int64_t until = clock_mono_ms() + ASK_MS;
	const struct dns_limits l = {
		.stop = j->stop, .deadline_ms = until < end_ms ? until : end_ms};
	ldns_pkt *p = dns_ask(server, t->name, LDNS_RR_TYPE_TXT, &l, why);
	char rcode[16];
	bool has;

	if (!p)
		return false;
	has = answer_has(p, t->value);
	if (!has && ldns_pkt_get_rcode(p) == LDNS_RCODE_NOERROR)
		error_set(
			why, "%s has other records at %s, but not this one", server_name, t->name);
	else if (!has)
		error_set(why, "%s answers %s for %s", server_name, dns_rcode_name(p, rcode),
			t->name);
	ldns_pkt_free(p);
	return has;
}

static bool has_all(const struct dns_job *j, const struct dns_servers *s, size_t i,
	const struct dns_txt *const *v, size_t n, int64_t end_ms, struct error *why)
{
	for (size_t t = 0; t < n; t++)
		if (!look(j, &s->v[i], s->names[i], v[t], end_ms, why))
			return false;
	return true;
}

static void say(const struct dns_job *j, const char *server, const char *zone, size_t n)
{
	char text[400];

	if (!j->say)
		return;
	snprintf(text, sizeof(text), "%s has %s of zone %s", server,
		n == 1 ? "the record" : "all records", zone);
	j->say(j->arg, text);
}

int propagation_wait(const struct dns_job *j, const struct dns_servers *servers,
	const struct dns_txt *const *v, size_t n, const struct dns_patience *patience,
	struct error *err)
{
	int64_t begin = clock_mono_ms(), end = begin + patience->timeout_ms, pause = FIRST_MS;
	bool *seen = mem_zalloc(servers->n * sizeof(*seen));
	struct error why = {""};
	size_t left = servers->n;
	int rc = -1;

	if (j->deadline_ms && j->deadline_ms < end)
		end = j->deadline_ms;
	for (;;) {
		for (size_t i = 0; i < servers->n && !stop_is_set(j->stop); i++) {
			if (seen[i] || !has_all(j, servers, i, v, n, end, &why))
				continue;
			seen[i] = true;
			left--;
			say(j, servers->names[i], v[0]->zone, n);
		}
		if (!left) {
			rc = 0;
			break;
		}
		if (pause > patience->interval_ms)
			pause = patience->interval_ms;
		if (stop_is_set(j->stop) || stop_wait(j->stop, pause)) {
			error_set(err, "stopped");
			break;
		}
		pause *= 2;
		if (clock_mono_ms() < end)
			continue;
		error_set(err,
			"the TXT record of %s is not on all name servers of %s after %lld s: %s; "
			"propagation.timeout can be set higher",
			v[0]->name, v[0]->zone, (long long)(clock_mono_ms() - begin) / 1000,
			why.text);
		break;
	}
	free(seen);
	return rc;
}
