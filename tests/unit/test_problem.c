#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acme/problem.h"
#include "base/clock.h"
#include "base/mem.h"
#include "http/answer.h"

static struct json_object *parse(const char *text)
{
	struct error err = {""};
	struct json_object *o = acme_json_parse(text, strlen(text), &err);

	assert_string_equal(err.text, "");
	assert_non_null(o);
	return o;
}

static void expect_sentence(const char *json, const char *sentence)
{
	struct json_object *o = parse(json);
	struct error err;

	assert_int_equal(acme_problem_set(&err, o), -1);
	assert_string_equal(err.text, sentence);
	json_object_put(o);
}

/* RFC 8555, 6.7.1's example among them. */
static void test_sentences(void **state)
{
	struct error err;

	(void)state;
	expect_sentence("{\"type\":\"urn:ietf:params:acme:error:malformed\","
			"\"detail\":\"Some of the identifiers requested were rejected\","
			"\"subproblems\":[{\"type\":\"urn:ietf:params:acme:error:malformed\","
			"\"detail\":\"Invalid underscore in DNS name\",\"identifier\":"
			"{\"type\":\"dns\",\"value\":\"_example.org\"}},"
			"{\"type\":\"urn:ietf:params:acme:error:rejectedIdentifier\","
			"\"detail\":\"This CA will not issue for it\",\"identifier\":"
			"{\"type\":\"dns\",\"value\":\"example.net\"}}]}",
		"malformed: Some of the identifiers requested were rejected; "
		"_example.org: malformed: Invalid underscore in DNS name; "
		"example.net: rejectedIdentifier: This CA will not issue for it");
	expect_sentence("{\"type\":\"urn:ietf:params:acme:error:caa\"}", "caa");
	expect_sentence("{\"type\":\"https://ca.example/own\",\"detail\":\"x\"}",
		"https://ca.example/own: x");
	expect_sentence("{\"detail\":\"x\"}", "no type given: x");
	expect_sentence("{\"type\":7,\"detail\":[],\"subproblems\":{}}", "no type given");
	expect_sentence("{\"type\":\"a\",\"subproblems\":[7,null,{\"identifier\":7},"
			"{\"identifier\":{\"value\":7},\"type\":\"b\"}]}",
		"a; no type given; b");
	acme_problem_set(&err, NULL);
	assert_string_equal(err.text, "no reason given");
}

/* What a CA writes cannot forge lines, drive a terminal or grow a sentence without end. */
static void test_tame(void **state)
{
	char *long_text, *json;
	struct json_object *o;
	struct error err;

	(void)state;
	expect_sentence("{\"type\":\"a\\nb\",\"detail\":\"\\u001b[31m\\u00e9\"}",
		"a\\x0ab: \\x1b[31m\\xc3\\xa9");
	long_text = mem_alloc(5001);
	memset(long_text, 'x', 5000);
	long_text[5000] = '\0';
	json = mem_printf("{\"type\":\"%s\",\"detail\":\"%s\",\"subproblems\":[{\"type\":\"%s\"}]}",
		long_text, long_text, long_text);
	o = parse(json);
	acme_problem_set(&err, o);
	assert_true(strlen(err.text) < 600);
	json_object_put(o);
	free(json);
	free(long_text);
}

static void test_types(void **state)
{
	char type[ACME_TYPE_SIZE];
	struct json_object *o = parse("{\"type\":\"urn:ietf:params:acme:error:badNonce\"}");

	(void)state;
	acme_type_of(o, type);
	assert_string_equal(type, "badNonce");
	json_object_put(o);
	acme_type_of(NULL, type);
	assert_string_equal(type, "");
	assert_true(acme_is_input("rejectedIdentifier"));
	assert_true(acme_is_input("badCSR"));
	assert_false(acme_is_input("rateLimited"));
	assert_false(acme_is_input("serverInternal"));
	assert_false(acme_is_input(""));
}

static char *nested(int levels)
{
	char *text = mem_zalloc((size_t)levels * 6 + 2);

	for (int i = 0; i < levels; i++)
		strcat(text, "{\"a\":");
	strcat(text, "1");
	for (int i = 0; i < levels; i++)
		strcat(text, "}");
	return text;
}

static void expect_no_json(const char *text, size_t len, const char *words)
{
	struct error err = {""};

	if (acme_json_parse(text, len, &err))
		fail_msg("taken: %.100s", text);
	assert_non_null(strstr(err.text, words));
}

static void test_json(void **state)
{
	static const char *const bad[] = {"", "7", "\"text\"", "[]", "null", "{", "{\"a\":1",
		"{\"a\":1}x", "{\"a\":1,}", "<html>", "{\"a\":\"\xff\"}", "{a:1}"};
	char *text = nested(31), *large;

	(void)state;
	json_object_put(parse("{}"));
	json_object_put(parse(" {\"a\":[1,2]}\r\n"));
	json_object_put(parse(text));
	free(text);
	text = nested(32);
	expect_no_json(text, strlen(text), "no JSON");
	free(text);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_no_json(bad[i], strlen(bad[i]), "no JSON");
	large = mem_zalloc((1 << 20) + 2);
	memset(large, 'x', (1 << 20) + 1);
	expect_no_json(large, (1 << 20) + 1, "more than 1048576 bytes");
	free(large);
}

static void test_members(void **state)
{
	struct json_object *o = parse("{\"s\":\"x\",\"e\":\"\",\"n\":7,\"l\":[],"
				      "\"u\":\"https://ca.example/a?b=c\",\"v\":\"/relative\"}");
	struct error err;

	(void)state;
	assert_string_equal(acme_json_string(o, "s", &err), "x");
	assert_string_equal(answer_text(o, "e"), "");
	assert_null(answer_text(o, "n"));
	assert_null(answer_text(NULL, "s"));
	assert_null(acme_json_string(o, "e", &err));
	assert_null(acme_json_string(o, "n", &err));
	assert_string_equal(err.text, "the answer has no \"n\", or it is no text");
	assert_non_null(acme_json_array(o, "l", &err));
	assert_null(acme_json_array(o, "s", &err));
	assert_string_equal(err.text, "the answer has no \"s\", or it is no list");
	assert_string_equal(acme_json_url(o, "u", &err), "https://ca.example/a?b=c");
	assert_null(acme_json_url(o, "v", &err));
	assert_string_equal(err.text, "its \"v\" is no URL");
	json_object_put(o);
}

static void test_urls(void **state)
{
	char *long_url = mem_zalloc(3000);

	(void)state;
	assert_true(acme_is_url("https://ca.example/"));
	assert_true(acme_is_url("http://127.0.0.1:14000/dir"));
	assert_false(acme_is_url(""));
	assert_false(acme_is_url("ftp://ca.example/"));
	assert_false(acme_is_url("file:///etc/passwd"));
	assert_false(acme_is_url("https://ca.example/a b"));
	assert_false(acme_is_url("https://ca.example/\r\nX: y"));
	assert_false(acme_is_url("https://ca.example/\x1b[31m"));
	assert_false(acme_is_url("https://ca.example/\xc3\xa9"));
	memset(long_url, 'x', 2999);
	memcpy(long_url, "https://", 8);
	assert_false(acme_is_url(long_url));
	free(long_url);
}

static void expect_alternates(const char *header, const char *first, const char *second)
{
	char *url = acme_next_alternate(&header), *next = acme_next_alternate(&header);

	if (first)
		assert_string_equal(url, first);
	else
		assert_null(url);
	if (second)
		assert_string_equal(next, second);
	else
		assert_null(next);
	assert_null(acme_next_alternate(&header));
	free(url);
	free(next);
}

static void test_links(void **state)
{
	(void)state;
	expect_alternates("<https://a/1>;rel=\"alternate\"", "https://a/1", NULL);
	expect_alternates("<https://a/1>; title=\"x, y\"; rel=alternate", "https://a/1", NULL);
	expect_alternates("<https://a/0>;rel=\"index\", <https://a/1>;rel=\"alternate\","
			  "<https://a/2>;rel=\"up\" , <https://a/3>;rel=\"alternate\"",
		"https://a/1", "https://a/3");
	expect_alternates("<https://a/0>;rel=\"index\"", NULL, NULL);
	expect_alternates("</relative>;rel=\"alternate\"", NULL, NULL);
	expect_alternates("<https://a/1;rel=\"alternate\"", NULL, NULL);
	expect_alternates("", NULL, NULL);
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t time;
	} times[] = {
		{"1970-01-01T00:00:01Z", 1},
		{"2026-11-25T22:04:39Z", 1795644279},
		{"2026-11-25T22:04:39.123456789Z", 1795644279},
		{"2026-11-26T00:04:39+02:00", 1795644279},
		{"2026-11-25T16:34:39-05:30", 1795644279},
		{"2026-11-25t22:04:39z", 0},
		{"2026-11-25T22:04:39", 0},
		{"2026-11-25", 0},
		{"soon", 0},
		{"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_int_equal(clock_from_rfc3339(times[i].text), times[i].time);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_tame),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
