#include "conf/scalar.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/value.h"

#define SHOW_MAX   80 /* bytes of a value that a sentence shows */
#define SECRET_MAX 65536

void scalar_clear(struct scalar *v)
{
	free(v->text);
	address_clear(&v->address);
	*v = (struct scalar){0};
}

static const struct option_word *find_word(const struct option_word *words, const char *text)
{
	for (; words && words->name; words++)
		if (!strcmp(words->name, text))
			return words;
	return NULL;
}

static int read_word(
	const struct option *row, const char *text, struct scalar *v, struct error *err)
{
	const char *names[OPTION_MAX_ROWS], *near;
	const struct option_word *word = find_word(row->words, text);
	struct str list = {0};
	char shown[SHOW_MAX];
	size_t n = 0;

	str_escape(shown, sizeof(shown), text, strlen(text));
	if (word) {
		v->n = word->value;
		return 0;
	}
	for (word = row->words; word->name; word++) {
		names[n++] = word->name;
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
	const struct option *row, const char *text, bool plain, struct scalar *v, struct error *err)
{
	bool yes;

	switch (row->type) {
	case OPTION_BOOL:
		if (want_plain(row, plain, err) < 0 || value_bool(text, &yes, err) < 0)
			return -1;
		v->n = yes;
		return 0;
	case OPTION_INT:
		if (row->words && !isdigit((unsigned char)*text) && *text != '-')
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
	case OPTION_RATE: return value_rate(text, &v->n, err);
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

bool scalar_read(const struct option_loader *ld, const struct option *row, const struct node *node,
	bool from_file, struct scalar *v)
{
	/* In { } and [ ] a variable must be quoted, whatever it stands for. */
	bool plain = node->plain || (node->text && strstr(node->text, "${"));
	struct error err;
	char *text, *secret;
	int rc;

	if (!option_want_kind(ld, node, NODE_SCALAR))
		return false;
	text = value_expand(node->text, &err);
	if (text && from_file) {
		secret = read_secret(ld, text, &err);
		free(text);
		text = secret;
	}
	rc = text ? read_typed(row, text, plain, v, &err) : -1;
	free(text);
	if (rc < 0) {
		option_problem(ld, node, "%s", err.text);
		scalar_clear(v);
	}
	return rc == 0;
}

/* Moves a value to its place. */
void scalar_store(
	const struct option_loader *ld, const struct option *row, struct scalar *v, void *target)
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
	case OPTION_SECONDS:
	case OPTION_RATE: memcpy(place, &v->n, sizeof(v->n)); break;
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
