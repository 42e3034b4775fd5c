#include "acme/problem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/answer.h"

#define BYTES_MAX       (1 << 20)
#define SUBPROBLEMS_MAX 20 /* that are told of */
#define URL_MAX         2000

static const char prefix[] = "urn:ietf:params:acme:error:";

void acme_type_of(struct json_object *problem, char out[ACME_TYPE_SIZE])
{
	const char *type = answer_text(problem, "type");

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
	const char *detail = answer_text(problem, "detail");
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
			       ? answer_text(identifier, "value")
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
	struct json_object *o;

	if (answer_json(text, len, BYTES_MAX, &o, err) < 0)
		return NULL;
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	error_set(err, "the answer is no JSON object");
	return NULL;
}

const char *acme_json_string(struct json_object *o, const char *key, struct error *err)
{
	const char *text = answer_text(o, key);

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
