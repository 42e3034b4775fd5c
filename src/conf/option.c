#include "conf/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/value.h"

#define SHOW_MAX        80 /* bytes of a value that a sentence shows */
#define SECRET_MAX      65536
#define MAX_SUGGESTIONS (2 * OPTION_MAX_ROWS)

/* What a scalar was read as, before it goes to its place. */
struct value {
	int64_t n; /* booleans, numbers, durations, enums */
	char *text;
	struct address address;
};

static void value_clear(struct value *v)
{
	free(v->text);
	address_clear(&v->address);
	*v = (struct value){0};
}

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

static size_t problems_count(const struct option_loader *ld)
{
	return ld->problems ? ld->problems->n : 0;
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

static bool want_kind(const struct option_loader *ld, const struct node *node, enum node_kind kind)
{
	struct node wanted = {.kind = kind};

	if (node->kind == kind)
		return true;
	if (node->kind == NODE_NULL)
		option_problem(ld, node, "has no value: give it one, or leave the key out");
	else
		option_problem(ld, node, "takes %s, not %s%s", kind_name(&wanted), kind_name(node),
			kind == NODE_LIST ? ": write [a, b]" : "");
	return false;
}

/* --- scalars --- */

static const struct option_word *find_word(const struct option_word *words, const char *text)
{
	for (; words && words->name; words++)
		if (!strcmp(words->name, text))
			return words;
	return NULL;
}

static int read_word(const struct option *row, const char *text, struct value *v, struct error *err)
{
	const char *names[OPTION_MAX_ROWS], *near;
	const struct option_word *word = find_word(row->words, text);
	struct str list = {0};
	char shown[SHOW_MAX];
	size_t n = 0;

	str_escape(shown, sizeof(shown), text, strlen(text));
	if (word && word->later)
		return error_set(err, "\"%s\" is not supported yet", shown);
	if (word) {
		v->n = word->value;
		return 0;
	}
	str_add(&list, "", 0);
	for (word = row->words; word->name; word++) {
		names[n++] = word->name;
		if (!word->later)
			str_addf(&list, "%s%s", list.len ? ", " : "", word->name);
	}
	near = str_nearest(text, names, n);
	if (near)
		error_set(err, "\"%s\" is unknown, did you mean \"%s\"?", shown, near);
	else
		error_set(err, "\"%s\" is unknown, possible: %s", shown, list.data);
	str_clear(&list);
	return -1;
}

/* A value in quotes is text, and text is no number. */
static int want_plain(const struct option *row, bool plain, struct error *err)
{
	if (plain)
		return 0;
	return error_set(err, "is text because of its quotes: write %s without them",
		row->type == OPTION_BOOL ? "true or false" : "the number");
}

static int read_typed(
	const struct option *row, const char *text, bool plain, struct value *v, struct error *err)
{
	bool yes;

	switch (row->type) {
	case OPTION_BOOL:
		if (want_plain(row, plain, err) < 0 || value_bool(text, &yes, err) < 0)
			return -1;
		v->n = yes;
		return 0;
	case OPTION_INT:
		if (row->words && find_word(row->words, text))
			return read_word(row, text, v, err);
		/* fallthrough */
	case OPTION_COUNT:
		if (want_plain(row, plain, err) < 0)
			return -1;
		return value_int(text, row->min, row->max, &v->n, err);
	case OPTION_MS: return value_duration(text, row->min, row->max, &v->n, err);
	case OPTION_SECONDS:
		if (value_duration(text, row->min, row->max, &v->n, err) < 0)
			return -1;
		if (v->n % 1000)
			return error_set(err, "\"%.40s\" is no whole number of seconds", text);
		v->n /= 1000;
		return 0;
	case OPTION_ENUM: return read_word(row, text, v, err);
	case OPTION_ADDRESS:
		if (address_parse(&v->address, text, err) < 0)
			return -1;
		return row->check_address ? row->check_address(&v->address, err) : 0;
	case OPTION_STRING:
	case OPTION_STRINGS:
	case OPTION_PATH:
	case OPTION_LOG_FILE:
		if (!*text)
			return error_set(err, "is empty");
		v->text = mem_strdup(text);
		return row->check ? row->check(&v->text, err) : 0;
	case OPTION_MAP:
	case OPTION_MAPS:
	case OPTION_OWN: break;
	}
	return error_set(err, "has no type");
}

/* The secret that stands in the file that KEY_file names. */
static char *read_secret(const struct option_loader *ld, const char *path, struct error *err)
{
	char *resolved = file_resolve(ld->state_dir, path), *text;
	size_t len;

	text = file_read(resolved, SECRET_MAX, &len, err);
	free(resolved);
	if (!text)
		return NULL;
	if (len && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len && text[len - 1] == '\r')
		text[--len] = '\0';
	if (len && strlen(text) == len)
		return text;
	error_set(err, "the file %.200s %s", path, len ? "has a NUL byte" : "is empty");
	free(text);
	return NULL;
}

static bool read_scalar(const struct option_loader *ld, const struct option *row,
	const struct node *node, bool from_file, struct value *v)
{
	struct error err;
	char *text, *secret;
	int rc;

	if (!want_kind(ld, node, NODE_SCALAR))
		return false;
	text = value_expand(node->text, &err);
	if (text && from_file) {
		secret = read_secret(ld, text, &err);
		free(text);
		text = secret;
	}
	rc = text ? read_typed(row, text, node->plain, v, &err) : -1;
	free(text);
	if (rc < 0) {
		option_problem(ld, node, "%s", err.text);
		value_clear(v);
	}
	return rc == 0;
}

/* Moves a value to its place. */
static void store(
	const struct option_loader *ld, const struct option *row, struct value *v, void *target)
{
	char *place = (char *)target + row->offset, *path;
	bool yes = v->n != 0;
	int small = (int)v->n;

	switch (row->type) {
	case OPTION_BOOL: memcpy(place, &yes, sizeof(yes)); break;
	case OPTION_INT:
	case OPTION_ENUM: memcpy(place, &small, sizeof(small)); break;
	case OPTION_COUNT:
	case OPTION_MS:
	case OPTION_SECONDS: memcpy(place, &v->n, sizeof(v->n)); break;
	case OPTION_PATH:
	case OPTION_LOG_FILE:
		path = row->type == OPTION_LOG_FILE && !strcmp(v->text, "-")
			       ? mem_strdup(v->text)
			       : file_resolve(ld->state_dir, v->text);
		memcpy(place, &path, sizeof(path));
		break;
	case OPTION_STRING:
		memcpy(place, &v->text, sizeof(v->text));
		v->text = NULL;
		break;
	case OPTION_ADDRESS:
		memcpy(place, &v->address, sizeof(v->address));
		v->address = (struct address){0};
		break;
	case OPTION_STRINGS:
	case OPTION_MAP:
	case OPTION_MAPS:
	case OPTION_OWN: break;
	}
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
	struct conf_strings *to = target ? (void *)((char *)target + row->offset) : NULL;

	for (size_t i = 0; i < node->n && !is_full(ld); i++) {
		size_t before = option_enter(ld, "[%zu]", i);
		struct value v = {0};

		if (read_scalar(ld, row, node->items[i].value, false, &v) && to) {
			*(char **)mem_grow(&to->v, to->n++, sizeof(*to->v)) = v.text;
			v.text = NULL;
		}
		value_clear(&v);
		option_leave(ld, before);
	}
}

static void load_maps(
	struct option_loader *ld, const struct option *row, const struct node *node, void *target)
{
	const struct option_map *map = row->map;
	/* The row's limit on entries keeps the product small. */
	char *array = target && node->n ? mem_zalloc(node->n * map->size) : NULL;

	for (size_t i = 0; i < node->n && !is_full(ld); i++) {
		const struct node *entry = node->items[i].value;
		struct node key = {.kind = NODE_SCALAR, .text = (char *)map->rows[0].key};
		struct item only = {.key = &key, .value = entry};
		void *to = array ? array + i * map->size : NULL;
		size_t before = option_enter(ld, "[%zu]", i);

		if ((row->flags & OPTION_SHORT) && entry->kind == NODE_SCALAR)
			option_load_items(ld, map, entry, &only, 1, 0, to);
		else
			option_load(ld, map, entry, to);
		if (array)
			*(size_t *)(void *)((char *)target + row->count) = i + 1;
		option_leave(ld, before);
	}
	if (array)
		memcpy((char *)target + row->offset, &array, sizeof(array));
}

/* --- maps --- */

static void load_any(struct option_loader *ld, const struct option *row, const struct node *node,
	bool from_file, void *target)
{
	struct value v = {0};

	switch (row->type) {
	case OPTION_MAP:
		option_load(ld, row->map, node, target ? (char *)target + row->offset : NULL);
		return;
	case OPTION_STRINGS:
		if (want_kind(ld, node, NODE_LIST) && check_length(ld, row, node))
			load_strings(ld, row, node, target);
		return;
	case OPTION_MAPS:
		if (want_kind(ld, node, NODE_LIST) && check_length(ld, row, node))
			load_maps(ld, row, node, target);
		return;
	case OPTION_OWN: return;
	case OPTION_BOOL:
	case OPTION_INT:
	case OPTION_COUNT:
	case OPTION_MS:
	case OPTION_SECONDS:
	case OPTION_ENUM:
	case OPTION_STRING:
	case OPTION_PATH:
	case OPTION_LOG_FILE:
	case OPTION_ADDRESS: break;
	}
	if (read_scalar(ld, row, node, from_file, &v) && target)
		store(ld, row, &v, target);
	value_clear(&v);
}

static bool is_default(
	const struct option_loader *ld, const struct option *row, const struct node *node)
{
	struct node fallback = {.kind = NODE_SCALAR, .plain = true, .text = (char *)row->fallback};
	struct value given = {0}, wanted = {0};
	bool same;

	if (node->kind == NODE_LIST)
		return node->n == 0;
	if (node->kind != NODE_SCALAR || !row->fallback)
		return false;
	same = read_scalar(ld, row, node, false, &given) &&
	       read_scalar(ld, row, &fallback, false, &wanted) && given.n == wanted.n &&
	       !strcmp(given.text ? given.text : "", wanted.text ? wanted.text : "");
	value_clear(&given);
	value_clear(&wanted);
	return same;
}

static void load_later(
	struct option_loader *ld, const struct option *row, const struct node *node, bool from_file)
{
	size_t before = problems_count(ld);

	load_any(ld, row, node, from_file, NULL);
	if (problems_count(ld) != before || (!from_file && is_default(ld, row, node)))
		return;
	if (row->fallback)
		option_problem(
			ld, node, "not supported yet, but for its default: %s", row->fallback);
	else
		option_problem(ld, node, "not supported yet: leave the key out");
}

static bool is_file_key(const struct option *row, const char *key)
{
	size_t len = strlen(row->key);

	return (row->flags & OPTION_SECRET) && !strncmp(key, row->key, len) &&
	       !strcmp(key + len, "_file");
}

static void unknown_key(
	struct option_loader *ld, const struct option_map *map, const struct node *key)
{
	char shown[SHOW_MAX], files[OPTION_MAX_ROWS][64];
	const char *names[MAX_SUGGESTIONS], *near;
	size_t n = 0, before;

	for (size_t i = 0; i < map->n; i++) {
		names[n++] = map->rows[i].key;
		if (!(map->rows[i].flags & OPTION_SECRET))
			continue;
		snprintf(files[i], sizeof(files[i]), "%s_file", map->rows[i].key);
		names[n++] = files[i];
	}
	near = str_nearest(key->text, names, n);
	before = enter_key(ld, str_escape(shown, sizeof(shown), key->text, strlen(key->text)));
	if (key->plain && !strcmp(key->text, "<<"))
		option_problem(ld, key,
			"merging maps has no meaning here: use an alias for a whole value, "
			"or write the keys out");
	else if (near)
		option_problem(ld, key, "unknown key, did you mean \"%s\"?", near);
	else
		option_problem(ld, key, "unknown key");
	option_leave(ld, before);
}

static void load_item(struct option_loader *ld, const struct option_map *map,
	const struct item *item, const struct node **seen, void *target)
{
	const char *key = item->key->text;
	const struct option *row;
	bool from_file = false;
	size_t i = 0, before;

	while (i < map->n && strcmp(map->rows[i].key, key) != 0 &&
		!(from_file = is_file_key(&map->rows[i], key)))
		i++;
	if (i == map->n) {
		unknown_key(ld, map, item->key);
		return;
	}
	row = &map->rows[i];
	before = enter_key(ld, key);
	if (seen[i] && strcmp(seen[i]->text, key) != 0) {
		option_problem(ld, item->key, "%s is given too, on line %d: keep one of them",
			seen[i]->text, seen[i]->line);
	} else if (seen[i]) {
		option_problem(
			ld, item->key, "the key is there twice, first on line %d", seen[i]->line);
	} else {
		seen[i] = item->key;
		if (target && row->present)
			*((char *)target + row->present - 1) = true;
		if (row->flags & OPTION_LATER)
			load_later(ld, row, item->value, from_file);
		else
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
	else if (row->type == OPTION_MAP && !(row->flags & (OPTION_ABSENT | OPTION_LATER)))
		option_load_items(ld, row->map, NULL, NULL, 0, 0,
			target ? (char *)target + row->offset : NULL);
	else if (row->fallback && target && !(row->flags & OPTION_LATER))
		load_any(ld, row, &fallback, false, target);
	option_leave(ld, before);
}

void option_load_items(struct option_loader *ld, const struct option_map *map,
	const struct node *at, const struct item *items, size_t n, size_t n_quiet, void *target)
{
	const struct node *seen[OPTION_MAX_ROWS] = {0};
	struct problems *problems = ld->problems;

	if (target && at && map->place != OPTION_NO_PLACE)
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

void option_load(struct option_loader *ld, const struct option_map *map, const struct node *node,
	void *target)
{
	if (want_kind(ld, node, NODE_MAP))
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
	case OPTION_ENUM:
	case OPTION_OWN: break;
	}
}

void option_clear(const struct option_map *map, void *target)
{
	for (size_t i = 0; i < map->n; i++)
		if (!(map->rows[i].flags & OPTION_LATER))
			clear_one(&map->rows[i], (char *)target + map->rows[i].offset,
				(char *)target + map->rows[i].count);
}
