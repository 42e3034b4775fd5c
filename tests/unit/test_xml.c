/* XML answers: what is read of them, and what is refused. */
#include "http/xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reads(void **state)
{
	static const char text[] = "<?xml version=\"1.0\"?>\n<A xmlns=\"u\"><B><C>x &amp; <D/>y</C>"
				   "</B><E>1</E><F/><E><![CDATA[<2>]]></E></A>\n";
	struct xml *x = xml_parse(text, strlen(text), NULL);
	const struct xml *e;

	(void)state;
	assert_non_null(x);
	assert_string_equal(x->name, "A");
	assert_string_equal(xml_text(x, "B/C"), "x & y");
	assert_string_equal(xml_text(x, "F"), "");
	assert_null(xml_text(x, "B/D"));
	assert_null(xml_text(x, "Bb"));
	assert_null(xml_text(NULL, "B"));
	e = xml_find(x, "E");
	assert_string_equal(xml_text(e, ""), "1");
	e = xml_next(e);
	assert_string_equal(xml_text(e, ""), "<2>");
	assert_null(xml_next(e));
	xml_free(x);
}

static void refuses(void **state)
{
	static const char *const bad[][2] = {
		{"", "no element found"},
		{"text", "syntax error"},
		{"<A><B>", "no element found"},
		{"<A></B>", "mismatched tag"},
		{"<A/><B/>", "junk after document element"},
		{"<A>&b;</A>", "undefined entity"},
		{"<!DOCTYPE A [<!ENTITY b \"b\">]><A>&b;</A>", "it has a document type"},
		{"<!DOCTYPE A SYSTEM \"file:///etc/passwd\"><A/>", "it has a document type"},
		{"<A>\xff</A>", "not well-formed (invalid token)"},
	};
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(xml_parse(bad[i][0], strlen(bad[i][0]), &err));
		assert_memory_equal(err.text, "the answer is no XML: ", 22);
		assert_string_equal(err.text + 22, bad[i][1]);
	}
}

/* 32 levels are fine, 33 are not. */
static void limits_depth(void **state)
{
	struct error err;

	(void)state;
	for (int depth = 32; depth <= 33; depth++) {
		struct str s = {0};
		struct xml *x;

		for (int i = 0; i < depth; i++)
			str_addf(&s, "<a>");
		for (int i = 0; i < depth; i++)
			str_addf(&s, "</a>");
		x = xml_parse(s.data, s.len, &err);
		assert_int_equal(x != NULL, depth == 32);
		xml_free(x);
		str_clear(&s);
	}
	assert_string_equal(err.text, "the answer is no XML: it is too deep");
}

static void encodes(void **state)
{
	struct str s = {0};

	(void)state;
	xml_encode(&s, "\"a<b>&'c\"");
	assert_string_equal(s.data, "&#34;a&#60;b&#62;&#38;&#39;c&#34;");
	str_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(limits_depth),
		cmocka_unit_test(encodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
