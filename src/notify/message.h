/* One message as the providers of notifications get it, and how its parts are written out. Plain
 * data of one thread; part of notify/. */
#ifndef LINTEL_NOTIFY_MESSAGE_H
#define LINTEL_NOTIFY_MESSAGE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"
#include "notify/notify.h"

/* So that one message, however it is written, stays below ntfy's 4096 bytes and Discord's 6000
 * characters. */
#define MESSAGE_TITLE_MAX  200
#define MESSAGE_TEXT_MAX   1500
#define MESSAGE_NAME_MAX   100
#define MESSAGE_VALUE_MAX  500
#define MESSAGE_FIELDS_MAX 1800 /* bytes of all of them */
#define MESSAGE_FIELDS     24   /* then one that says how many more there are */

struct message_field {
	char *name, *value; /* never empty */
};

struct message { /* all text is UTF-8 */
	enum log_level level;
	char *title, *text;
	struct message_field *fields;
	size_t n_fields;
};

void message_init(struct message *m, enum log_level level, const char *title, const char *text,
	const struct notify_field *fields, size_t n_fields);
void message_clear(struct message *m);

/* In Markdown nothing of the text is taken for a link, HTML or code. New strings. */
char *message_text(const struct message *m, bool plain);
char *message_fields(const struct message *m, bool plain); /* a line each */
char *message_body(const struct message *m, bool plain);   /* both */
/* Discord's form: [{ "name": ..., "value": ..., "inline": false }]. New object. */
struct json_object *message_fields_json(const struct message *m, bool plain);
unsigned message_color(const struct message *m); /* 0xRRGGBB */

#endif
