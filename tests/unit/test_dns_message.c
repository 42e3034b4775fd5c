/* DNS messages: what is asked, which answers are answers, what is taken from them. */
#include "dns/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nameserver.h"

static ldns_pkt *ask(const char *name, ldns_rr_type type)
{
	uint8_t *wire;
	size_t len;
	struct error err;
	ldns_pkt *p = dns_question_make(name, type, &wire, &len, &err);

	assert_non_null(p);
	free(wire);
	return p;
}

/* Takes `answer`; whether its bytes are an answer to the question. */
static ldns_pkt *read_back(ldns_pkt *answer, const ldns_pkt *question)
{
	uint8_t *wire;
	size_t len;
	ldns_pkt *p;

	assert_int_equal(ldns_pkt2wire(&wire, answer, &len), LDNS_STATUS_OK);
	p = dns_answer_read(wire, len, question);
	free(wire);
	ldns_pkt_free(answer);
	return p;
}

static bool is_answer(ldns_pkt *answer, const ldns_pkt *question)
{
	ldns_pkt *p = read_back(answer, question);

	ldns_pkt_free(p);
	return p;
}

static void question(void **state)
{
	uint8_t *wire;
	size_t len;
	struct error err;
	ldns_pkt *p = dns_question_make("_a.example.org", LDNS_RR_TYPE_TXT, &wire, &len, &err), *q;

	assert_int_equal(ldns_wire2pkt(&q, wire, len), LDNS_STATUS_OK);
	assert_true(ldns_pkt_rd(q) && !ldns_pkt_qr(q) && ldns_pkt_edns(q));
	assert_int_equal(ldns_pkt_edns_udp_size(q), 1232);
	assert_int_equal(ldns_pkt_id(q), ldns_pkt_id(p));
	free(wire);
	ldns_pkt_free(p);
	ldns_pkt_free(q);
	assert_null(dns_question_make("a..b", LDNS_RR_TYPE_TXT, &wire, &len, &err));
	assert_string_equal(err.text, "\"a..b\" is no DNS name");
}

static void answers(void **state)
{
	ldns_pkt *q = ask("a.example", LDNS_RR_TYPE_TXT),
		 *other = ask("b.example", LDNS_RR_TYPE_TXT),
		 *type = ask("a.example", LDNS_RR_TYPE_A),
		 *upper = ask("A.eXample", LDNS_RR_TYPE_TXT), *p;

	assert_true(is_answer(nameserver_answer(q, LDNS_RCODE_NOERROR), q));
	assert_true(is_answer(nameserver_answer(q, LDNS_RCODE_SERVFAIL), q));
	ldns_pkt_set_id(other, ldns_pkt_id(q));
	ldns_pkt_set_id(type, ldns_pkt_id(q));
	ldns_pkt_set_id(upper, ldns_pkt_id(q));
	assert_false(is_answer(nameserver_answer(other, LDNS_RCODE_NOERROR), q));
	assert_false(is_answer(nameserver_answer(type, LDNS_RCODE_NOERROR), q));
	assert_true(is_answer(nameserver_answer(upper, LDNS_RCODE_NOERROR), q));
	p = nameserver_answer(q, LDNS_RCODE_NOERROR);
	ldns_pkt_set_id(p, ldns_pkt_id(q) ^ 1);
	assert_false(is_answer(p, q));
	p = nameserver_answer(q, LDNS_RCODE_NOERROR);
	ldns_pkt_set_qr(p, false);
	assert_false(is_answer(p, q));
	p = nameserver_answer(q, LDNS_RCODE_NOERROR);
	ldns_pkt_set_opcode(p, LDNS_PACKET_NOTIFY);
	assert_false(is_answer(p, q));
	ldns_pkt_free(q);
	ldns_pkt_free(other);
	ldns_pkt_free(type);
	ldns_pkt_free(upper);
}

/* From a server that cannot read what it was asked. */
static void answers_without_question(void **state)
{
	static const struct {
		ldns_pkt_rcode rcode;
		bool is;
	} cases[] = {{LDNS_RCODE_FORMERR, true}, {LDNS_RCODE_NOTIMPL, true},
		{LDNS_RCODE_NOERROR, false}, {LDNS_RCODE_NXDOMAIN, false}};
	ldns_pkt *q = ask("a.example", LDNS_RR_TYPE_TXT);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ldns_pkt *p = ldns_pkt_new();

		ldns_pkt_set_id(p, ldns_pkt_id(q));
		ldns_pkt_set_qr(p, true);
		ldns_pkt_set_rcode(p, cases[i].rcode);
		assert_int_equal(is_answer(p, q), cases[i].is);
	}
	assert_null(dns_answer_read((const uint8_t *)"", 0, q));
	assert_null(dns_answer_read((const uint8_t *)"x", 1, q));
	ldns_pkt_free(q);
}

static void names(void **state)
{
	char out[DNS_NAME_SIZE];
	static const struct {
		const char *text, *want;
	} cases[] = {{"A.Example.ORG.", "a.example.org"}, {"_x.a-b.c", "_x.a-b.c"},
		{"*.example", "*.example"}, {"a\\.b.example", NULL}, {"a\\010b", NULL},
		{"a b.c", NULL}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ldns_rdf *rdf = ldns_dname_new_frm_str(cases[i].text);

		assert_int_equal(dns_name_of(rdf, out), cases[i].want != NULL);
		if (cases[i].want)
			assert_string_equal(out, cases[i].want);
		ldns_rdf_deep_free(rdf);
	}
	assert_false(dns_name_of(NULL, out));
	assert_true(dns_is_above("example.org", "example.org"));
	assert_true(dns_is_above("example.org", "a.b.example.org"));
	assert_false(dns_is_above("example.org", "notexample.org"));
	assert_false(dns_is_above("a.example.org", "example.org"));
}

static void values(void **state)
{
	ldns_pkt *q = ask("a.example", LDNS_RR_TYPE_TXT),
		 *p = nameserver_answer(q, LDNS_RCODE_NOERROR);

	nameserver_add(p, LDNS_SECTION_ANSWER, "a.example. TXT \"one\"");
	nameserver_add(p, LDNS_SECTION_ANSWER, "a.example. TXT \"two\" \"parts\" \"\"");
	nameserver_add(p, LDNS_SECTION_AUTHORITY, "a.example. TXT \"elsewhere\"");
	p = read_back(p, q);
	assert_non_null(p);
	assert_true(dns_has_txt(p, "one") && dns_has_txt(p, "twoparts"));
	assert_false(dns_has_txt(p, "on") || dns_has_txt(p, "onex") || dns_has_txt(p, "") ||
		     dns_has_txt(p, "two") || dns_has_txt(p, "elsewhere"));
	ldns_pkt_free(p);
	ldns_pkt_free(q);
}

static void long_values(void **state)
{
	char value[601];
	ldns_rr *rr;
	ldns_pkt *q = ask("a.example", LDNS_RR_TYPE_TXT), *p;

	memset(value, '"', 600);
	value[600] = '\0';
	rr = dns_make_txt("a.example", value, 77, LDNS_RR_CLASS_IN);
	assert_int_equal(ldns_rr_rd_count(rr), 3);
	assert_int_equal(ldns_rr_ttl(rr), 77);
	p = nameserver_answer(q, LDNS_RCODE_NOERROR);
	ldns_pkt_push_rr(p, LDNS_SECTION_ANSWER, rr);
	p = read_back(p, q);
	assert_true(dns_has_txt(p, value));
	value[599] = '\0';
	assert_false(dns_has_txt(p, value));
	ldns_pkt_free(p);
	ldns_pkt_free(q);
}

static void records(void **state)
{
	ldns_pkt *q = ask("a.example", LDNS_RR_TYPE_A),
		 *p = nameserver_answer(q, LDNS_RCODE_NOERROR);
	char text[ENDPOINT_TEXT_SIZE], rcode[DNS_RCODE_SIZE];
	struct endpoint e;

	nameserver_add(p, LDNS_SECTION_ANSWER, "A.example. CNAME b.example.");
	nameserver_add(p, LDNS_SECTION_ANSWER, "b.example. A 192.0.2.7");
	nameserver_add(p, LDNS_SECTION_ANSWER, "b.example. AAAA 2001:db8::7");
	assert_non_null(dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, "a.example"));
	assert_null(dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, "b.example"));
	assert_null(dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_SOA, NULL));
	assert_true(dns_endpoint_of(dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_A, NULL), &e));
	assert_string_equal(endpoint_text(text, &e), "192.0.2.7:53");
	assert_true(dns_endpoint_of(dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_AAAA, NULL), &e));
	assert_string_equal(endpoint_text(text, &e), "[2001:db8::7]:53");
	assert_false(
		dns_endpoint_of(dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, NULL), &e));
	ldns_pkt_set_rcode(p, LDNS_RCODE_NXDOMAIN);
	assert_string_equal(dns_rcode_name(p, rcode), "NXDOMAIN");
	ldns_pkt_free(p);
	ldns_pkt_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(question),
		cmocka_unit_test(answers),
		cmocka_unit_test(answers_without_question),
		cmocka_unit_test(names),
		cmocka_unit_test(values),
		cmocka_unit_test(long_values),
		cmocka_unit_test(records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
