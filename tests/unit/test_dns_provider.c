/* Records of an order: what is sent to the name server, and what its answers come to. */
#include "dns/provider.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "dns/propagation.h"
#include "nameserver.h"

#define UPDATES_MAX 8

static char file[] = "f", state_dir[] = "/", key[] = "nameserver", zones[] = "zones",
	    name[] = "main", other[] = "v2";

/* A server of the zones one.test and two.test, which notes the updates that come. */
struct primary {
	struct nameserver server;
	char updates[UPDATES_MAX][600];
	atomic_int n;
	int rcodes[UPDATES_MAX]; /* of the answers to them; -1 = none, the connection is closed */
	atomic_int looks;        /* questions for TXT */
	int ready_at;            /* looks after which the record is there */
	int rcode;               /* until then */
};

/* Each record of the sections as "name TYPE class ttl data;", and a "|" between them. */
static void note(struct primary *z, const ldns_pkt *p)
{
	char *out = z->updates[atomic_load(&z->n)], *all;
	struct ldns_struct_rr_list *sections[2] = {ldns_pkt_answer(p), ldns_pkt_authority(p)};
	size_t len = 0;

	for (size_t s = 0; s < 2; s++) {
		for (size_t i = 0; i < ldns_rr_list_rr_count(sections[s]); i++) {
			all = ldns_rr2str(ldns_rr_list_rr(sections[s], i));
			for (char *c = all; *c; c++)
				*c = *c == '\t' ? ' ' : *c == '\n' ? ';' : *c;
			len += (size_t)snprintf(out + len, sizeof(z->updates[0]) - len, "%s", all);
			free(all);
		}
		if (!s)
			len += (size_t)snprintf(out + len, sizeof(z->updates[0]) - len, "|");
	}
}

static void on_update(struct primary *z, struct nameserver *s, const ldns_pkt *p)
{
	int n = atomic_load(&z->n), rcode = z->rcodes[n];

	note(z, p);
	atomic_store(&z->n, n + 1);
	if (rcode >= 0)
		nameserver_reply(s, nameserver_answer(p, (ldns_pkt_rcode)rcode));
}

static void primary(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	struct primary *z = s->arg;
	char asked[300];
	ldns_pkt *p;

	if (ldns_pkt_get_opcode(question) == LDNS_PACKET_UPDATE) {
		on_update(z, s, question);
		return;
	}
	nameserver_asked(question, asked);
	p = nameserver_answer(question, LDNS_RCODE_NOERROR);
	if (strstr(asked, "/TXT") && atomic_fetch_add(&z->looks, 1) >= z->ready_at)
		nameserver_add(p, LDNS_SECTION_ANSWER, "x. TXT \"v1\"");
	else if (strstr(asked, "/TXT"))
		ldns_pkt_set_rcode(p, (ldns_pkt_rcode)z->rcode);
	else if (strstr(asked, "/SOA"))
		nameserver_add(p, LDNS_SECTION_AUTHORITY,
			strstr(asked, "one.test") ? "one.test. SOA a. b. 1 2 3 4 5"
						  : "two.test. SOA a. b. 1 2 3 4 5");
	nameserver_reply(s, p);
}

struct fixture {
	struct primary z;
	struct conf conf;
	struct conf_autocert a;
	struct conf_option options[1];
	char *servers[1];
	struct dns_provider *provider;
	struct dns_job job;
	struct error err;
	char said[3][400]; /* the last of each kind */
};

static void on_say(void *arg, enum dns_progress what, const char *text)
{
	struct fixture *f = arg;

	snprintf(f->said[what], sizeof(f->said[what]), "%s", text);
}

static void begin(struct fixture *f)
{
	struct problems p = {0};

	*f = (struct fixture){.conf = {.file = file, .state_dir = state_dir}};
	nameserver_start(&f->z.server, primary, &f->z);
	f->servers[0] = f->z.server.text;
	f->options[0] = (struct conf_option){.key = key, .values = {f->servers, 1}};
	f->a = (struct conf_autocert){.name = name,
		.provider = PROVIDER_RFC2136,
		.options = f->options,
		.n_options = 1,
		.resolvers = {f->servers, 1},
		.propagation = {.servers = {f->servers, 1},
			.has_timeout = true,
			.timeout_ms = 10000,
			.interval_ms = 2000}};
	f->conf.providers = &f->a;
	f->conf.n_providers = 1;
	f->provider = dns_provider_new(&f->conf, &f->a, &p);
	assert_non_null(f->provider);
	assert_string_equal(dns_provider_name(f->provider), "rfc2136");
	f->job = (struct dns_job){
		.provider = f->provider, .autocert = &f->a, .say = on_say, .arg = f};
}

static void end(struct fixture *f)
{
	dns_provider_free(f->provider);
	nameserver_stop(&f->z.server);
}

static struct dns_txt txt(const char *fqdn, const char *value)
{
	return (struct dns_txt){.fqdn = mem_strdup(fqdn), .value = mem_strdup(value)};
}

/* One update for each zone, of all its records; a cleanup names each record, and never a set. */
static void what_is_sent(void **state)
{
	struct dns_txt v[4] = {txt("_a.one.test", "v1"), txt("_a.one.test", "v2"),
		txt("_A.Two.test.", "v3"), txt("_b.one.test", "v4")};
	struct fixture f;

	begin(&f);
	assert_int_equal(dns_locate(&f.job, v, 4, &f.err), 0);
	assert_string_equal(v[2].fqdn, "_A.Two.test.");
	assert_string_equal(v[2].name, "_a.two.test");
	assert_string_equal(v[2].zone, "two.test");
	assert_string_equal(v[3].zone, "one.test");
	assert_int_equal(dns_present(&f.job, v, 4, &f.err), 0);
	assert_int_equal(f.z.n, 2);
	assert_string_equal(f.z.updates[0],
		"_a.one.test. 0 NONE CNAME \\# 0;_b.one.test. 0 NONE CNAME \\# 0;|"
		"_a.one.test. 120 IN TXT \"v1\";_a.one.test. 120 IN TXT \"v2\";"
		"_b.one.test. 120 IN TXT \"v4\";");
	assert_string_equal(
		f.z.updates[1], "_a.two.test. 0 NONE CNAME \\# 0;|_a.two.test. 120 IN TXT \"v3\";");
	assert_true(v[0].present && v[1].present && v[2].present && v[3].present);
	v[1].present = false;
	assert_int_equal(dns_cleanup(&f.job, v, 4, &f.err), 0);
	assert_string_equal(
		f.z.updates[2], "|_a.one.test. 0 NONE TXT \"v1\";_b.one.test. 0 NONE TXT \"v4\";");
	assert_string_equal(f.z.updates[3], "|_a.two.test. 0 NONE TXT \"v3\";");
	assert_false(v[0].present || v[2].present || v[3].present);
	assert_int_equal(dns_cleanup(&f.job, v, 4, &f.err), 0); /* nothing is left to do */
	assert_int_equal(f.z.n, 4);
	dns_txts_clear(v, 4);
	end(&f);
}

/* Where zones are configured, one lies in another, and the order says nothing. */
static void the_innermost_zone_is_meant(void **state)
{
	char *configured[] = {(char[]){"one.test"}, (char[]){"sub.one.test"}, (char[]){"test"}};
	struct dns_txt v[2] = {txt("_a.sub.one.test", "v1"), txt("_a.one.test", "v2")};
	struct conf_option options[2];
	struct problems p = {0};
	struct fixture f;

	begin(&f);
	dns_provider_free(f.provider);
	options[0] = f.options[0];
	options[1] = (struct conf_option){.key = zones, .values = {configured, 3}};
	f.a.options = options;
	f.a.n_options = 2;
	f.job.provider = f.provider = dns_provider_new(&f.conf, &f.a, &p);
	assert_non_null(f.provider);
	assert_int_equal(dns_locate(&f.job, v, 2, &f.err), 0);
	assert_string_equal(v[0].zone, "sub.one.test");
	assert_string_equal(v[1].zone, "one.test");
	dns_txts_clear(v, 2);
	end(&f);
}

static void refusals(void **state)
{
	static const struct {
		int rcode;
		const char *says;
	} cases[] = {
		{LDNS_RCODE_REFUSED, "answers REFUSED: it takes no unsigned update of _a.one.test"},
		{LDNS_RCODE_NOTAUTH,
			"answers NOTAUTH: it is not the primary server of the zone one.test"},
		{LDNS_RCODE_NOTZONE,
			"answers NOTZONE: _a.one.test does not lie in the zone one.test"},
		{LDNS_RCODE_YXRRSET, "answers YXRRSET: a CNAME stands at _a.one.test"},
		{LDNS_RCODE_NOTIMPL, "answers NOTIMPL: it takes no dynamic updates"},
		{LDNS_RCODE_FORMERR, "answers FORMERR to the update of _a.one.test"},
	};
	struct fixture f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dns_txt t = txt("_a.one.test", "v1");

		begin(&f);
		f.z.rcodes[0] = cases[i].rcode;
		assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
		assert_int_equal(dns_present(&f.job, &t, 1, &f.err), -1);
		if (!strstr(f.err.text, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", f.err.text, cases[i].says);
		assert_int_equal(
			strncmp(f.err.text, "zone one.test: name server 127.0.0.1:", 37), 0);
		assert_true(t.present); /* nobody knows */
		assert_int_equal(f.z.n, 1);
		dns_txts_clear(&t, 1);
		end(&f);
	}
}

/* What may pass is tried again: SERVFAIL, and an answer that was lost. */
static void tries_again(void **state)
{
	static const int first[] = {LDNS_RCODE_SERVFAIL, -1};
	struct fixture f;

	for (size_t i = 0; i < 2; i++) {
		struct dns_txt t = txt("_a.one.test", "v1");

		begin(&f);
		f.z.rcodes[0] = first[i];
		assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
		assert_int_equal(dns_present(&f.job, &t, 1, &f.err), 0);
		assert_int_equal(f.z.n, 2);
		assert_string_equal(f.z.updates[0], f.z.updates[1]);
		dns_txts_clear(&t, 1);
		end(&f);
	}
}

/* It is over at the deadline, and at once when told to stop. */
static void no_time_for_it(void **state)
{
	struct dns_txt t = txt("_a.one.test", "v1");
	struct stop stop;
	struct fixture f;

	begin(&f);
	for (size_t i = 0; i < UPDATES_MAX; i++)
		f.z.rcodes[i] = LDNS_RCODE_SERVFAIL;
	assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
	f.job.limits.deadline_ms = clock_mono_ms() + 1;
	assert_int_equal(dns_present(&f.job, &t, 1, &f.err), -1);
	assert_true(f.z.n <= 1);
	assert_int_equal(stop_init(&stop, &f.err), 0);
	stop_set(&stop);
	f.job.limits.deadline_ms = 0;
	f.job.limits.stop = &stop;
	assert_int_equal(dns_present(&f.job, &t, 1, &f.err), -1);
	assert_string_equal(f.err.text, "stopped");
	assert_int_equal(dns_wait(&f.job, &t, 1, &f.err), -1);
	assert_string_equal(f.err.text, "stopped");
	stop_clear(&stop);
	dns_txts_clear(&t, 1);
	end(&f);
}

/* A zone that fails does not keep the others. */
static void cleanup_goes_on(void **state)
{
	struct dns_txt v[2] = {txt("_a.one.test", "v1"), txt("_a.two.test", "v2")};
	struct fixture f;

	begin(&f);
	f.z.rcodes[0] = LDNS_RCODE_REFUSED;
	assert_int_equal(dns_locate(&f.job, v, 2, &f.err), 0);
	v[0].present = v[1].present = true;
	assert_int_equal(dns_cleanup(&f.job, v, 2, &f.err), -1);
	assert_int_equal(strncmp(f.err.text, "zone one.test: ", 15), 0);
	assert_true(v[0].present);
	assert_false(v[1].present);
	dns_txts_clear(v, 2);
	end(&f);
}

/* --- propagation --- */

static void waits(void **state)
{
	static const int rcodes[] = {LDNS_RCODE_NXDOMAIN, LDNS_RCODE_SERVFAIL, LDNS_RCODE_NOERROR};
	struct fixture f;
	char want[200];

	for (size_t i = 0; i < 3; i++) {
		struct dns_txt t = txt("_a.one.test", "v1");

		begin(&f);
		f.z.ready_at = 3;
		f.z.rcode = rcodes[i];
		assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
		assert_int_equal(dns_wait(&f.job, &t, 1, &f.err), 0);
		assert_int_equal(f.z.looks, 4);
		snprintf(want, sizeof(want), "%s has the record of zone one.test", f.z.server.text);
		assert_string_equal(f.said[DNS_SEEN], want);
		snprintf(want, sizeof(want),
			"waiting up to 10 s for the TXT record of _a.one.test to be on %s",
			f.z.server.text);
		assert_string_equal(f.said[DNS_WAITING], want);
		dns_txts_clear(&t, 1);
		end(&f);
	}
}

/* The CA may ask any of the zone's name servers: one that has it is not enough. */
static void waits_for_the_last(void **state)
{
	struct dns_txt t = txt("_a.one.test", "v1");
	struct primary second = {.ready_at = 3, .rcode = LDNS_RCODE_NXDOMAIN};
	char *both[2];
	struct fixture f;

	begin(&f);
	nameserver_start(&second.server, primary, &second);
	both[0] = f.z.server.text;
	both[1] = second.server.text;
	f.a.propagation.servers = (struct conf_strings){both, 2};
	assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
	assert_int_equal(dns_wait(&f.job, &t, 1, &f.err), 0);
	assert_int_equal(f.z.looks, 1);
	assert_int_equal(second.looks, 4);
	nameserver_stop(&second.server);
	dns_txts_clear(&t, 1);
	end(&f);
}

/* A name server whose name has no address is nobody's to ask. */
static void waits_for_none_without_address(void **state)
{
	const struct dns_patience patience = {.timeout_ms = 300, .interval_ms = 100};
	struct dns_txt t = txt("_a.one.test", "v1");
	const struct dns_txt *const v[] = {&t};
	struct dns_servers servers = {0};
	struct fixture f;

	begin(&f);
	dns_servers_add_one(&servers, "ns.gone.test");
	assert_int_equal(dns_servers_add(&servers, &f.a.resolvers, &f.job.limits, &f.err), 0);
	assert_int_equal(servers.n, 2);
	assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
	assert_int_equal(
		propagation_wait(&f.job, &servers, v, 1, &patience, clock_mono_ms(), &f.err), 0);
	dns_servers_clear(&servers);
	dns_txts_clear(&t, 1);
	end(&f);
}

static void waits_in_vain(void **state)
{
	static const struct {
		int rcode;
		const char *says;
	} cases[] = {{LDNS_RCODE_NXDOMAIN, "answers NXDOMAIN for _a.one.test"},
		{LDNS_RCODE_REFUSED, "answers REFUSED for _a.one.test"},
		{LDNS_RCODE_NOERROR, "has no TXT record at _a.one.test"}};
	struct dns_txt t = txt("_a.one.test", "v1"), v[2] = {t, t};
	struct fixture f;

	for (size_t i = 0; i < 3; i++) {
		begin(&f);
		f.z.ready_at = 1000;
		f.z.rcode = cases[i].rcode;
		f.a.propagation.timeout_ms = 100;
		free(t.name);
		free(t.zone);
		t.name = t.zone = NULL;
		assert_int_equal(dns_locate(&f.job, &t, 1, &f.err), 0);
		assert_int_equal(dns_wait(&f.job, &t, 1, &f.err), -1);
		if (!strstr(f.err.text, cases[i].says) || !strstr(f.err.text, f.z.server.text))
			fail_msg("\"%s\" does not say \"%s\"", f.err.text, cases[i].says);
		assert_non_null(strstr(f.err.text, "propagation.timeout can be set higher"));
		end(&f);
	}
	/* Another value there is not ours: all of them are wanted. */
	begin(&f);
	f.a.propagation.timeout_ms = 100;
	v[0] = v[1] = t;
	v[1].value = other;
	assert_int_equal(dns_wait(&f.job, v, 2, &f.err), -1);
	assert_non_null(strstr(f.err.text, "has other values at _a.one.test, but not this one"));
	f.a.propagation.disable = true;
	assert_int_equal(dns_wait(&f.job, v, 2, &f.err), 0);
	end(&f);
	dns_txts_clear(&t, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(the_innermost_zone_is_meant),
		cmocka_unit_test(refusals),
		cmocka_unit_test(tries_again),
		cmocka_unit_test(no_time_for_it),
		cmocka_unit_test(cleanup_goes_on),
		cmocka_unit_test(waits),
		cmocka_unit_test(waits_for_the_last),
		cmocka_unit_test(waits_for_none_without_address),
		cmocka_unit_test(waits_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
