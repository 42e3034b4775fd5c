#include "acme/problem.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define BYTES_MAX       (1 << 20)
#define DEPTH_MAX       32
#define SUBPROBLEMS_MAX 20 /* that are told of */
#define URL_MAX         2000
#define YEAR            (INT64_C(365) * 86400)

static const char prefix[] = "urn:ietf:params:acme:error:";

const char *acme_json_optional(struct json_object *o, const char *key)
{
	struct json_object *m;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &m) ||
		!json_object_is_type(m, json_type_string))
		return NULL;
	return json_object_get_string(m);
}

void acme_type_of(struct json_object *problem, char out[ACME_TYPE_SIZE])
{
	const char *type = acme_json_optional(problem, "type");

	if (type && str_starts(type, prefix))
		type += sizeof(prefix) - 1;
	str_escape(out, ACME_TYPE_SIZE, type ? type : "", type ? strlen(type) : 0);
}

/* RFC 8555, 6.7; RFC 9773 and the profiles draft add theirs. */
bool acme_is_input(const char *type)
{
	static const char *const types[] = {"badCSR", "badPublicKey", "badRevocationReason",
		"badSignatureAlgorithm", "externalAccountRequired", "invalidContact",
		"invalidProfile", "malformed", "rejectedIdentifier", "unsupportedContact",
		"unsupportedIdentifier", "userActionRequired"};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static void add_detail(struct str *s, struct json_object *problem)
{
	const char *detail = acme_json_optional(problem, "detail");
	char type[ACME_TYPE_SIZE], shown[400];

	acme_type_of(problem, type);
	str_addf(s, "%s", *type ? type : "no type given");
	if (detail)
		str_addf(s, ": %s", str_escape(shown, sizeof(shown), detail, strlen(detail)));
}

static void add_subproblems(struct str *s, struct json_object *problem)
{
	struct json_object *list, *sub, *identifier;
	const char *name;
	char shown[120];
	size_t n;

	if (!json_object_object_get_ex(problem, "subproblems", &list) ||
		!json_object_is_type(list, json_type_array))
		return;
	n = json_object_array_length(list);
	for (size_t i = 0; i < n && i < SUBPROBLEMS_MAX; i++) {
		sub = json_object_array_get_idx(list, i);
		if (!json_object_is_type(sub, json_type_object))
			continue;
		name = json_object_object_get_ex(sub, "identifier", &identifier)
			       ? acme_json_optional(identifier, "value")
			       : NULL;
		str_addf(s, "; ");
		if (name)
			str_addf(s, "%s: ", str_escape(shown, sizeof(shown), name, strlen(name)));
		add_detail(s, sub);
	}
}

int acme_problem_set(struct error *err, struct json_object *problem)
{
	struct str s = {0};

	if (!json_object_is_type(problem, json_type_object))
		return error_set(err, "no reason given");
	add_detail(&s, problem);
	add_subproblems(&s, problem);
	error_set(err, "%s", s.data);
	str_clear(&s);
	return -1;
}

struct json_object *acme_json_parse(const char *text, size_t len, struct error *err)
{
	struct json_tokener *tok;
	struct json_object *o;
	enum json_tokener_error why;

	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (len > BYTES_MAX) {
		error_set(err, "the answer has more than %d bytes", BYTES_MAX);
		return NULL;
	}
	tok = json_tokener_new_ex(DEPTH_MAX);
	if (!tok)
		abort(); /* out of memory */
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	why = json_tokener_get_error(tok);
	json_tokener_free(tok);
	if (why == json_tokener_success && json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	error_set(err, "the answer is no JSON object%s%s", why == json_tokener_success ? "" : ": ",
		why == json_tokener_success ? "" : json_tokener_error_desc(why));
	return NULL;
}

const char *acme_json_string(struct json_object *o, const char *key, struct error *err)
{
	const char *text = acme_json_optional(o, key);

	if (!text || !*text) {
		error_set(err, "the answer has no \"%s\", or it is no text", key);
		return NULL;
	}
	return text;
}

const char *acme_json_url(struct json_object *o, const char *key, struct error *err)
{
	const char *url = acme_json_string(o, key, err);

	if (!url || acme_is_url(url))
		return url;
	error_set(err, "its \"%s\" is no URL", key);
	return NULL;
}

struct json_object *acme_json_array(struct json_object *o, const char *key, struct error *err)
{
	struct json_object *list;

	if (json_object_object_get_ex(o, key, &list) && json_object_is_type(list, json_type_array))
		return list;
	error_set(err, "the answer has no \"%s\", or it is no list", key);
	return NULL;
}

bool acme_is_url(const char *text)
{
	size_t len = strlen(text);

	if (!(str_starts(text, "https://") || str_starts(text, "http://")) || len > URL_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || strchr("\"<>\\^`{|}", text[i]))
			return false;
	return true;
}

/* A link-value's parameters, which end at `end`. */
static bool is_alternate(const char *params, const char *end)
{
	static const char *const forms[] = {"rel=\"alternate\"", "rel=alternate"};

	for (size_t i = 0; i < 2; i++)
		if (memmem(params, (size_t)(end - params), forms[i], strlen(forms[i])))
			return true;
	return false;
}

char *acme_next_alternate(const char **header)
{
	const char *open, *close, *end;
	char *url = NULL;

	while (!url && (open = strchr(*header, '<')) && (close = strchr(open, '>'))) {
		end = close;
		for (bool quoted = false; *end && (quoted || *end != ','); end++)
			quoted ^= *end == '"';
		*header = end;
		if (is_alternate(close, end))
			url = mem_strndup(open + 1, (size_t)(close - open - 1));
		if (url && !acme_is_url(url)) {
			free(url);
			url = NULL;
		}
	}
	return url;
}

int64_t acme_parse_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t t, offset = 0;
	int hours, minutes;
	char sign;

	if (!rest)
		return 0;
	t = (int64_t)timegm(&tm);
	if (*rest == '.')
		for (rest++; isdigit((unsigned char)*rest); rest++)
			;
	if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
		offset = (hours * 60 + minutes) * (sign == '+' ? 60 : -60);
	else if (*rest != 'Z' && *rest != 'z')
		return 0;
	return t > offset ? t - offset : 0;
}

int64_t acme_parse_http_date(const char *value)
{
	time_t t = curl_getdate(value, NULL);

	return t > 0 ? (int64_t)t : 0;
}

int64_t acme_parse_retry_after(const char *value, int64_t now)
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
	at = acme_parse_http_date(value);
	if (!at || at > now + YEAR)
		return at ? now + YEAR : 0;
	return at > now ? at : now;
}
