#include "conf/tree.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

struct anchor {
	char *name;
	struct node *node;
};

struct parse {
	struct tree *tree;
	struct error *err;
	void *anchors; /* a tsearch() tree of struct anchor */
	uint64_t size, max_size;
	struct node *stack[TREE_MAX_DEPTH]; /* lists and maps whose end was not seen yet */
	int depth;
	/* For each level: a map's key that waits for its value. */
	const struct node *key[TREE_MAX_DEPTH];
};

/* Names of aliases and tags are not shown: a secret that begins with * or ! looks like one. */
static int fail(struct parse *p, yaml_mark_t at, const char *what)
{
	return error_set(p->err, "%zu:%zu: %s", at.line + 1, at.column + 1, what);
}

static int compare_anchors(const void *a, const void *b)
{
	return strcmp(((const struct anchor *)a)->name, ((const struct anchor *)b)->name);
}

static void free_anchor(void *p)
{
	struct anchor *a = p;

	free(a->name);
	free(a);
}

/* An anchor may be given again; aliases mean the last one before them (YAML 1.1, 3.2.2.2). */
static void add_anchor(struct parse *p, const yaml_char_t *name, struct node *node)
{
	struct anchor *a, **slot;

	if (!name)
		return;
	a = mem_zalloc(sizeof(*a));
	a->name = mem_strdup((const char *)name);
	slot = tsearch(a, &p->anchors, compare_anchors);
	if (!slot)
		abort(); /* out of memory */
	if (*slot != a)
		free_anchor(a);
	(*slot)->node = node;
}

static struct node *new_node(struct parse *p, enum node_kind kind, const yaml_event_t *e)
{
	struct node *n = mem_zalloc(sizeof(*n));

	n->kind = kind;
	n->line = (int)e->start_mark.line + 1;
	n->column = (int)e->start_mark.column + 1;
	n->next = p->tree->nodes;
	p->tree->nodes = n;
	return n;
}

/* Puts a finished scalar, an alias's target or a list or map that begins where it belongs. */
static int put(struct parse *p, const struct node *n, yaml_mark_t at)
{
	struct node *in = p->depth ? p->stack[p->depth - 1] : NULL;
	const struct node **key = p->depth ? &p->key[p->depth - 1] : NULL;
	struct item *item;

	if (!in) {
		p->tree->root = n;
		return 0;
	}
	if (in->kind == NODE_MAP && !*key) {
		if (n->kind != NODE_SCALAR && n->kind != NODE_NULL)
			return fail(p, at, "a key is a word, not a list or a map");
		*key = n;
		return 0;
	}
	item = mem_grow(&in->items, in->n++, sizeof(*item));
	item->key = in->kind == NODE_MAP ? *key : NULL;
	item->value = n;
	*key = NULL;
	return 0;
}

static int count(struct parse *p, uint64_t size, yaml_mark_t at)
{
	p->size += size;
	if (p->depth)
		p->stack[p->depth - 1]->size += size;
	if (p->size > p->max_size)
		return fail(p, at,
			"aliases make the document more than ten times as large as it is written");
	return 0;
}

static int check_tag(struct parse *p, const yaml_char_t *tag, yaml_mark_t at)
{
	if (!tag)
		return 0;
	return fail(p, at, "tags have no meaning here; text that begins with ! is put in quotes");
}

static bool is_null(const char *text)
{
	return !*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
	       !strcmp(text, "NULL");
}

static int on_scalar(struct parse *p, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	struct node *n;

	if (check_tag(p, e->data.scalar.tag, e->start_mark) < 0)
		return -1;
	if (strlen(text) != len)
		return fail(p, e->start_mark, "a NUL byte cannot be part of a value");
	if (count(p, len + 1, e->start_mark) < 0)
		return -1;
	n = new_node(p, NODE_SCALAR, e);
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->size = len + 1;
	n->text = mem_strdup(text);
	if (n->plain && is_null(text))
		n->kind = NODE_NULL;
	add_anchor(p, e->data.scalar.anchor, n);
	return put(p, n, e->start_mark);
}

static int on_alias(struct parse *p, const yaml_event_t *e)
{
	struct anchor key = {.name = (char *)e->data.alias.anchor}, **found;
	const struct node *n;

	found = tfind(&key, &p->anchors, compare_anchors);
	if (!found)
		return fail(p, e->start_mark,
			"the alias has no anchor before it; text that begins with * is put in "
			"quotes");
	n = (*found)->node;
	if (n->open)
		return fail(p, e->start_mark, "an alias cannot stand inside what it names");
	if (p->depth + n->height > TREE_MAX_DEPTH)
		return fail(p, e->start_mark, "nested deeper than 32 levels");
	if (count(p, n->size, e->start_mark) < 0)
		return -1;
	return put(p, n, e->start_mark);
}

static int on_start(struct parse *p, const yaml_event_t *e, enum node_kind kind,
	const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct node *n;

	if (check_tag(p, tag, e->start_mark) < 0 || count(p, 1, e->start_mark) < 0)
		return -1;
	if (p->depth == TREE_MAX_DEPTH)
		return fail(p, e->start_mark, "nested deeper than 32 levels");
	n = new_node(p, kind, e);
	n->open = true;
	n->size = 1;
	n->height = 1;
	add_anchor(p, anchor, n);
	if (put(p, n, e->start_mark) < 0)
		return -1;
	p->key[p->depth] = NULL;
	p->stack[p->depth++] = n;
	return 0;
}

static void on_end(struct parse *p)
{
	struct node *n = p->stack[--p->depth];

	n->open = false;
	for (size_t i = 0; i < n->n; i++)
		if (n->items[i].value->height >= n->height)
			n->height = n->items[i].value->height + 1;
	if (p->depth)
		p->stack[p->depth - 1]->size += n->size - 1; /* its first byte was counted there */
}

static int on_event(struct parse *p, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT: return 0;
	case YAML_DOCUMENT_START_EVENT:
		if (p->tree->nodes)
			return fail(p, e->start_mark, "a second document begins here, one is read");
		return 0;
	case YAML_SCALAR_EVENT: return on_scalar(p, e);
	case YAML_ALIAS_EVENT: return on_alias(p, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(
			p, e, NODE_LIST, e->data.sequence_start.anchor, e->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_start(
			p, e, NODE_MAP, e->data.mapping_start.anchor, e->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: on_end(p); return 0;
	}
	return 0;
}

#define HINT_SIZE 112

/* What libyaml calls by the grammar's names, as a mistake of whoever wrote the line. */
static const char *hint(char out[HINT_SIZE], const yaml_parser_t *y, char at)
{
	const char *problem = y->problem ? y->problem : "", *context = y->context ? y->context : "";

	if (strstr(context, "an alias") || strstr(context, "an anchor"))
		at = strstr(context, "an alias") ? '*' : '&';
	*out = '\0';
	if (at == '\t')
		return "; a tab stands here: YAML is indented with spaces";
	if (at && strchr("*&!%@`", at))
		snprintf(out, HINT_SIZE, "; text that begins with %c is put in quotes", at);
	else if (at == ':' && strstr(problem, "node content"))
		return "; text that begins with a colon is put in quotes, as in \":443\"";
	else if (at == '{' && strstr(context, "flow"))
		return "; inside { } and [ ] a value with ${ } in it is put in quotes";
	else if (strstr(problem, "mapping values are not allowed"))
		return "; is a space missing behind a colon, or is this line, or the one before, "
		       "indented wrongly?";
	else if (strstr(context, "block"))
		return "; do the lines that belong together begin in the same column?";
	return out;
}

/* What libyaml found wrong. It marks a place, but for bytes that are no UTF-8: these have an
 * offset only. */
static int fail_syntax(struct parse *p, const yaml_parser_t *y, const char *text, size_t len)
{
	yaml_mark_t at = y->problem_mark;
	char begun[48] = "", found, advice[HINT_SIZE];

	if (y->error == YAML_MEMORY_ERROR)
		abort();
	if (y->error == YAML_READER_ERROR) {
		at = (yaml_mark_t){0};
		for (size_t i = 0; i < y->problem_offset && i < len; i++) {
			at.column++;
			if (text[i] == '\n')
				at = (yaml_mark_t){.line = at.line + 1};
		}
	}
	found = y->error != YAML_READER_ERROR && at.index < len ? text[at.index] : '\0';
	if (y->context && y->context_mark.line < at.line)
		snprintf(
			begun, sizeof(begun), " that begins on line %zu", y->context_mark.line + 1);
	return error_set(p->err, "%zu:%zu: no valid YAML: %s%s%s%s%s", at.line + 1, at.column + 1,
		y->problem ? y->problem : "unknown error", y->context ? " " : "",
		y->context ? y->context : "", begun, hint(advice, y, found));
}

struct tree *tree_parse(const char *text, size_t len, struct error *err)
{
	struct parse p = {.err = err, .max_size = TREE_MAX_GROWTH * (uint64_t)len};
	yaml_parser_t y;
	yaml_event_t e;
	bool done = false;
	int rc = 0;

	if (len > TREE_MAX_BYTES) {
		error_set(err, "1:1: the document has more than 16 MiB");
		return NULL;
	}
	p.tree = mem_zalloc(sizeof(*p.tree));
	if (!yaml_parser_initialize(&y))
		abort(); /* out of memory */
	yaml_parser_set_input_string(&y, (const unsigned char *)text, len);
	while (rc == 0 && !done) {
		if (!yaml_parser_parse(&y, &e)) {
			rc = fail_syntax(&p, &y, text, len);
			break;
		}
		done = e.type == YAML_STREAM_END_EVENT;
		rc = on_event(&p, &e);
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&y);
	tdestroy(p.anchors, free_anchor);
	if (rc < 0) {
		tree_free(p.tree);
		return NULL;
	}
	return p.tree;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (struct node *n = t->nodes, *next; n; n = next) {
		next = n->next;
		free(n->text);
		free(n->items);
		free(n);
	}
	free(t);
}

const struct node *node_get(const struct node *map, const char *key)
{
	if (!map || map->kind != NODE_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (!strcmp(map->items[i].key->text, key))
			return map->items[i].value;
	return NULL;
}
