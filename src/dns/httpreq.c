/* The provider `httpreq`: a webhook of one's own, as lego's httpreq has it. It is told to present
 * and to clean up; what it does then, and in which zone, is its own affair. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "dns/api.h"

#define HEADERS_MAX (HTTP_CALL_HEADERS - 1) /* Authorization is one, too */

enum {
	MODE = DNS_API_OWN_OPTIONS,
	USERNAME,
	PASSWORD,
	BEARER_TOKEN,
	HEADERS,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_COMMON_OPTIONS("HTTPREQ_", "WEBHOOK_"),
	[DNS_BASE_URL] = {.key = "endpoint",
		.env = {"HTTPREQ_ENDPOINT"},
		.type = SETTING_URL,
		.required = true,
		.help = "where the webhook is: /present and /cleanup are put behind it"},
	DNS_HTTP_OPTIONS("HTTPREQ_", "WEBHOOK_"),
	[MODE] = {.key = "mode",
		.env = {"HTTPREQ_MODE"},
		.empty = true,
		.help = "RAW: it is told domain, token and key authorization; else name and value "
			"of the record"},
	[USERNAME] = {.key = "username",
		.env = {"HTTPREQ_USERNAME"},
		.help = "of Basic authentication, with password"},
	[PASSWORD] = {.key = "password",
		.env = {"HTTPREQ_PASSWORD"},
		.type = SETTING_SECRET,
		.help = "of Basic authentication, with username"},
	[BEARER_TOKEN] = {.key = "bearer_token",
		.env = {"HTTPREQ_BEARER_TOKEN"},
		.type = SETTING_SECRET,
		.help = "sent as Authorization: Bearer, instead of a username"},
	[HEADERS] = {.key = "headers",
		.type = SETTING_MAP,
		.help = "more headers, such as X-Api-Key: one, for what else the webhook wants"},
};

static bool is_raw(const struct dns_provider *p)
{
	return dns_value(p, MODE) != NULL;
}

static int authorize(
	const void *arg, struct http_call *c, bool again, const struct limits *l, struct error *err)
{
	const struct dns_provider *p = arg;

	(void)again;
	(void)l;
	(void)err;
	if (dns_value(p, BEARER_TOKEN))
		http_call_bearer(c, dns_value(p, BEARER_TOKEN));
	else if (dns_value(p, USERNAME))
		http_call_basic(c, dns_value(p, USERNAME), dns_value(p, PASSWORD));
	for (size_t i = 0; i < p->values[HEADERS].list.n; i++) {
		char *name = mem_strdup(p->values[HEADERS].list.v[i]), *colon = strchr(name, ':');

		*colon = '\0'; /* "name: value", see options.c */
		http_call_header(c, name, "%s", colon + 2);
		free(name);
	}
	return 0;
}

/* What is no success is told with the beginning of its body, whatever that is. */
static bool explain(struct http_reply *r)
{
	http_reply_explain(r, NULL, r->http.body);
	for (char *p = r->message; *p; p++) /* which would be shown as \x22 and \x0a */
		*p = *p == '"' ? '\'' : isspace((unsigned char)*p) ? ' ' : *p;
	return false;
}

/* --- options --- */

static int check_credentials(const struct dns_provider *p, struct error *err)
{
	const char *name = dns_value(p, USERNAME), *password = dns_value(p, PASSWORD);

	if (!name != !password)
		return error_set(err, "%s is missing: username and password go together",
			name ? "password" : "username");
	if (name && strchr(name, ':'))
		return error_set(err, "username has a colon, which Basic authentication cannot "
				      "carry");
	if (name && dns_value(p, BEARER_TOKEN))
		return error_set(err, "bearer_token stands beside username: keep one of them");
	return 0;
}

/* A name of a header (RFC 9110, 5.6.2) that is not one of the request's own. */
static int check_header(const struct dns_provider *p, const char *line, struct error *err)
{
	static const char *const ours[] = {"Accept", "Connection", "Content-Length", "Content-Type",
		"Host", "Transfer-Encoding"};
	size_t len = strcspn(line, ":");
	char *name = mem_strndup(line, len), shown[80];
	bool own = false, token = len;
	int rc = 0;

	for (size_t i = 0; i < len; i++)
		token = token &&
			(isalnum((unsigned char)name[i]) || strchr("!#$%&'*+-.^_`|~", name[i]));
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		own = own || strcasecmp(name, ours[i]) == 0;
	str_escape(shown, sizeof(shown), name, len);
	if (!token)
		rc = error_set(err, "headers: \"%s\" is no name of a header", shown);
	else if (own)
		rc = error_set(err, "headers: %s is not to be changed", shown);
	else if (strcasecmp(name, "Authorization") == 0 &&
		 (dns_value(p, USERNAME) || dns_value(p, BEARER_TOKEN)))
		rc = error_set(err,
			"headers: Authorization stands beside %s, which makes one: keep one of "
			"them",
			dns_value(p, USERNAME) ? "username" : "bearer_token");
	else if (strpbrk(line, "\r\n"))
		rc = error_set(err, "headers: a line end stands within %s", shown);
	free(name);
	return rc;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct http_api *api = p->own = mem_zalloc(sizeof(*api));
	const char *mode = dns_value(p, MODE);
	const struct conf_strings *headers = &p->values[HEADERS].list;
	char shown[80];

	if (mode && strcmp(mode, "RAW") != 0)
		return error_set(err, "mode: \"%s\" is unknown: RAW is possible, or no mode",
			str_escape(shown, sizeof(shown), mode, strlen(mode)));
	if (check_credentials(p, err) < 0)
		return -1;
	if (headers->n > HEADERS_MAX)
		return error_set(
			err, "headers has %zu entries, %d are possible", headers->n, HEADERS_MAX);
	for (size_t i = 0; i < headers->n; i++)
		if (check_header(p, headers->v[i], err) < 0)
			return -1;
	api->authorize = authorize;
	api->explain = explain;
	return dns_api_init(p, api, NULL, "", 0, 0, err);
}

/* --- records --- */

static int fill_in(
	struct json_object *o, const struct dns_job *j, const struct dns_txt *t, struct error *err)
{
	char *fqdn;

	if (!is_raw(j->provider)) {
		fqdn = mem_printf("%s.", t->name);
		http_json_add(o, "fqdn", fqdn);
		http_json_add(o, "value", t->value);
		free(fqdn);
		return 0;
	}
	if (!t->domain || !t->token || !t->authorization)
		return error_set(err,
			"%s: a webhook in mode RAW is told a challenge's token and key "
			"authorization, which only an order has: records on their own, as of "
			"`lintel dns` and `lintel check --acme`, need the default mode",
			t->fqdn);
	http_json_add(o, "domain", t->domain);
	http_json_add(o, "token", t->token);
	http_json_add(o, "keyAuth", t->authorization);
	return 0;
}

/* What is told twice is for the webhook to take as once: there is nothing to read it back from. */
static int tell(const struct dns_job *j, const struct dns_txt *t, bool present, struct error *err)
{
	struct json_object *o = json_object_new_object();
	struct http_call c = {.method = "POST", .json = o, .plain = true};

	if (fill_in(o, j, t, err) < 0) {
		json_object_put(o);
		return -1;
	}
	str_addf(&c.step, "telling the webhook to %s the TXT record of %s",
		present ? "present" : "clean up", t->name);
	str_addf(&c.path, present ? "/present" : "/cleanup");
	return dns_command(j, &c, err);
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = tell(j, v[i], true, err);
	return rc;
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = tell(j, v[i], false, err);
	return rc;
}

const struct dns_ops dns_httpreq = {
	.help = "a webhook of one's own",
	.options = options,
	.n_options = N_OPTIONS,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = dns_api_free,
	.batch = DNS_PER_NAME,
	.present = present,
	.cleanup = cleanup,
};
