#include "http/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW INT64_C(1795644279) /* Wed, 25 Nov 2026 22:04:39 GMT */

static struct json_object *parse(const char *text)
{
	struct json_object *o;
	struct error err;

	if (answer_json(text, strlen(text), 100, &o, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return o;
}

/* Any value, the numbers that end with the text among them. */
static void test_values(void **state)
{
	static const struct {
		const char *text;
		enum json_type type;
	} all[] = {{"null", json_type_null}, {"17", json_type_int}, {" 17 \r\n", json_type_int},
		{"1.5", json_type_double}, {"true", json_type_boolean}, {"\"x\"", json_type_string},
		{"[1, \"a\"]", json_type_array}, {"{\"a\": null}\n", json_type_object}};
	struct json_object *o;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		o = parse(all[i].text);
		assert_int_equal(json_object_get_type(o), all[i].type);
		json_object_put(o);
	}
	o = parse("17");
	assert_int_equal(json_object_get_int(o), 17);
	json_object_put(o);
}

static void expect_bad(const char *text, size_t len, const char *sentence)
{
	struct json_object *o;
	struct error err;

	assert_int_equal(answer_json(text, len, 100, &o, &err), -1);
	assert_null(o);
	if (!strstr(err.text, sentence))
		fail_msg("%s: %s", text, err.text);
}

static void test_no_json(void **state)
{
	static const char *const cut[] = {"", " ", "{\"a\": 1", "[1,", "\"x", "tru", "-"};
	static const char *const bad[] = {
		"<html>", "{a: 1}", "{\"a\": 1} x", "[1,]", "'x'", "\"\xff\"", "1 2"};
	char deep[80], long_one[102];

	(void)state;
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++)
		expect_bad(cut[i], strlen(cut[i]), "unexpected end of data");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_bad(bad[i], strlen(bad[i]), "the answer is no JSON: ");
	memset(deep, '[', 40);
	memset(deep + 40, ']', 40);
	expect_bad(deep, 80, "nesting too deep");
	memset(long_one, '1', sizeof(long_one));
	expect_bad(long_one, sizeof(long_one), "the answer has more than 100 bytes");
}

static void test_members(void **state)
{
	struct json_object *o = parse("{\"a\": \"x\", \"n\": 1, \"l\": []}");

	(void)state;
	assert_string_equal(answer_text(o, "a"), "x");
	assert_null(answer_text(o, "n"));
	assert_null(answer_text(o, "none"));
	assert_non_null(answer_member(o, "l", json_type_array));
	assert_null(answer_member(o, "l", json_type_object));
	assert_null(answer_text(answer_member(o, "l", json_type_array), "a"));
	assert_null(answer_text(NULL, "a"));
	json_object_put(o);
}

/* Whoever holds a part of it finds the texts gone, and nothing else. */
static void test_wiping(void **state)
{
	struct json_object
		*o = parse("{\"a\": \"secret\", \"b\": [\"x\", {\"c\": \"y\"}, null], \"n\": 7}"),
		*kept = json_object_get(o), *list = answer_member(o, "b", json_type_array);

	(void)state;
	answer_wipe(o);
	assert_memory_equal(answer_text(kept, "a"), "\0\0\0\0\0\0", 7);
	assert_string_equal(json_object_get_string(json_object_array_get_idx(list, 0)), "");
	assert_string_equal(answer_text(json_object_array_get_idx(list, 1), "c"), "");
	assert_int_equal(json_object_get_int(answer_member(kept, "n", json_type_int)), 7);
	answer_wipe(kept);
	answer_wipe(NULL);
}

static void test_retry_after(void **state)
{
	static const struct {
		const char *value;
		int64_t at;
	} all[] = {{NULL, 0}, {"", 0}, {"soon", 0}, {"0", NOW}, {"120", NOW + 120},
		{"120 ", NOW + 120}, {"120s", 0}, {"-1", 0},
		{"99999999999999999999", NOW + 365 * 86400},
		{"Wed, 25 Nov 2026 22:05:39 GMT", NOW + 60}, {"Thu, 01 Jan 1970 00:00:01 GMT", NOW},
		{"Wed, 25 Nov 2037 22:05:39 GMT", NOW + 365 * 86400}};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (answer_retry_after(all[i].value, NOW) != all[i].at)
			fail_msg("%s: %lld", all[i].value,
				(long long)answer_retry_after(all[i].value, NOW) - NOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_no_json),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_wiping),
		cmocka_unit_test(test_retry_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
