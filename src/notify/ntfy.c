#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "notify/target.h"

static int priority(enum log_level level) /* 3 is its default, 2 makes no sound, 4 is high */
{
	switch (level) {
	case LOG_ERROR: return 4;
	case LOG_WARN: return 3;
	case LOG_INFO:
	case LOG_DEBUG: break;
	}
	return 2;
}

/* Published as JSON, which goes to the server's root with the topic inside: headers, its other way,
 * hold no UTF-8. */
void ntfy_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out)
{
	struct json_object *json = json_object_new_object();
	char *body = message_body(m, c->plain);
	size_t len = strlen(c->url), topic = strlen(c->topic);

	while (len && c->url[len - 1] == '/')
		len--;
	/* People copy the topic's own URL. */
	if (len > topic && c->url[len - topic - 1] == '/' &&
		strncmp(c->url + len - topic, c->topic, topic) == 0)
		len -= topic + 1;
	json_object_object_add(json, "topic", json_object_new_string(c->topic));
	json_object_object_add(json, "title", json_object_new_string(m->title));
	json_object_object_add(json, "message", json_object_new_string(*body ? body : m->title));
	json_object_object_add(json, "priority", json_object_new_int(priority(m->level)));
	if (!c->plain)
		json_object_object_add(json, "markdown", json_object_new_boolean(true));
	*out = (struct target_request){
		.method = "POST",
		.content_type = "application/json",
		.url = mem_printf("%.*s/", (int)len, c->url),
		.body = mem_strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN)),
	};
	json_object_put(json);
	free(body);
}
