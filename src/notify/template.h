/* A payload with $title, $message, $fields and $color in it, filled in. Other words, and dollar
 * signs, stay. One thread; part of notify/. */
#ifndef LINTEL_NOTIFY_TEMPLATE_H
#define LINTEL_NOTIFY_TEMPLATE_H

#include "notify/message.h"

enum template_kind {
	TEMPLATE_JSON, /* within a string the words are text; elsewhere values: text in its quotes,
			  a list of fields, a number */
	TEMPLATE_FORM, /* application/x-www-form-urlencoded */
	TEMPLATE_TEXT,
};

enum template_kind template_kind_of(const char *mime_type);
/* A new string. */
char *template_fill(const char *text, enum template_kind kind, const struct message *m, bool plain);

#endif
