#include "dns/propagation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define FIRST_MS 50   /* between the first looks; doubles up to the interval */
#define ASK_MS   6000 /* for one server's answer */

/* Whether one server has one record. NXDOMAIN, SERVFAIL and silence are "not yet". */
static bool look(const struct dns_server *server, const struct dns_txt *t, const struct limits *l,
	struct error *why)
{
	const struct limits within = limits_within(l, ASK_MS);
	ldns_pkt *p = dns_server_ask(server, t->name, LDNS_RR_TYPE_TXT, &within, why);
	char rcode[DNS_RCODE_SIZE];
	bool has;

	if (!p)
		return false;
	has = dns_has_txt(p, t->value);
	if (!has && ldns_pkt_get_rcode(p) != LDNS_RCODE_NOERROR)
		error_set(why, "%s answers %s for %s", server->name, dns_rcode_name(p, rcode),
			t->name);
	else if (!has && dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_TXT, NULL))
		error_set(
			why, "%s has other values at %s, but not this one", server->name, t->name);
	else if (!has)
		error_set(why, "%s has no TXT record at %s", server->name, t->name);
	ldns_pkt_free(p);
	return has;
}

static void say(const struct dns_job *j, const char *server, const char *zone, size_t n)
{
	char text[400];

	if (!j->say)
		return;
	if (n == 1)
		snprintf(text, sizeof(text), "%s has the record of zone %s", server, zone);
	else
		snprintf(text, sizeof(text), "%s has all %zu records of zone %s", server, n, zone);
	j->say(j->arg, text);
}

/* Goes on with each server at the first record that it has lacked. Returns how many are behind. */
static size_t look_round(const struct dns_job *j, const struct dns_servers *servers, size_t *done,
	const struct dns_txt *const *v, size_t n, const struct limits *l, struct error *why)
{
	size_t behind = 0;

	for (size_t i = 0; i < servers->n && !stop_is_set(j->limits.stop); i++) {
		if (!servers->v[i].n || done[i] == n)
			continue;
		while (done[i] < n && look(&servers->v[i], v[done[i]], l, why))
			done[i]++;
		if (done[i] == n)
			say(j, servers->v[i].name, v[0]->zone, n);
		else
			behind++;
	}
	return behind;
}

int propagation_wait(const struct dns_job *j, const struct dns_servers *servers,
	const struct dns_txt *const *v, size_t n, const struct dns_patience *patience,
	int64_t begin_ms, struct error *err)
{
	/* A look takes the time that it takes; what ends the waiting is looked at between them. */
	const struct limits l = {.stop = j->limits.stop,
		.deadline_ms = j->limits.deadline_ms ? j->limits.deadline_ms : INT64_MAX};
	size_t *done = mem_zalloc(servers->n * sizeof(*done)), behind;
	int64_t end = begin_ms + patience->timeout_ms, pause = FIRST_MS, left;
	struct error why = {""};
	int rc = -1;

	for (;;) {
		behind = look_round(j, servers, done, v, n, &l, &why);
		if (stop_is_set(j->limits.stop)) {
			error_set(err, "stopped");
			break;
		}
		if (!behind) {
			rc = 0;
			break;
		}
		left = (end < l.deadline_ms ? end : l.deadline_ms) - clock_mono_ms();
		if (left <= 0) {
			error_set(err,
				"the TXT records of zone %s are not on all of its name servers "
				"after %lld s: %.500s%s; propagation.timeout can be set higher, "
				"and propagation.servers names others to ask",
				v[0]->zone, (long long)(clock_mono_ms() - begin_ms + 500) / 1000,
				why.text, behind > 1 ? " (nor have others)" : "");
			break;
		}
		if (pause > patience->interval_ms)
			pause = patience->interval_ms;
		stop_wait(j->limits.stop, pause < left ? pause : left);
		pause *= 2;
	}
	free(done);
	return rc;
}
