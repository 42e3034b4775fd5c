#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "notify/message.h"

static char *repeat(const char *s, size_t n)
{
	size_t len = strlen(s);
	char *all = mem_zalloc(n * len + 1);

	for (size_t i = 0; i < n; i++)
		memcpy(all + i * len, s, len);
	return all;
}

static void assert_clean(const char *text, const char *want)
{
	struct message m;

	message_init(&m, LOG_INFO, text, text, NULL, 0);
	assert_string_equal(m.title, want);
	assert_string_equal(m.text, want);
	message_clear(&m);
}

static void makes_any_text_fit_for_json(void **state)
{
	assert_clean("", "");
	assert_clean("a\nb\tc\x7f", "a b c ");
	assert_clean(
		"\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x92", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x92");
	assert_clean("\x80\xc0\xaf\xc3", "????");           /* a tail, an overlong slash, cut off */
	assert_clean("\xe0\x80\x80\xed\xa0\x80", "??????"); /* overlong, a surrogate */
	assert_clean("\xf4\x90\x80\x80\xff", "?????");      /* beyond U+10FFFF */
}

static void cuts_what_is_too_long(void **state)
{
	char *exact = repeat("x", MESSAGE_TITLE_MAX), *more = repeat("\xc3\xa4", 1000);
	struct message m;

	message_init(&m, LOG_INFO, exact, more, NULL, 0);
	assert_string_equal(m.title, exact);
	/* between characters, and an ellipsis */
	assert_int_equal(strlen(m.text), (MESSAGE_TEXT_MAX - 3) / 2 * 2 + 3);
	assert_string_equal(m.text + strlen(m.text) - 5, "\xc3\xa4\xe2\x80\xa6");
	message_clear(&m);
	free(exact);
	free(more);
}

static void writes_details(void **state)
{
	static const struct notify_field fields[] = {
		{"main", "*.a.example `x`"}, {"extra[1]", NULL}};
	struct message m;
	char *s;

	message_init(&m, LOG_WARN, "Title", "See <b> 1 < 2 [x](http://y) `z`", fields, 2);
	s = message_body(&m, true);
	assert_string_equal(
		s, "See <b> 1 < 2 [x](http://y) `z`\n\nmain: *.a.example `x`\nextra[1]: -");
	free(s);
	s = message_body(&m, false);
	assert_string_equal(s, "See \\<b> 1 < 2 [x\\](http://y) \\`z\\`\n\n"
			       "- **main**: `*.a.example 'x'`\n- **extra[1]**: `-`");
	free(s);
	message_clear(&m);

	message_init(&m, LOG_WARN, "Title", "", fields, 1);
	s = message_body(&m, true);
	assert_string_equal(s, "main: *.a.example `x`");
	free(s);
	message_clear(&m);
}

/* However much there is: ntfy takes 4096 bytes, Discord 25 fields. */
static void limits_the_details(void **state)
{
	struct notify_field fields[500];
	char *value = repeat("v", 2000), *body, *text = repeat("t", 5000);
	const char *json;
	struct json_object *list;
	struct message m;

	for (size_t i = 0; i < 500; i++)
		fields[i] = (struct notify_field){"n", i % 2 ? value : "short"};
	message_init(&m, LOG_ERROR, "Title", text, fields, 500);
	body = message_body(&m, false);
	assert_true(strlen(body) > 3000);
	assert_true(strlen(body) < 4096);
	assert_non_null(strstr(body, "more"));
	free(body);
	message_clear(&m);

	for (size_t i = 0; i < 500; i++)
		fields[i].value = "short";
	message_init(&m, LOG_ERROR, "Title", "", fields, 500);
	list = message_fields_json(&m, true);
	assert_int_equal(json_object_array_length(list), 25);
	json = json_object_to_json_string_ext(
		json_object_array_get_idx(list, 24), JSON_C_TO_STRING_PLAIN);
	assert_string_equal(
		json, "{\"name\":\"\xe2\x80\xa6\",\"value\":\"and 476 more\",\"inline\":false}");
	json_object_put(list);
	message_clear(&m);
	free(value);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_any_text_fit_for_json),
		cmocka_unit_test(cuts_what_is_too_long),
		cmocka_unit_test(writes_details),
		cmocka_unit_test(limits_the_details),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
