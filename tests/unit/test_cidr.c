#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cidr.h"

static bool is_in(const char *block, const char *ip)
{
	struct inet_address a = {.in.sin_family = AF_INET};
	struct cidr c;
	struct error err;

	assert_int_equal(cidr_parse(&c, block, &err), 0);
	if (inet_pton(AF_INET, ip, &a.in.sin_addr) == 1)
		return cidr_contains(&c, &a);
	a = (struct inet_address){.in6.sin6_family = AF_INET6};
	assert_int_equal(inet_pton(AF_INET6, ip, &a.in6.sin6_addr), 1);
	return cidr_contains(&c, &a);
}

static void test_contains(void **state)
{
	struct inet_address local = {.sa.sa_family = AF_UNIX};
	struct cidr all;

	(void)state;
	assert_true(is_in("10.0.0.0/8", "10.255.1.2"));
	assert_false(is_in("10.0.0.0/8", "11.0.0.0"));
	assert_true(is_in("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_false(is_in("10.0.0.0/8", "::10.1.2.3"));
	assert_true(is_in("192.0.2.128/25", "192.0.2.128"));
	assert_false(is_in("192.0.2.128/25", "192.0.2.127"));
	assert_true(is_in("192.0.2.1", "192.0.2.1"));
	assert_false(is_in("192.0.2.1", "192.0.2.0"));
	assert_true(is_in("0.0.0.0/0", "203.0.113.7"));
	assert_false(is_in("0.0.0.0/0", "2001:db8::1"));
	assert_true(is_in("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(is_in("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(is_in("::1", "::1"));
	assert_false(is_in("::1", "::2"));
	assert_true(is_in("::/0", "::1"));
	assert_false(is_in("::/0", "192.0.2.1"));
	assert_false(is_in("::/0", "::ffff:192.0.2.1"));
	assert_true(is_in("::ffff:10.0.0.0/104", "10.1.2.3"));
	assert_int_equal(cidr_parse(&all, "::/0", NULL), 0);
	assert_false(cidr_contains(&all, &local));
}

static void refuse(const char *text, const char *part)
{
	struct cidr c;
	struct error err;

	assert_int_equal(cidr_parse(&c, text, &err), -1);
	if (!strstr(err.text, part))
		fail_msg("%s: \"%s\" lacks \"%s\"", text, err.text, part);
}

static void test_refused(void **state)
{
	(void)state;
	refuse("", "is no block of IP addresses");
	refuse("example.com", "is no block of IP addresses");
	refuse("10.0.0/8", "is no block of IP addresses");
	refuse("[::1]/128", "is no block of IP addresses");
	refuse("10.0.0.1:80", "is no block of IP addresses");
	refuse("0000:0000:0000:0000:0000:ffff:255.255.255.2555", "is no block of IP addresses");
	refuse("10.0.0.0/33", "a number up to 32");
	refuse("10.0.0.0/", "a number up to 32");
	refuse("10.0.0.0/08", "a number up to 32");
	refuse("10.0.0.0/-1", "a number up to 32");
	refuse("10.0.0.0/8/8", "a number up to 32");
	refuse("::/129", "a number up to 128");
	refuse("10.1.0.0/8", "one of that size begins with 10.0.0.0");
	refuse("10.0.0.1/0", "one of that size begins with 0.0.0.0");
	refuse("2001:db8::1/64", "one of that size begins with 2001:db8::");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
