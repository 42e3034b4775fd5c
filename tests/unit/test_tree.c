#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "conf/tree.h"

static struct tree *parse(const char *text)
{
	struct error err = {""};
	struct tree *t = tree_parse(text, strlen(text), &err);

	if (!t)
		print_error("%s\n", err.text);
	assert_non_null(t);
	return t;
}

static void assert_refused(const char *text, const char *want)
{
	struct error err = {""};

	assert_null(tree_parse(text, strlen(text), &err));
	assert_string_equal(err.text, want);
}

static void assert_at(const struct node *n, enum node_kind kind, int line, int column)
{
	assert_non_null(n);
	assert_int_equal(n->kind, kind);
	assert_int_equal(n->line, line);
	assert_int_equal(n->column, column);
}

static void keeps_places(void **state)
{
	struct tree *t = parse("a: 1\nb:\n  - x\n  - 'y'\n  - { c: ~ }\n");
	const struct node *b = node_get(t->root, "b");

	assert_at(t->root, NODE_MAP, 1, 1);
	assert_at(node_get(t->root, "a"), NODE_SCALAR, 1, 4);
	assert_at(t->root->items[1].key, NODE_SCALAR, 2, 1);
	assert_at(b, NODE_LIST, 3, 3);
	assert_int_equal(b->n, 3);
	assert_at(b->items[0].value, NODE_SCALAR, 3, 5);
	assert_true(b->items[0].value->plain);
	assert_false(b->items[1].value->plain);
	assert_string_equal(b->items[1].value->text, "y");
	assert_at(node_get(b->items[2].value, "c"), NODE_NULL, 5, 10);
	assert_null(node_get(t->root, "c"));
	assert_null(node_get(b, "a"));
	tree_free(t);
}

static void tells_null_from_text(void **state)
{
	struct tree *t = parse("[~, null, '', \"null\", nul]");
	enum node_kind want[] = {NODE_NULL, NODE_NULL, NODE_SCALAR, NODE_SCALAR, NODE_SCALAR};

	assert_int_equal(t->root->n, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(t->root->items[i].value->kind, want[i]);
	tree_free(t);
	t = parse("# nothing\n");
	assert_null(t->root);
	tree_free(t);
}

static void shares_aliases(void **state)
{
	struct tree *t = parse("a: &x [1]\nb: *x\nc: &x 2\nd: *x\n&k e: *k\n");

	assert_ptr_equal(node_get(t->root, "a"), node_get(t->root, "b"));
	assert_at(node_get(t->root, "b"), NODE_LIST, 1, 4);
	assert_string_equal(node_get(t->root, "d")->text, "2");
	assert_string_equal(node_get(t->root, "e")->text, "e");
	tree_free(t);
}

static void refuses_what_is_no_document(void **state)
{
	assert_refused("a: [1\nb: 2\n", "2:2: no valid YAML: did not find expected ',' or ']' "
					"while parsing a flow sequence that begins on line 1");
	assert_refused("a: 1\n b: 2\n",
		"2:3: no valid YAML: mapping values are not allowed in this context; is a space "
		"missing behind a colon, or is this line, or the one before, indented wrongly?");
	assert_refused("a: \"b\n",
		"2:1: no valid YAML: found unexpected end of stream while scanning a "
		"quoted scalar that begins on line 1");
	assert_refused("a: 1\nb: \xff\n", "2:4: no valid YAML: invalid leading UTF-8 octet");
	assert_refused("a: 1\n---\nb: 1\n", "2:1: a second document begins here, one is read");
	assert_refused("---\n---\n", "2:1: a second document begins here, one is read");
	assert_refused("a: \"x\\0y\"\n", "1:4: a NUL byte cannot be part of a value");
	assert_refused("a: !secret 1\n",
		"1:4: tags have no meaning here; text that begins with ! is put in quotes");
	assert_refused("a: !secret [1]\n",
		"1:4: tags have no meaning here; text that begins with ! is put in quotes");
	assert_refused("a: !secret {}\n",
		"1:4: tags have no meaning here; text that begins with ! is put in quotes");
	assert_refused("[1]: 2\n", "1:1: a key is a word, not a list or a map");
}

/* The mistakes that people make come with what mends them. */
static void says_what_mends_a_mistake(void **state)
{
	static const char *const cases[][2] = {
		{"a:\n\tb: 1\n", "2:1: a tab stands here: YAML is indented with spaces"},
		{"a: [x, *.b.c]\n", "1:9: text that begins with * is put in quotes"},
		{"a: &.b.c\n", "1:5: text that begins with & is put in quotes"},
		{"a: @b\n", "1:4: text that begins with @ is put in quotes"},
		{"a: [:443]\n", "1:5: text that begins with a colon is put in quotes"},
		{"a: { b: ${C} }\n", "1:10: inside { } and [ ] a value with ${ } in it is put in "
				     "quotes"},
		{"a:\n- b: 1\n c: 2\n", "3:2: do the lines that belong together begin in the same "
					"column?"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *place = cases[i][1], *advice = strstr(place, ": ") + 2;
		struct error err;

		assert_null(tree_parse(cases[i][0], strlen(cases[i][0]), &err));
		assert_memory_equal(err.text, place, (size_t)(advice - place));
		assert_non_null(strstr(err.text, advice));
	}
}

static void refuses_aliases_without_sense(void **state)
{
	assert_refused("a: *secret\n",
		"1:4: the alias has no anchor before it; text that begins with "
		"* is put in quotes");
	assert_refused("&a [*a]\n", "1:5: an alias cannot stand inside what it names");
	assert_refused("a: &x { b: [ *x ] }\n", "1:14: an alias cannot stand inside what it names");
}

static void limits_depth(void **state)
{
	char text[200] = "", want[100];
	struct tree *t;

	memset(text, '[', 32);
	memset(text + 32, ']', 32);
	t = parse(text);
	tree_free(t);

	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	assert_refused(text, "1:33: nested deeper than 32 levels");

	/* 31 levels in an anchor, then used one level too deep. */
	memset(text, 0, sizeof(text));
	strcpy(text, "[&a ");
	memset(text + 4, '[', 31);
	memset(text + 35, ']', 31);
	strcpy(text + 66, ", *a]");
	t = parse(text);
	tree_free(t);
	strcpy(text + 66, ", [*a]]");
	snprintf(want, sizeof(want), "1:70: nested deeper than 32 levels");
	assert_refused(text, want);
}

static void limits_growth(void **state)
{
	static const char laughs[] = "a: &a [x,x,x,x,x,x,x,x,x]\n"
				     "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
				     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
				     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
				     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
	struct str s = {0};
	struct error err;
	struct tree *t;

	assert_refused(laughs,
		"3:32: aliases make the document more than ten times as large as it is written");

	str_addf(&s, "a: &a [");
	for (int i = 0; i < 1000; i++)
		str_addf(&s, "x,");
	str_addf(&s, "]\nb: [*a,*a,*a,*a,*a,*a]\n"); /* some seven times its size */
	t = tree_parse(s.data, s.len, &err);
	assert_non_null(t);
	assert_int_equal(node_get(t->root, "b")->items[5].value->n, 1000);
	tree_free(t);
	str_clear(&s);

	str_addf(&s, "a: &a [[%0300d]]\nb: [", 0); /* large only by what lies deeper in it */
	for (int i = 0; i < 20; i++)
		str_addf(&s, "*a,");
	str_addf(&s, "]\n");
	assert_refused(s.data,
		"2:38: aliases make the document more than ten times as large as it is written");
	str_clear(&s);
}

static void limits_size(void **state)
{
	char *text = mem_zalloc(TREE_MAX_BYTES + 2);
	struct error err;
	struct tree *t;

	memset(text, ' ', TREE_MAX_BYTES + 1);
	t = tree_parse(text, TREE_MAX_BYTES, &err);
	assert_non_null(t);
	tree_free(t);
	assert_null(tree_parse(text, TREE_MAX_BYTES + 1, &err));
	assert_string_equal(err.text, "1:1: the document has more than 16 MiB");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_places),
		cmocka_unit_test(tells_null_from_text),
		cmocka_unit_test(shares_aliases),
		cmocka_unit_test(refuses_what_is_no_document),
		cmocka_unit_test(says_what_mends_a_mistake),
		cmocka_unit_test(refuses_aliases_without_sense),
		cmocka_unit_test(limits_depth),
		cmocka_unit_test(limits_growth),
		cmocka_unit_test(limits_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
