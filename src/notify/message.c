#include "notify/message.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define MORE "\xe2\x80\xa6" /* an ellipsis */

/* Bytes of the UTF-8 character that is there, 0 = none (RFC 3629). */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* A copy in UTF-8 of at most `max` bytes, on one line. */
static char *clean(const char *text, size_t max)
{
	const unsigned char *s = (const unsigned char *)text;
	struct str out = {0};
	size_t n, fits = 0; /* so much may stay when it is cut */

	str_add(&out, "", 0);
	while (*s && out.len <= max) {
		n = utf8_len(s);
		if (*s < 0x20 || *s == 0x7f)
			str_add(&out, " ", 1);
		else if (n)
			str_add(&out, s, n);
		else
			str_add(&out, "?", 1);
		s += n ? n : 1;
		if (out.len <= max - strlen(MORE))
			fits = out.len;
	}
	if (out.len > max) {
		out.len = fits;
		str_add(&out, MORE, strlen(MORE));
	}
	return out.data;
}

static char *clean_value(const char *text, size_t max)
{
	return clean(text && *text ? text : "-", max);
}

void message_init(struct message *m, enum log_level level, const char *title, const char *text,
	const struct notify_field *fields, size_t n_fields)
{
	size_t bytes = 0, i;

	*m = (struct message){.level = level};
	m->title = clean(title, MESSAGE_TITLE_MAX);
	m->text = clean(text, MESSAGE_TEXT_MAX);
	for (i = 0; i < n_fields && i < MESSAGE_FIELDS; i++) {
		struct message_field *f = mem_grow(&m->fields, m->n_fields, sizeof(*m->fields));

		f->name = clean_value(fields[i].name, MESSAGE_NAME_MAX);
		f->value = clean_value(fields[i].value, MESSAGE_VALUE_MAX);
		bytes += strlen(f->name) + strlen(f->value) + strlen("- ****: ``\n");
		if (bytes > MESSAGE_FIELDS_MAX) {
			free(f->name);
			free(f->value);
			break;
		}
		m->n_fields++;
	}
	if (i < n_fields) {
		struct message_field *f = mem_grow(&m->fields, m->n_fields++, sizeof(*m->fields));

		f->name = mem_strdup(MORE);
		f->value = mem_printf("and %zu more", n_fields - i);
	}
}

void message_clear(struct message *m)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		free(m->fields[i].name);
		free(m->fields[i].value);
	}
	free(m->fields);
	free(m->title);
	free(m->text);
	*m = (struct message){0};
}

/* Backslashes only where they are needed: not everything that shows a notification knows Markdown,
 * and extra[1] should be readable there too. */
static void add_markdown(struct str *out, const char *s)
{
	for (; *s; s++) {
		bool tag = *s == '<' && (s[1] == '/' || s[1] == '!' || (s[1] | 0x20) >= 'a');
		bool link = *s == ']' && s[1] == '(';

		if (tag || link || *s == '`')
			str_add(out, "\\", 1);
		str_add(out, s, 1);
	}
}

/* As code, where no character has a meaning. */
static void add_code(struct str *out, const char *s)
{
	str_add(out, "`", 1);
	for (; *s; s++)
		str_add(out, *s == '`' ? "'" : s, 1);
	str_add(out, "`", 1);
}

static void add_value(struct str *out, const char *value, bool plain)
{
	if (plain)
		str_add(out, value, strlen(value));
	else
		add_code(out, value);
}

char *message_text(const struct message *m, bool plain)
{
	struct str out = {0};

	if (plain)
		return mem_strdup(m->text);
	str_add(&out, "", 0);
	add_markdown(&out, m->text);
	return out.data;
}

char *message_fields(const struct message *m, bool plain)
{
	struct str out = {0};

	str_add(&out, "", 0);
	for (size_t i = 0; i < m->n_fields; i++) {
		if (i)
			str_add(&out, "\n", 1);
		if (!plain)
			str_add(&out, "- **", 4);
		if (plain)
			str_addf(&out, "%s", m->fields[i].name);
		else
			add_markdown(&out, m->fields[i].name);
		str_addf(&out, "%s: ", plain ? "" : "**");
		add_value(&out, m->fields[i].value, plain);
	}
	return out.data;
}

char *message_body(const struct message *m, bool plain)
{
	char *text = message_text(m, plain), *fields = message_fields(m, plain), *body;

	body = mem_printf("%s%s%s", text, *text && *fields ? "\n\n" : "", fields);
	free(text);
	free(fields);
	return body;
}

struct json_object *message_fields_json(const struct message *m, bool plain)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < m->n_fields; i++) {
		struct json_object *one = json_object_new_object();
		struct str value = {0};

		add_value(&value, m->fields[i].value, plain);
		json_object_object_add(one, "name", json_object_new_string(m->fields[i].name));
		json_object_object_add(one, "value", json_object_new_string(value.data));
		json_object_object_add(one, "inline", json_object_new_boolean(false));
		json_object_array_add(list, one);
		str_clear(&value);
	}
	return list;
}

unsigned message_color(const struct message *m)
{
	switch (m->level) {
	case LOG_ERROR: return 0xd32f2f;
	case LOG_WARN: return 0xf9a825;
	case LOG_INFO:
	case LOG_DEBUG: break;
	}
	return 0x2e7d32;
}
