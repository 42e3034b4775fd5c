#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "notify/target.h"

static int priority(enum log_level level) /* from 8 on phones make a noise, from 4 they show it */
{
	switch (level) {
	case LOG_ERROR: return 8;
	case LOG_WARN: return 5;
	case LOG_INFO:
	case LOG_DEBUG: break;
	}
	return 2;
}

void gotify_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out)
{
	struct json_object *json = json_object_new_object(), *extras, *display;
	char *body = message_body(m, c->plain);
	size_t len = strlen(c->url);

	while (len && c->url[len - 1] == '/')
		len--;
	json_object_object_add(json, "title", json_object_new_string(m->title));
	json_object_object_add(json, "message", json_object_new_string(*body ? body : m->title));
	json_object_object_add(json, "priority", json_object_new_int(priority(m->level)));
	if (!c->plain) {
		extras = json_object_new_object();
		display = json_object_new_object();
		json_object_object_add(
			display, "contentType", json_object_new_string("text/markdown"));
		json_object_object_add(extras, "client::display", display);
		json_object_object_add(json, "extras", extras);
	}
	*out = (struct target_request){
		.method = "POST",
		.content_type = "application/json",
		.url = mem_printf("%.*s/message", (int)len, c->url),
		.body = mem_strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN)),
	};
	json_object_put(json);
	free(body);
}
