#include "dns/propagation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define FIRST_MS 50    /* between the first looks; doubles up to the interval */
#define ASK_MS   6000  /* for one server's answer */
#define STILL_MS 10000 /* from one sentence to the next, when nothing has changed */

struct wait {
	const struct dns_job *job;
	const struct dns_servers *servers;
	const struct dns_txt *const *txts; /* of one zone */
	size_t n;
	size_t *done;      /* of each server: how many of them it has */
	struct limits one; /* for one look */
	int64_t begin_ms, end_ms;
	int64_t said_ms;  /* when it was last said what is waited for */
	struct error why; /* what the last server that was behind said */
};

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

static void say(const struct dns_job *j, enum dns_progress what, const char *text)
{
	if (j->say)
		j->say(j->arg, what, text);
}

static void say_seen(const struct wait *w, const char *server)
{
	char text[400];

	if (w->n == 1)
		snprintf(text, sizeof(text), "%s has the record of zone %s", server,
			w->txts[0]->zone);
	else
		snprintf(text, sizeof(text), "%s has all %zu records of zone %s", server, w->n,
			w->txts[0]->zone);
	say(w->job, DNS_SEEN, text);
}

static bool is_behind(const struct wait *w, size_t i)
{
	return w->servers->v[i].n && w->done[i] < w->n;
}

static size_t count_behind(const struct wait *w)
{
	size_t behind = 0;

	for (size_t i = 0; i < w->servers->n; i++)
		behind += is_behind(w, i);
	return behind;
}

/* What is waited for, and where it is not yet; later on what the last of them has answered, too. */
static void say_waiting(struct wait *w, enum dns_progress what)
{
	int64_t now = clock_mono_ms();
	struct str s = {0};
	bool first = !w->said_ms;

	w->said_ms = now;
	if (first)
		str_addf(&s, "waiting up to %lld s", (long long)(w->end_ms - now + 500) / 1000);
	else
		str_addf(&s, "still waiting after %lld s", (long long)(now - w->begin_ms) / 1000);
	if (w->n == 1)
		str_addf(&s, " for the TXT record of %s to be on", w->txts[0]->name);
	else
		str_addf(
			&s, " for the %zu TXT records of zone %s to be on", w->n, w->txts[0]->zone);
	for (size_t i = 0, n = 0; i < w->servers->n; i++)
		if (is_behind(w, i))
			str_addf(&s, "%s %s", n++ ? "," : "", w->servers->v[i].name);
	if (*w->why.text)
		str_addf(&s, ": %s", w->why.text);
	say(w->job, what, s.data);
	str_clear(&s);
}

/* Goes on with each server at the first record that it has lacked. Returns how many are behind. */
static size_t look_round(struct wait *w)
{
	size_t behind = 0;

	for (size_t i = 0; i < w->servers->n && !stop_is_set(w->job->limits.stop); i++) {
		const struct dns_server *server = &w->servers->v[i];
		struct error why;

		if (!is_behind(w, i))
			continue;
		while (w->done[i] < w->n && look(server, w->txts[w->done[i]], &w->one, &why))
			w->done[i]++;
		if (w->done[i] == w->n) {
			say_seen(w, server->name);
			continue;
		}
		behind++;
		w->why = why;
		if (clock_mono_ms() - w->said_ms >= STILL_MS)
			say_waiting(w, DNS_STILL);
	}
	return behind;
}

/* Until none is behind, or the time is over. */
static int look_on(struct wait *w, int64_t interval_ms, struct error *err)
{
	const struct stop *stop = w->job->limits.stop;
	int64_t pause = FIRST_MS, left;
	size_t behind, before = count_behind(w);

	if (before)
		say_waiting(w, DNS_WAITING);
	for (;;) {
		behind = look_round(w);
		if (stop_is_set(stop))
			return error_set(err, "stopped");
		if (!behind)
			return 0;
		left = w->end_ms - clock_mono_ms();
		if (left <= 0)
			return error_set(err,
				"the TXT records of zone %s are not on all of its name servers "
				"after %lld s: %.500s%s; propagation.timeout can be set higher, "
				"and propagation.servers names others to ask",
				w->txts[0]->zone,
				(long long)(clock_mono_ms() - w->begin_ms + 500) / 1000,
				w->why.text, behind > 1 ? " (nor have others)" : "");
		if (behind != before)
			say_waiting(w, DNS_WAITING);
		before = behind;
		if (pause > interval_ms)
			pause = interval_ms;
		stop_wait(stop, pause < left ? pause : left);
		pause *= 2;
	}
}

int propagation_wait(const struct dns_job *j, const struct dns_servers *servers,
	const struct dns_txt *const *v, size_t n, const struct dns_patience *patience,
	int64_t begin_ms, struct error *err)
{
	/* A look takes the time that it takes; what ends the waiting is looked at between them. */
	int64_t deadline = j->limits.deadline_ms ? j->limits.deadline_ms : INT64_MAX;
	struct wait w = {.job = j,
		.servers = servers,
		.txts = v,
		.n = n,
		.done = mem_zalloc(servers->n * sizeof(*w.done)),
		.one = {.stop = j->limits.stop, .deadline_ms = deadline},
		.begin_ms = begin_ms,
		.end_ms = begin_ms + patience->timeout_ms};
	int rc;

	if (w.end_ms > deadline)
		w.end_ms = deadline;
	rc = look_on(&w, patience->interval_ms, err);
	free(w.done);
	return rc;
}
