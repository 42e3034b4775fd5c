#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "notify/template.h"

static void assert_filled(enum template_kind kind, bool plain, const char *text, const char *want)
{
	static const struct notify_field field = {"main", "a \"b\""};
	struct message m;
	char *got;

	message_init(&m, LOG_ERROR, "T \"1\" \\ \xc3\xa4", "m & `n`", &field, 1);
	got = template_fill(text, kind, &m, plain);
	assert_string_equal(got, want);
	free(got);
	message_clear(&m);
}

static void fills_json(void **state)
{
	/* values */
	assert_filled(TEMPLATE_JSON, true, "{\"a\":$title,\"b\":$message,\"c\":$color}",
		"{\"a\":\"T \\\"1\\\" \\\\ \xc3\xa4\",\"b\":\"m & `n`\",\"c\":13840175}");
	assert_filled(TEMPLATE_JSON, true, "$fields",
		"[{\"name\":\"main\",\"value\":\"a \\\"b\\\"\",\"inline\":false}]");
	/* within a string */
	assert_filled(TEMPLATE_JSON, true, "\"$title: $message; $fields $color\"",
		"\"T \\\"1\\\" \\\\ \xc3\xa4: m & `n`; main: a \\\"b\\\" #d32f2f\"");
	assert_filled(TEMPLATE_JSON, false, "\"$message $fields\"",
		"\"m & \\\\`n\\\\` - **main**: `a \\\"b\\\"`\"");
	/* what ends a string, and what does not */
	assert_filled(TEMPLATE_JSON, true, "\"\\\"$color\" $color \"\\\\\" $color",
		"\"\\\"#d32f2f\" 13840175 \"\\\\\" 13840175");
}

static void fills_other_types(void **state)
{
	assert_filled(TEMPLATE_TEXT, true, "\"$title\"\n$fields",
		"\"T \"1\" \\ \xc3\xa4\"\nmain: a \"b\"");
	assert_filled(TEMPLATE_FORM, true, "a=$title&b=$color",
		"a=T%20%221%22%20%5C%20%C3%A4&b=%23d32f2f");
}

static void leaves_other_words_alone(void **state)
{
	assert_filled(TEMPLATE_TEXT, true, "$ $$ $titles $title_ $Title $5 ${title} $",
		"$ $$ $titles $title_ $Title $5 ${title} $");
	assert_filled(TEMPLATE_TEXT, true, "$color$color-$color.", "#d32f2f#d32f2f-#d32f2f.");
}

static void knows_types(void **state)
{
	assert_int_equal(template_kind_of("application/json"), TEMPLATE_JSON);
	assert_int_equal(template_kind_of("Application/JSON; charset=utf-8"), TEMPLATE_JSON);
	assert_int_equal(template_kind_of("application/vnd.x+json"), TEMPLATE_JSON);
	assert_int_equal(template_kind_of("application/x-www-form-urlencoded"), TEMPLATE_FORM);
	assert_int_equal(template_kind_of("text/plain"), TEMPLATE_TEXT);
	assert_int_equal(template_kind_of("text/xjson"), TEMPLATE_TEXT);
	assert_int_equal(template_kind_of("a/b"), TEMPLATE_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_json),
		cmocka_unit_test(fills_other_types),
		cmocka_unit_test(leaves_other_words_alone),
		cmocka_unit_test(knows_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
