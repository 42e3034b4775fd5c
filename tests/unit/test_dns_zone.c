/* Where a record belongs: CNAMEs and zones, as a name server tells them. */
#include "dns/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "nameserver.h"

struct script { /* what is answered to "name/TYPE"; for anything else `otherwise` */
	const char *asked;
	const char *answer, *authority; /* one record each; NULL = none */
	int rcode;
};

enum mode { AUTHORITATIVE, REFERRING, RECURSIVE };

struct zones {
	const struct script *script; /* ended by asked NULL, which is for all others */
	enum mode mode;
};

static void play(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	const struct zones *z = s->arg;
	const struct script *line = z->script;
	char asked[300];
	ldns_pkt *p;

	nameserver_asked(question, asked);
	while (line->asked && strcmp(line->asked, asked) != 0)
		line++;
	p = nameserver_answer(question, (ldns_pkt_rcode)line->rcode);
	ldns_pkt_set_aa(p, z->mode == AUTHORITATIVE);
	ldns_pkt_set_ra(p, z->mode == RECURSIVE);
	if (line->answer)
		nameserver_add(p, LDNS_SECTION_ANSWER, line->answer);
	if (line->authority)
		nameserver_add(p, LDNS_SECTION_AUTHORITY, line->authority);
	nameserver_reply(s, p);
}

struct fixture {
	struct nameserver server[2];
	struct zones zones[2];
	struct dns_servers list;
	struct limits l;
	size_t n;
	char out[DNS_NAME_SIZE];
	struct error err;
};

static void begin(struct fixture *f)
{
	*f = (struct fixture){.l.deadline_ms = clock_mono_ms() + 20000};
}

static void add(struct fixture *f, const struct script *script, enum mode mode)
{
	size_t i = f->n++;

	f->zones[i] = (struct zones){script, mode};
	nameserver_start(&f->server[i], play, &f->zones[i]);
	dns_server_add_address(
		dns_servers_add_one(&f->list, f->server[i].text), &f->server[i].endpoint);
}

static void end(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++)
		nameserver_stop(&f->server[i]);
	dns_servers_clear(&f->list);
}

#define SOA(zone) zone ". SOA ns." zone ". root." zone ". 1 2 3 4 5"

/* --- CNAMEs --- */

static const struct script cnames[] = {
	{"a.test/CNAME", "a.test. CNAME B.Test.", NULL, 0},
	{"b.test/CNAME", "b.test. CNAME c.test.", NULL, 0},
	{"c.test/CNAME", NULL, SOA("test"), 0},
	{"x.test/CNAME", "x.test. CNAME y.test.", NULL, 0},
	{"y.test/CNAME", "y.test. CNAME z.test.", NULL, 0},
	{"z.test/CNAME", "z.test. CNAME y.test.", NULL, 0},
	{"self.test/CNAME", "self.test. CNAME self.test.", NULL, 0},
	{"odd.test/CNAME", "odd.test. CNAME a\\.b.test.", NULL, 0},
	{"other.test/CNAME", "elsewhere.test. CNAME a.test.", NULL, 0},
	{"broken.test/CNAME", NULL, NULL, LDNS_RCODE_SERVFAIL},
	{NULL, NULL, NULL, LDNS_RCODE_NXDOMAIN},
};

static void follows_cnames(void **state)
{
	static const char *const cases[][2] = {{"a.test", "c.test"}, {"c.test", "c.test"},
		{"gone.test", "gone.test"}, {"other.test", "other.test"}};
	struct fixture f;

	begin(&f);
	add(&f, cnames, AUTHORITATIVE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(dns_follow(&f.list, cases[i][0], f.out, &f.l, &f.err), 0);
		assert_string_equal(f.out, cases[i][1]);
	}
	end(&f);
}

static void cnames_that_lead_nowhere(void **state)
{
	static const char *const cases[][2] = {
		{"x.test", "x.test: the CNAMEs from there run in a circle: "
			   "x.test -> y.test -> z.test -> y.test"},
		{"self.test",
			"self.test: the CNAMEs from there run in a circle: self.test -> self.test"},
		{"odd.test", "odd.test: the CNAME there leads to no host name"},
		{"broken.test", "answers SERVFAIL for broken.test"},
	};
	struct fixture f;

	begin(&f);
	add(&f, cnames, AUTHORITATIVE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(dns_follow(&f.list, cases[i][0], f.out, &f.l, &f.err), -1);
		if (!strstr(f.err.text, cases[i][1]))
			fail_msg("\"%s\" does not say \"%s\"", f.err.text, cases[i][1]);
	}
	end(&f);
}

static void hop(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	ldns_pkt *p = nameserver_answer(question, LDNS_RCODE_NOERROR);
	char asked[300], record[80];
	int i;

	nameserver_asked(question, asked);
	i = atoi(asked + 1);
	snprintf(record, sizeof(record), "h%d.test. CNAME h%d.test.", i, i + 1);
	if (i < atomic_load((atomic_int *)s->arg))
		nameserver_add(p, LDNS_SECTION_ANSWER, record);
	nameserver_reply(s, p);
}

static void ten_cnames(void **state)
{
	atomic_int hops = 10;
	struct nameserver s;
	struct fixture f;

	begin(&f);
	nameserver_start(&s, hop, &hops);
	dns_server_add_address(dns_servers_add_one(&f.list, "it"), &s.endpoint);
	assert_int_equal(dns_follow(&f.list, "h0.test", f.out, &f.l, &f.err), 0);
	assert_string_equal(f.out, "h10.test");
	atomic_store(&hops, 11);
	assert_int_equal(dns_follow(&f.list, "h0.test", f.out, &f.l, &f.err), -1);
	assert_string_equal(f.err.text, "h0.test: more than 10 CNAMEs follow each other");
	nameserver_stop(&s);
	end(&f);
}

/* --- zones --- */

static const struct script zones[] = {
	{"a.b.one.test/SOA", NULL, SOA("one.test"), LDNS_RCODE_NXDOMAIN},
	{"two.test/SOA", SOA("Two.Test"), NULL, 0},
	{"x.sub.two.test/SOA", NULL, SOA("sub.two.test"), 0},
	/* Nothing is said in the authority section: label by label. */
	{"x.y.three.test/SOA", NULL, NULL, LDNS_RCODE_NXDOMAIN},
	{"y.three.test/SOA", NULL, NULL, 0},
	{"three.test/SOA", SOA("three.test"), NULL, 0},
	/* A CNAME: what is in the authority section belongs to where it leads. */
	{"c.sub.four.test/SOA", "c.sub.four.test. CNAME x.four.test.", SOA("four.test"), 0},
	{"sub.four.test/SOA", SOA("sub.four.test"), NULL, 0},
	/* A zone that the name does not lie in; one of a single label; the root. */
	{"a.five.test/SOA", NULL, SOA("six.test"), 0},
	{"five.test/SOA", NULL, SOA("test"), LDNS_RCODE_NXDOMAIN},
	{"a.six.test/SOA", NULL, ". SOA a. b. 1 2 3 4 5", LDNS_RCODE_NXDOMAIN},
	{"six.test/SOA", NULL, ". SOA a. b. 1 2 3 4 5", LDNS_RCODE_NXDOMAIN},
	{NULL, NULL, NULL, LDNS_RCODE_REFUSED},
};

static void finds_zones(void **state)
{
	static const char *const cases[][2] = {{"a.b.one.test", "one.test"},
		{"two.test", "two.test"}, {"x.sub.two.test", "sub.two.test"},
		{"x.y.three.test", "three.test"}, {"c.sub.four.test", "sub.four.test"}};
	struct fixture f;

	begin(&f);
	add(&f, zones, RECURSIVE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			dns_find_zone(&f.list, false, cases[i][0], f.out, &f.l, &f.err), 0);
		assert_string_equal(f.out, cases[i][1]);
	}
	end(&f);
}

/* Never the root, never a top-level domain; and those two are not even asked for. */
static void no_zones(void **state)
{
	static const char *const names[] = {"a.five.test", "a.six.test", "test", ""};
	struct fixture f;

	begin(&f);
	add(&f, zones, RECURSIVE);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(dns_find_zone(&f.list, false, names[i], f.out, &f.l, &f.err), -1);
		assert_non_null(strstr(f.err.text, "no zone was found that "));
	}
	assert_int_equal(atomic_load(&f.server[0].questions), 4);
	assert_int_equal(dns_find_zone(&f.list, false, "a.nine.test", f.out, &f.l, &f.err), -1);
	assert_non_null(strstr(f.err.text, "finding the zone of a.nine.test: name server "));
	assert_non_null(strstr(f.err.text, "answers REFUSED for a.nine.test"));
	end(&f);
}

static const struct script nothing[] = {{NULL, NULL, NULL, 0}};
static const struct script failing[] = {{NULL, NULL, NULL, LDNS_RCODE_SERVFAIL}};

/* Who fails, and who only points to others, leaves it to the next. */
static void next_resolver(void **state)
{
	static const struct {
		const struct script *script;
		enum mode mode;
	} first[] = {{failing, RECURSIVE}, {nothing, REFERRING}};
	struct fixture f;

	for (size_t i = 0; i < 2; i++) {
		begin(&f);
		add(&f, first[i].script, first[i].mode);
		add(&f, zones, RECURSIVE);
		assert_int_equal(dns_find_zone(&f.list, false, "two.test", f.out, &f.l, &f.err), 0);
		assert_string_equal(f.out, "two.test");
		assert_int_equal(atomic_load(&f.server[0].questions), 1);
		end(&f);
	}
	begin(&f);
	add(&f, nothing, REFERRING);
	add(&f, failing, RECURSIVE);
	assert_int_equal(dns_find_zone(&f.list, false, "two.test", f.out, &f.l, &f.err), -1);
	assert_non_null(strstr(f.err.text, "a resolver is wanted; name server "));
	assert_non_null(strstr(f.err.text, "answers SERVFAIL"));
	end(&f);
}

/* A server that updates go to counts for zones that are its own. */
static void own_zones(void **state)
{
	struct fixture f;

	begin(&f);
	add(&f, zones, RECURSIVE);
	assert_int_equal(dns_find_zone(&f.list, true, "two.test", f.out, &f.l, &f.err), -1);
	assert_non_null(strstr(f.err.text, "has no authority for two.test"));
	end(&f);
	begin(&f);
	add(&f, zones, AUTHORITATIVE);
	assert_int_equal(dns_find_zone(&f.list, true, "two.test", f.out, &f.l, &f.err), 0);
	end(&f);
}

/* --- servers of a zone --- */

static const struct script hosts[] = {
	{"one.test/NS", "one.test. NS ns.one.test.", NULL, 0},
	{"ns.one.test/A", "ns.one.test. A 192.0.2.1", NULL, 0},
	{"two.test/NS", "two.test. NS ns.two.test.", NULL, 0},
	{"three.test/NS", "three.test. NS a\\.b.test.", NULL, 0},
	{"four.test/NS", "four.test. NS ns.four.test.", NULL, 0},
	{"ns.four.test/A", NULL, NULL, LDNS_RCODE_SERVFAIL},
	{NULL, NULL, NULL, LDNS_RCODE_NXDOMAIN},
};

static void finds_servers(void **state)
{
	struct dns_servers found = {0};
	char text[ENDPOINT_TEXT_SIZE];
	struct fixture f;

	begin(&f);
	add(&f, hosts, RECURSIVE);
	assert_int_equal(dns_find_servers(&f.list, "one.test", &found, &f.l, &f.err), 0);
	assert_int_equal(found.n, 1);
	assert_string_equal(found.v[0].name, "ns.one.test");
	assert_string_equal(endpoint_text(text, &found.v[0].v[0]), "192.0.2.1:53");
	dns_servers_clear(&found);
	for (const char *zone = "two.test\0three.test\0five.test\0"; *zone;
		zone += strlen(zone) + 1) {
		assert_int_equal(dns_find_servers(&f.list, zone, &found, &f.l, &f.err), -1);
		assert_non_null(strstr(f.err.text, "has no name server with an address"));
		dns_servers_clear(&found);
	}
	assert_int_equal(dns_find_servers(&f.list, "four.test", &found, &f.l, &f.err), -1);
	assert_non_null(strstr(f.err.text, "looking up the name server ns.four.test: "));
	dns_servers_clear(&found);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_cnames),
		cmocka_unit_test(cnames_that_lead_nowhere),
		cmocka_unit_test(ten_cnames),
		cmocka_unit_test(finds_zones),
		cmocka_unit_test(no_zones),
		cmocka_unit_test(next_resolver),
		cmocka_unit_test(own_zones),
		cmocka_unit_test(finds_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
