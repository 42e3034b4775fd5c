#include "notify/template.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"

enum word { WORD_TITLE, WORD_MESSAGE, WORD_FIELDS, WORD_COLOR, WORDS };

static const char *const names[WORDS] = {
	[WORD_TITLE] = "title",
	[WORD_MESSAGE] = "message",
	[WORD_FIELDS] = "fields",
	[WORD_COLOR] = "color",
};

enum template_kind template_kind_of(const char *mime_type)
{
	size_t len = strcspn(mime_type, "; ");

	if (len >= 5 && strncasecmp(mime_type + len - 5, "/json", 5) == 0)
		return TEMPLATE_JSON;
	if (len >= 5 && strncasecmp(mime_type + len - 5, "+json", 5) == 0)
		return TEMPLATE_JSON;
	if (strncasecmp(mime_type, "application/x-www-form-urlencoded", len) == 0 && len == 33)
		return TEMPLATE_FORM;
	return TEMPLATE_TEXT;
}

/* The word behind a dollar sign, WORDS = none of ours. */
static enum word find_word(const char *s)
{
	size_t len = 0;

	while (isalnum((unsigned char)s[len]) || s[len] == '_')
		len++;
	for (enum word w = 0; w < WORDS; w++)
		if (strlen(names[w]) == len && strncmp(s, names[w], len) == 0)
			return w;
	return WORDS;
}

static char *word_text(enum word w, const struct message *m, bool plain)
{
	switch (w) {
	case WORD_TITLE: return mem_strdup(m->title);
	case WORD_MESSAGE: return message_text(m, plain);
	case WORD_FIELDS: return message_fields(m, plain);
	case WORD_COLOR: return mem_printf("#%06x", message_color(m));
	case WORDS: break;
	}
	return mem_strdup("");
}

static struct json_object *word_value(enum word w, const struct message *m, bool plain)
{
	struct json_object *value;
	char *text;

	if (w == WORD_FIELDS)
		return message_fields_json(m, plain);
	if (w == WORD_COLOR)
		return json_object_new_int((int)message_color(m));
	text = word_text(w, m, plain);
	value = json_object_new_string(text);
	free(text);
	return value;
}

static void add_json(
	struct str *out, enum word w, const struct message *m, bool plain, bool in_string)
{
	char *text = word_text(w, m, plain);
	struct json_object *value =
		in_string ? json_object_new_string(text) : word_value(w, m, plain);
	const char *json = json_object_to_json_string_ext(
		value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (in_string)
		str_add(out, json + 1, strlen(json) - 2);
	else
		str_add(out, json, strlen(json));
	json_object_put(value);
	free(text);
}

static void add_word(struct str *out, enum word w, enum template_kind kind, const struct message *m,
	bool plain, bool in_string)
{
	char *text = word_text(w, m, plain);

	switch (kind) {
	case TEMPLATE_JSON: add_json(out, w, m, plain, in_string); break;
	case TEMPLATE_FORM: enc_url(out, text); break;
	case TEMPLATE_TEXT: str_add(out, text, strlen(text)); break;
	}
	free(text);
}

char *template_fill(const char *text, enum template_kind kind, const struct message *m, bool plain)
{
	bool in_string = false; /* of JSON */
	struct str out = {0};
	enum word w;

	str_add(&out, "", 0);
	for (const char *s = text; *s; s++) {
		w = *s == '$' ? find_word(s + 1) : WORDS;
		if (w != WORDS) {
			add_word(&out, w, kind, m, plain, in_string);
			s += strlen(names[w]);
			continue;
		}
		if (*s == '"')
			in_string = !in_string;
		if (*s == '\\' && in_string && s[1])
			str_add(&out, s++, 1);
		str_add(&out, s, 1);
	}
	return out.data;
}
