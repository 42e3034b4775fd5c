#include "http/answer.h"

#include <ctype.h>
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX 32
#define YEAR      (INT64_C(365) * 86400)

int answer_json(
	const char *text, size_t len, size_t max, struct json_object **out, struct error *err)
{
	struct json_tokener *tok;
	enum json_tokener_error why;

	*out = NULL;
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (len > max)
		return error_set(err, "the answer has more than %zu bytes", max);
	tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		abort(); /* out of memory */
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	*out = json_tokener_parse_ex(tok, text, (int)len);
	/* A number or a word at the end is whole only once something follows. */
	if (json_tokener_get_error(tok) == json_tokener_continue)
		*out = json_tokener_parse_ex(tok, "", 1);
	why = json_tokener_get_error(tok);
	json_tokener_free(tok);
	if (why == json_tokener_success)
		return 0;
	json_object_put(*out);
	*out = NULL;
	return error_set(err, "the answer is no JSON: %s", json_tokener_error_desc(why));
}

static void wipe_texts(struct json_object *o)
{
	if (json_object_is_type(o, json_type_string)) /* json-c's own bytes */
		OPENSSL_cleanse(
			(char *)json_object_get_string(o), (size_t)json_object_get_string_len(o));
	for (size_t i = 0;
		json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++)
		wipe_texts(json_object_array_get_idx(o, i));
	if (!json_object_is_type(o, json_type_object))
		return;
	json_object_object_foreach(o, key, member)
	{
		(void)key;
		wipe_texts(member);
	}
}

void answer_wipe(struct json_object *o)
{
	wipe_texts(o);
	json_object_put(o);
}

struct json_object *answer_member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *m;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &m) ||
		!json_object_is_type(m, type))
		return NULL;
	return m;
}

struct json_object *answer_member_any_case(
	struct json_object *o, const char *key, enum json_type type)
{
	if (!json_object_is_type(o, json_type_object))
		return NULL;
	json_object_object_foreach(o, name, value)
	{
		if (strcasecmp(name, key) == 0 && json_object_is_type(value, type))
			return value;
	}
	return NULL;
}

const char *answer_text(struct json_object *o, const char *key)
{
	struct json_object *m = answer_member(o, key, json_type_string);

	return m ? json_object_get_string(m) : NULL;
}

int64_t answer_date(const char *value)
{
	time_t t = curl_getdate(value, NULL);

	return t > 0 ? (int64_t)t : 0;
}

int64_t answer_retry_after(const char *value, int64_t now)
{
	int64_t at;

	if (!value)
		return 0;
	if (isdigit((unsigned char)*value)) {
		char *end;
		long long s = strtoll(value, &end, 10);

		while (*end == ' ')
			end++;
		if (*end || s > YEAR)
			return *end ? 0 : now + YEAR;
		return now + s;
	}
	at = answer_date(value);
	if (!at || at > now + YEAR)
		return at ? now + YEAR : 0;
	return at > now ? at : now;
}
