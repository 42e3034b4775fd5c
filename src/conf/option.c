#include "conf/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/scalar.h"

#define SHOW_MAX        80 /* bytes of a value that a sentence shows */
#define MAX_SUGGESTIONS (2 * OPTION_MAX_ROWS)

void option_problem(const struct option_loader *ld, const struct node *at, const char *fmt, ...)
{
	char what[ERROR_MAX], place[32] = "";
	va_list ap;

	if (!ld->problems)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (at)
		snprintf(place, sizeof(place), ":%d:%d", at->line, at->column);
	problems_add(ld->problems, "%s%s: %s%s%s", ld->file, place, ld->path,
		ld->path_len ? ": " : "", what);
}

size_t option_enter(struct option_loader *ld, const char *fmt, ...)
{
	size_t before = ld->path_len, room = sizeof(ld->path) - before;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(ld->path + before, room, fmt, ap);
	va_end(ap);
	ld->path_len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
	return before;
}

void option_leave(struct option_loader *ld, size_t before)
{
	ld->path_len = before;
	ld->path[before] = '\0';
}

static size_t enter_key(struct option_loader *ld, const char *key)
{
	return option_enter(ld, "%s%s", ld->path_len ? "." : "", key);
}

/* Once the list of problems is full there is no use in looking for more. */
static bool is_full(const struct option_loader *ld)
{
	return ld->problems && ld->problems->n > PROBLEMS_MAX;
}

static const char *kind_name(const struct node *n)
{
	switch (n->kind) {
	case NODE_NULL: return "nothing";
	case NODE_SCALAR: return "a single value";
	case NODE_LIST: return "a list";
	case NODE_MAP: return "a map of keys";
	}
	return "?";
}

bool option_want_kind(const struct option_loader *ld, const struct node *node, enum node_kind kind)
{
	struct node wanted = {.kind = kind};

	if (node->kind == kind)
		return true;
	if (node->kind == NODE_NULL)
		option_problem(ld, node, "has no value: give it one, or leave the key out");
	else
		option_problem(ld, node, "takes %s, not %s%s", kind_name(&wanted), kind_name(node),
			kind == NODE_LIST ? ": begin each entry with \"- \", or write [a, b]" : "");
	return false;
}

/* --- lists --- */

static bool check_length(
	const struct option_loader *ld, const struct option *row, const struct node *node)
{
	if ((row->flags & OPTION_REQUIRED) && !node->n)
		option_problem(ld, node, "needs at least one entry");
	else if (row->max && node->n > (uint64_t)row->max)
		option_problem(
			ld, node, "has %zu entries, %" PRId64 " are possible", node->n, row->max);
	else
		return true;
	return false;
}

static void load_strings(
	struct option_loader *ld, const struct option *row, const struct node *node, void *target)
{
	struct conf_strings *to = (void *)((char *)target + row->offset);

	for (size_t i = 0; i < node->n && !is_full(ld); i++) {
		size_t before = option_enter(ld, "[%zu]", i);
		struct scalar v = {0};

		if (scalar_read(ld, row, node->items[i].value, false, &v)) {
			*(char **)mem_grow(&to->v, to->n++, sizeof(*to->v)) = v.text;
			v.text = NULL;
		}
		scalar_clear(&v);
		option_leave(ld, before);
	}
}

static void load_map(
	struct option_loader *ld, const struct option *row, const struct node *node, void *target)
{
	struct node key = {.kind = NODE_SCALAR, .text = (char *)row->map->rows[0].key};
	struct item only = {.key = &key, .value = node};

	if ((row->flags & OPTION_SHORT) && node->kind == NODE_SCALAR)
		option_load_items(ld, row->map, node, &only, 1, 0, target);
	else
		option_load(ld, row->map, node, target);
}

static void load_maps(
	struct option_loader *ld, const struct option *row, const struct node *node, void *target)
{
	const struct option_map *map = row->map;
	/* The row's limit on entries keeps the product small. */
	char *array = node->n ? mem_zalloc(node->n * map->size) : NULL;

	for (size_t i = 0; i < node->n && !is_full(ld); i++) {
		size_t before = option_enter(ld, "[%zu]", i);

		load_map(ld, row, node->items[i].value, array + i * map->size);
		*(size_t *)(void *)((char *)target + row->count) = i + 1;
		option_leave(ld, before);
	}
	memcpy((char *)target + row->offset, &array, sizeof(array));
}

/* --- maps --- */

static void load_any(struct option_loader *ld, const struct option *row, const struct node *node,
	bool from_file, void *target)
{
	struct scalar v = {0};

	switch (row->type) {
	case OPTION_MAP: load_map(ld, row, node, (char *)target + row->offset); return;
	case OPTION_STRINGS:
		if (option_want_kind(ld, node, NODE_LIST) && check_length(ld, row, node))
			load_strings(ld, row, node, target);
		return;
	case OPTION_MAPS:
		if (option_want_kind(ld, node, NODE_LIST) && check_length(ld, row, node))
			load_maps(ld, row, node, target);
		return;
	case OPTION_OWN: return;
	case OPTION_BOOL:
	case OPTION_INT:
	case OPTION_COUNT:
	case OPTION_MS:
	case OPTION_SECONDS:
	case OPTION_RATE:
	case OPTION_ENUM:
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_LOG_FILE:
	case OPTION_ADDRESS: break;
	}
	if (scalar_read(ld, row, node, from_file, &v))
		scalar_store(ld, row, &v, target);
	scalar_clear(&v);
}

static bool is_file_key(const struct option *row, const char *key)
{
	size_t len = strlen(row->key);

	return (row->flags & OPTION_SECRET) && !strncmp(key, row->key, len) &&
	       !strcmp(key + len, "_file");
}

const struct option *option_find(const struct option_map *map, const char *key, bool *from_file)
{
	for (size_t i = 0; i < map->n; i++) {
		*from_file = is_file_key(&map->rows[i], key);
		if (*from_file || !strcmp(map->rows[i].key, key))
			return &map->rows[i];
	}
	return NULL;
}

static void unknown_key(
	struct option_loader *ld, const struct option_map *map, const struct node *key)
{
	char shown[SHOW_MAX], word[SHOW_MAX], files[OPTION_MAX_ROWS][64];
	const char *names[MAX_SUGGESTIONS], *near;
	size_t n = 0, before, len;
	bool from_file;

	for (size_t i = 0; i < map->n; i++) {
		names[n++] = map->rows[i].key;
		if (!(map->rows[i].flags & OPTION_SECRET))
			continue;
		snprintf(files[i], sizeof(files[i]), "%s_file", map->rows[i].key);
		names[n++] = files[i];
	}
	/* Behind a colon without its space, or where one is missing, there may be a secret. */
	len = strcspn(key->text, ": ");
	snprintf(word, sizeof(word), "%.*s", (int)len, key->text);
	near = str_nearest(word, names, n);
	before = enter_key(ld, str_escape(shown, sizeof(shown), key->text, len));
	if (key->plain && !strcmp(key->text, "<<"))
		option_problem(ld, key,
			"merging maps has no meaning here: use an alias for a whole value, "
			"or write the keys out");
	else if (key->text[len] == ':')
		option_problem(ld, key, "a space is missing behind the colon");
	else if (key->text[len])
		option_problem(ld, key, "a colon is missing behind this word");
	else if (near)
		option_problem(ld, key, "unknown key, did you mean \"%s\"?", near);
	else if (option_find(map, "options", &from_file))
		option_problem(
			ld, key, "unknown key; what one provider alone takes stands in options");
	else
		option_problem(ld, key, "unknown key");
	option_leave(ld, before);
}

static void load_item(struct option_loader *ld, const struct option_map *map,
	const struct item *item, const struct node **seen, void *target)
{
	const char *key = item->key->text;
	bool from_file;
	const struct option *row = option_find(map, key, &from_file);
	const struct node **first;
	size_t before;

	if (!row) {
		unknown_key(ld, map, item->key);
		return;
	}
	first = &seen[row - map->rows];
	before = enter_key(ld, key);
	if (*first && strcmp((*first)->text, key) != 0) {
		option_problem(ld, item->key, "%s is given too, on line %d: keep one of them",
			(*first)->text, (*first)->line);
	} else if (*first) {
		option_problem(
			ld, item->key, "the key is there twice, first on line %d", (*first)->line);
	} else {
		*first = item->key;
		if (row->present)
			*((char *)target + row->present - 1) = true;
		load_any(ld, row, item->value, from_file, target);
	}
	option_leave(ld, before);
}

static void load_missing(
	struct option_loader *ld, const struct option *row, const struct node *at, void *target)
{
	struct node fallback = {.kind = NODE_SCALAR, .plain = true, .text = (char *)row->fallback};
	size_t before = enter_key(ld, row->key);

	if (row->flags & OPTION_REQUIRED)
		option_problem(ld, at, "is missing");
	else if (row->type == OPTION_MAP && !(row->flags & OPTION_ABSENT))
		option_load_items(ld, row->map, NULL, NULL, 0, 0, (char *)target + row->offset);
	else if (row->fallback)
		load_any(ld, row, &fallback, false, target);
	option_leave(ld, before);
}

void option_load_items(struct option_loader *ld, const struct option_map *map,
	const struct node *at, const struct item *items, size_t n, size_t n_quiet, void *target)
{
	const struct node *seen[OPTION_MAX_ROWS] = {0};
	struct problems *problems = ld->problems;

	if (at && map->place != OPTION_NO_PLACE)
		*(struct conf_place *)(void *)((char *)target + map->place) =
			(struct conf_place){.line = at->line, .column = at->column};
	for (size_t i = 0; i < n && !is_full(ld); i++) {
		ld->problems = i < n_quiet ? NULL : problems;
		load_item(ld, map, &items[i], seen, target);
	}
	ld->problems = problems;
	for (size_t i = 0; i < map->n; i++)
		if (!seen[i])
			load_missing(ld, &map->rows[i], at, target);
}

/* Whether `node` is the value that the map's first key is wanted with, without the key. */
static bool lacks_its_key(const struct option_map *map, const struct node *node)
{
	const struct option_word *word = map->n ? map->rows[0].words : NULL;

	if (!word || node->kind != NODE_SCALAR)
		return false;
	while (word->name && strcmp(word->name, node->text) != 0)
		word++;
	return word->name;
}

void option_load(struct option_loader *ld, const struct option_map *map, const struct node *node,
	void *target)
{
	if (lacks_its_key(map, node))
		option_problem(ld, node, "takes a map of keys: write { %s: %s }", map->rows[0].key,
			node->text);
	else if (option_want_kind(ld, node, NODE_MAP))
		option_load_items(ld, map, node, node->items, node->n, 0, target);
}

static void clear_one(const struct option *row, char *place, const char *count)
{
	struct conf_strings *strings = (void *)place;
	char *array;
	size_t n;

	switch (row->type) {
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_LOG_FILE: free(*(char **)(void *)place); break;
	case OPTION_ADDRESS: address_clear((void *)place); break;
	case OPTION_STRINGS:
		for (size_t i = 0; i < strings->n; i++)
			free(strings->v[i]);
		free(strings->v);
		break;
	case OPTION_MAP: option_clear(row->map, place); break;
	case OPTION_MAPS:
		memcpy(&array, place, sizeof(array));
		memcpy(&n, count, sizeof(n));
		for (size_t i = 0; i < n; i++)
			option_clear(row->map, array + i * row->map->size);
		free(array);
		break;
	case OPTION_BOOL:
	case OPTION_INT:
	case OPTION_COUNT:
	case OPTION_MS:
	case OPTION_SECONDS:
	case OPTION_RATE:
	case OPTION_ENUM:
	case OPTION_OWN: break;
	}
}

void option_clear(const struct option_map *map, void *target)
{
	for (size_t i = 0; i < map->n; i++)
		clear_one(&map->rows[i], (char *)target + map->rows[i].offset,
			(char *)target + map->rows[i].count);
}
