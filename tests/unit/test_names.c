#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/names.h"

#define LABEL_50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_254 LABEL_50 "." LABEL_50 "." LABEL_50 "." LABEL_50 "." LABEL_50

static void assert_name(const char *in, size_t len, const char *want)
{
	char out[NAME_SIZE] = "left over";

	assert_int_equal(name_normalise(out, in, len), want != NULL);
	assert_string_equal(out, want ? want : "");
}

static void assert_pattern(const char *in, const char *want)
{
	char out[NAME_SIZE] = "left over";

	assert_int_equal(name_normalise_pattern(out, in, strlen(in)), want != NULL);
	assert_string_equal(out, want ? want : "");
}

static void normalises_names(void **state)
{
	assert_name("example.com", 11, "example.com");
	assert_name("ExAmPle.COM", 11, "example.com");
	assert_name("example.com.", 12, "example.com");
	assert_name(" \t\r\nexample.com.\v\f ", 19, "example.com");
	assert_name("a", 1, "a");
	assert_name("_dmarc.x-1.example", 18, "_dmarc.x-1.example");
	assert_name("192.0.2.1", 9, "192.0.2.1");
}

static void refuses_names(void **state)
{
	assert_name("", 0, NULL);
	assert_name("  ", 2, NULL);
	assert_name(".", 1, NULL);
	assert_name("..", 2, NULL);
	assert_name("a..", 3, NULL);
	assert_name(".a", 2, NULL);
	assert_name("a..b", 4, NULL);
	assert_name("a b", 3, NULL);
	assert_name("a.\0b", 4, NULL);
	assert_name("a\0", 2, NULL);
	assert_name("*.a", 3, NULL);
	assert_name("b\xc3\xbc"
		    "cher.de",
		10, NULL);
	assert_name("[::1]", 5, NULL);
	assert_name("a/b", 3, NULL);
	assert_name("a. .", 4, NULL);
}

static void limits_names_to_253_bytes(void **state)
{
	const char *long_name = NAME_254, *long_dotted = NAME_254 ".";

	assert_int_equal(strlen(long_name), 254);
	assert_name(long_name, 254, NULL);
	assert_name(long_name + 1, 253, long_name + 1);
	assert_name(long_dotted + 1, 254, long_name + 1); /* the dot at the end does not count */
	/* "*." counts: 251 bytes behind it are the most. */
	assert_pattern("*." NAME_254, NULL);
	char most[NAME_SIZE] = "*.", over[NAME_SIZE + 1] = "*.";
	strcpy(most + 2, long_name + 3);
	strcpy(over + 2, long_name + 2);
	assert_int_equal(strlen(most), 253);
	assert_pattern(most, most);
	assert_pattern(over, NULL);
}

static void normalises_patterns(void **state)
{
	assert_pattern("example.com", "example.com");
	assert_pattern(" *.Example.COM. ", "*.example.com");
	assert_pattern("*.com", "*.com");
	assert_pattern("*", NULL);
	assert_pattern("*.", NULL);
	assert_pattern("*..", NULL);
	assert_pattern("*. com", NULL);
	assert_pattern("*.*.x", NULL);
	assert_pattern("a.*.x", NULL);
	assert_pattern("a*.x", NULL);
	assert_pattern("*a.x", NULL);
	assert_pattern("", NULL);
}

static int v[10];

static void exact_wins_over_wildcard(void **state)
{
	struct names *n = names_new();

	*names_slot(n, "*.example.com") = &v[0];
	*names_slot(n, "www.example.com") = &v[1];
	*names_slot(n, "example.com") = &v[2];
	assert_ptr_equal(names_find(n, "www.example.com"), &v[1]);
	assert_ptr_equal(names_find(n, "shop.example.com"), &v[0]);
	assert_ptr_equal(names_find(n, "example.com"), &v[2]);
	assert_int_equal(names_count(n), 3);
	names_free(n);
}

static void star_covers_one_label(void **state)
{
	struct names *n = names_new();

	*names_slot(n, "*.b.example.com") = &v[0];
	*names_slot(n, "*.test") = &v[1];
	assert_ptr_equal(names_find(n, "a.b.example.com"), &v[0]);
	assert_null(names_find(n, "b.example.com"));
	assert_null(names_find(n, "x.a.b.example.com"));
	assert_null(names_find(n, "a.example.com")); /* a node on the way has no value */
	assert_null(names_find(n, "example.com"));
	assert_null(names_find(n, "com"));
	assert_ptr_equal(names_find(n, "a.test"), &v[1]);
	assert_null(names_find(n, "test"));
	assert_null(names_find(n, "a.b.test"));
	*names_slot(n, "*.example.com") = &v[2];
	assert_ptr_equal(names_find(n, "a.example.com"), &v[2]);
	assert_ptr_equal(names_find(n, "b.example.com"), &v[2]);
	assert_int_equal(names_count(n), 3);
	names_free(n);
}

static void exact_names_and_labels_do_not_mix(void **state)
{
	struct names *n = names_new();

	*names_slot(n, "com") = &v[0];
	assert_null(names_find(n, "a.com"));
	*names_slot(n, "*.b.com") = &v[1];
	assert_ptr_equal(names_find(n, "com"), &v[0]);
	assert_null(names_find(n, "b"));
	assert_null(names_find(n, "b.com"));
	names_free(n);
}

static void slot_of_a_known_name_keeps_its_value(void **state)
{
	struct names *n = names_new();

	assert_null(names_find(n, "a.example"));
	assert_null(*names_slot(n, "a.example"));
	*names_slot(n, "a.example") = &v[3];
	assert_ptr_equal(*names_slot(n, "a.example"), &v[3]);
	*names_slot(n, "*.a.example") = &v[4];
	assert_ptr_equal(*names_slot(n, "*.a.example"), &v[4]);
	assert_int_equal(names_count(n), 2);
	names_free(n);
	names_free(NULL);
}

/* Against the rule said plainly: the value of the name, else of "*." and what follows its first
 * dot. */
static void agrees_with_the_plain_rule_at_100000_names(void **state)
{
	enum { COUNT = 100000 };
	struct names *n = names_new();
	char name[64], wild[64];
	char *values = mem_zalloc(2 * COUNT);

	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "h%d.zone%d.example.%s", i, i / 100,
			i & 1 ? "org" : "net");
		*names_slot(n, name) = &values[i];
		snprintf(wild, sizeof(wild), "*.w%d.zone%d.example.org", i, i / 7);
		*names_slot(n, wild) = &values[COUNT + i];
	}
	assert_int_equal(names_count(n), 2 * COUNT);
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "h%d.zone%d.example.%s", i, i / 100,
			i & 1 ? "org" : "net");
		assert_ptr_equal(names_find(n, name), &values[i]);
		name[strlen(name) - 1] = 'x';
		assert_null(names_find(n, name));
		snprintf(name, sizeof(name), "any%d.w%d.zone%d.example.org", i, i, i / 7);
		assert_ptr_equal(names_find(n, name), &values[COUNT + i]);
		assert_null(names_find(n, strchr(name, '.') + 1));
		snprintf(name, sizeof(name), "any.w%d.zone%d.example.org", i, i / 7 + COUNT);
		assert_null(names_find(n, name));
	}
	names_free(n);
	free(values);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normalises_names),
		cmocka_unit_test(refuses_names),
		cmocka_unit_test(limits_names_to_253_bytes),
		cmocka_unit_test(normalises_patterns),
		cmocka_unit_test(exact_wins_over_wildcard),
		cmocka_unit_test(star_covers_one_label),
		cmocka_unit_test(exact_names_and_labels_do_not_mix),
		cmocka_unit_test(slot_of_a_known_name_keeps_its_value),
		cmocka_unit_test(agrees_with_the_plain_rule_at_100000_names),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
