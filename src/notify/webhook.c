#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "notify/target.h"
#include "notify/template.h"

#define JSON "application/json"

/* What is sent when nothing else is asked for. */
static const char any_json[] = "{\"title\": $title, \"message\": $message, \"fields\": $fields, "
			       "\"color\": $color}";
static const char any_text[] = "$title\n\n$message\n\n$fields\n";
static const char any_form[] = "title=$title&message=$message&fields=$fields&color=$color";
/* Nobody is called by a name that stands in an error. */
static const char discord[] =
	"{\"embeds\": [{\"title\": $title, \"description\": $message, \"fields\": $fields, "
	"\"color\": $color}], \"allowed_mentions\": {\"parse\": []}}";

static const char *default_payload(enum template_kind kind)
{
	switch (kind) {
	case TEMPLATE_JSON: return any_json;
	case TEMPLATE_FORM: return any_form;
	case TEMPLATE_TEXT: break;
	}
	return any_text;
}

void webhook_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out)
{
	const char *payload;
	enum template_kind kind;

	*out = (struct target_request){
		.method = c->method ? c->method : "POST",
		.content_type = c->mime_type ? c->mime_type : JSON,
		.url = mem_strdup(c->url),
	};
	if (strcmp(out->method, "GET") == 0)
		return;
	kind = template_kind_of(out->content_type);
	payload = c->discord ? discord : c->payload ? c->payload : default_payload(kind);
	out->body = template_fill(payload, kind, m, c->plain);
}

int webhook_check(const struct conf_notification *c, struct error *err)
{
	static const struct notify_field field = {"name", "value"};
	struct json_tokener *tok;
	struct target_request r;
	struct json_object *json;
	enum json_tokener_error why;
	struct message m;
	int rc = 0;

	if (!c->payload || template_kind_of(c->mime_type ? c->mime_type : JSON) != TEMPLATE_JSON)
		return 0;
	message_init(&m, LOG_INFO, "title", "message", &field, 1);
	webhook_make(c, &m, &r);
	if (r.body) {
		tok = json_tokener_new();
		json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
		json = json_tokener_parse_ex(tok, r.body, (int)strlen(r.body) + 1);
		why = json_tokener_get_error(tok);
		if (why != json_tokener_success)
			rc = error_set(err,
				"is no JSON, as its mime_type says, once it is filled in: %s",
				json_tokener_error_desc(why));
		json_object_put(json);
		json_tokener_free(tok);
	}
	target_request_clear(&r);
	message_clear(&m);
	return rc;
}
