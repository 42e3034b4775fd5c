/* Name servers: how they are written, and what is made of what they send. */
#include "dns/servers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "lookup.h"
#include "nameserver.h"

static struct limits within(const struct stop *stop, int64_t ms)
{
	return (struct limits){.stop = stop, .deadline_ms = clock_mono_ms() + ms};
}

static void lists(void **state)
{
	const struct limits l = within(NULL, 5000);
	char ip[] = "192.0.2.1", ipv6[] = "[::1]:99", local[] = "localhost:77";
	struct dns_servers s = {0};
	struct conf_strings list = {.v = (char *[]){ip, ipv6, local}, .n = 3};
	char text[ENDPOINT_TEXT_SIZE];
	struct error err;

	assert_int_equal(dns_servers_add(&s, &list, &l, &err), 0);
	assert_int_equal(s.n, 3);
	assert_string_equal(s.v[0].name, "192.0.2.1:53");
	assert_string_equal(endpoint_text(text, &s.v[0].v[0]), "192.0.2.1:53");
	assert_string_equal(endpoint_text(text, &s.v[1].v[0]), "[::1]:99");
	assert_string_equal(s.v[2].name, "localhost:77");
	assert_true(s.v[2].n >= 1);
	assert_non_null(strstr(endpoint_text(text, &s.v[2].v[0]), ":77"));
	dns_servers_clear(&s);
}

/* getaddrinfo() is not waited for: neither by who is told to stop, nor beyond the deadline. */
static void lookups_stop(void **state)
{
	char name[] = HANGING;
	struct conf_strings list = {.v = (char *[]){name}, .n = 1};
	struct dns_servers s = {0};
	struct limits l;
	struct stop stop;
	struct error err;

	assert_int_equal(stop_init(&stop, &err), 0);
	lookup_begin(&stop);
	l = within(&stop, 3600000);
	assert_int_equal(dns_servers_add(&s, &list, &l, &err), -1);
	assert_string_equal(err.text, "looking up the name server " HANGING ": stopped");
	lookup_end();
	lookup_begin(&stop);
	l = within(NULL, 20);
	assert_int_equal(dns_servers_add(&s, &list, &l, &err), -1);
	assert_string_equal(err.text, "looking up the name server " HANGING ": no answer in time");
	lookup_end();
	dns_servers_clear(&s);
	stop_clear(&stop);
}

static void resolv_conf(void **state)
{
	static const char text[] = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n"
				   "nameserver\t2001:db8::1\nnameserver nonsense\n options x\n";
	char path[] = "/tmp/lintel-resolv-XXXXXX";
	int fd = mkstemp(path);
	struct dns_servers s = {0};

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	dns_servers_add_system(&s, path);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.v[0].name, "192.0.2.1:53");
	assert_string_equal(s.v[1].name, "[2001:db8::1]:53");
	dns_servers_clear(&s);
	unlink(path);
	dns_servers_add_system(&s, path);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.v[0].name, "127.0.0.1:53");
	dns_servers_clear(&s);
}

/* --- asking --- */

static ldns_pkt *with_txt(const ldns_pkt *question, const char *record)
{
	ldns_pkt *p = nameserver_answer(question, LDNS_RCODE_NOERROR);

	nameserver_add(p, LDNS_SECTION_ANSWER, record);
	return p;
}

/* Anybody's datagrams, then the answer. */
static void forger(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	ldns_pkt *p = with_txt(question, "a.example. TXT \"forged\"");

	ldns_pkt_set_id(p, ldns_pkt_id(question) + 1);
	nameserver_reply(s, p);
	p = with_txt(question, "a.example. TXT \"forged\"");
	ldns_pkt_set_qr(p, false);
	nameserver_reply(s, p);
	p = with_txt(question, "a.example. TXT \"forged\"");
	ldns_rr_set_type(ldns_rr_list_rr(ldns_pkt_question(p), 0), LDNS_RR_TYPE_A);
	nameserver_reply(s, p);
	nameserver_reply(s, with_txt(question, "a.example. TXT \"true\""));
}

static ldns_pkt *ask(struct nameserver *s, const struct stop *stop, int64_t ms, struct error *err)
{
	const struct limits l = within(stop, ms);

	return dns_ask(&s->endpoint, "a.example", LDNS_RR_TYPE_TXT, &l, err);
}

static void forged_datagrams(void **state)
{
	struct nameserver s;
	struct error err;
	ldns_pkt *p;

	nameserver_start(&s, forger, NULL);
	p = ask(&s, NULL, 5000, &err);
	assert_non_null(p);
	assert_true(dns_has_txt(p, "true"));
	assert_int_equal(atomic_load(&s.questions), 1);
	ldns_pkt_free(p);
	nameserver_stop(&s);
}

/* Says so over UDP; the whole over TCP. */
static void cutter(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	ldns_pkt *p;

	if (tcp) {
		p = with_txt(question, "a.example. TXT \"whole\"");
	} else {
		p = nameserver_answer(question, LDNS_RCODE_NOERROR);
		ldns_pkt_set_tc(p, true);
	}
	nameserver_reply(s, p);
}

static void cut_answers(void **state)
{
	struct nameserver s;
	struct error err;
	ldns_pkt *p;

	nameserver_start(&s, cutter, NULL);
	p = ask(&s, NULL, 5000, &err);
	assert_non_null(p);
	assert_true(dns_has_txt(p, "whole"));
	assert_int_equal(atomic_load(&s.questions), 2);
	ldns_pkt_free(p);
	nameserver_stop(&s);
}

static void only_tcp(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	if (tcp)
		nameserver_reply(s, with_txt(question, "a.example. TXT \"late\""));
}

static void lost_datagrams(void **state)
{
	struct nameserver s;
	struct error err;
	ldns_pkt *p;

	nameserver_start(&s, only_tcp, NULL);
	p = ask(&s, NULL, 10000, &err);
	assert_non_null(p);
	assert_true(dns_has_txt(p, "late"));
	ldns_pkt_free(p);
	nameserver_stop(&s);
}

static void stops_asking(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	stop_set(s->arg);
}

/* A silent server is left at once. */
static void stopped(void **state)
{
	struct nameserver s;
	struct stop stop;
	struct error err;

	assert_int_equal(stop_init(&stop, &err), 0);
	nameserver_start(&s, stops_asking, &stop);
	assert_null(ask(&s, &stop, 3600000, &err));
	assert_non_null(strstr(err.text, "stopped"));
	nameserver_stop(&s);
	stop_clear(&stop);
}

static void wrong_over_tcp(struct nameserver *s, const ldns_pkt *question, bool tcp)
{
	ldns_pkt *p = with_txt(question, "a.example. TXT \"x\"");

	ldns_pkt_set_id(p, ldns_pkt_id(question) + 1);
	ldns_pkt_set_tc(p, true);
	if (!tcp)
		ldns_pkt_set_id(p, ldns_pkt_id(question));
	nameserver_reply(s, p);
}

static void sentences(void **state)
{
	struct nameserver s;
	char want[200];
	struct error err;

	nameserver_start(&s, wrong_over_tcp, NULL);
	assert_null(ask(&s, NULL, 5000, &err));
	snprintf(want, sizeof(want), "name server %s: the answer is not to the question", s.text);
	assert_string_equal(err.text, want);
	nameserver_stop(&s);
	assert_null(ask(&s, NULL, 5000, &err)); /* nobody is there any more */
	snprintf(want, sizeof(want), "name server %s: Connection refused", s.text);
	assert_string_equal(err.text, want);
}

/* The next address of a server is for when the first does not answer. */
static void next_address(void **state)
{
	const struct limits l = within(NULL, 5000);
	struct nameserver dead, s;
	struct dns_servers list = {0};
	struct dns_server *one;
	struct error err;
	ldns_pkt *p;

	nameserver_start(&dead, forger, NULL);
	nameserver_stop(&dead);
	nameserver_start(&s, forger, NULL);
	one = dns_servers_add_one(&list, "both");
	assert_null(dns_server_ask(one, "a.example", LDNS_RR_TYPE_TXT, &l, &err));
	assert_string_equal(err.text, "name server both: it has no address");
	dns_server_add_address(one, &dead.endpoint);
	dns_server_add_address(one, &s.endpoint);
	p = dns_server_ask(one, "a.example", LDNS_RR_TYPE_TXT, &l, &err);
	assert_non_null(p);
	ldns_pkt_free(p);
	dns_servers_clear(&list);
	nameserver_stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(lookups_stop),
		cmocka_unit_test(resolv_conf),
		cmocka_unit_test(forged_datagrams),
		cmocka_unit_test(cut_answers),
		cmocka_unit_test(lost_datagrams),
		cmocka_unit_test(stopped),
		cmocka_unit_test(sentences),
		cmocka_unit_test(next_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
