/* The provider `azuredns`: Azure DNS by the Resource Manager's API. Whole sets are written, each
 * with the etag that was read, so that what others do meanwhile is not lost. A zone's id is its
 * path in the API. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/enc.h"
#include "base/mem.h"
#include "dns/azure.h"

#define TRIES 5 /* of a write that others were faster than */

static const struct setting options[AZURE_OPTIONS] = {
	DNS_API_OPTIONS("AZURE_", "AZUREDNS_", {NULL}),
	[AZURE_TENANT_ID] = {.key = "tenant_id",
		.env = {"AZURE_TENANT_ID"},
		.help = "the directory that the app is registered in"},
	[AZURE_CLIENT_ID] = {.key = "client_id",
		.env = {"AZURE_CLIENT_ID"},
		.help = "the app's ID, or that of a managed identity assigned by the user"},
	[AZURE_CLIENT_SECRET] = {.key = "client_secret",
		.env = {"AZURE_CLIENT_SECRET"},
		.type = SETTING_SECRET,
		.help = "the value of a secret of the app"},
	[AZURE_SUBSCRIPTION_ID] = {.key = "subscription_id",
		.env = {"AZURE_SUBSCRIPTION_ID"},
		.help = "where the zones are; else all subscriptions are looked through"},
	[AZURE_RESOURCE_GROUP] = {.key = "resource_group",
		.env = {"AZURE_RESOURCE_GROUP"},
		.help = "where in the subscription; else all groups are looked through"},
	[AZURE_ZONE_NAME] = {.key = "zone_name",
		.env = {"AZURE_ZONE_NAME"},
		.help = "the zone, instead of the longest one that covers the name"},
	[AZURE_PRIVATE_ZONE] = {.key = "private_zone",
		.env = {"AZURE_PRIVATE_ZONE"},
		.type = SETTING_BOOL,
		.fallback = "false",
		.help = "the zones are private ones"},
	[AZURE_ENVIRONMENT] = {.key = "environment",
		.env = {"AZURE_ENVIRONMENT"},
		.fallback = "public",
		.help = "which Azure: public, china or usgovernment"},
	[AZURE_AUTHORITY_HOST] = {.key = "authority_host",
		.env = {"AZURE_AUTHORITY_HOST"},
		.type = SETTING_URL,
		.help = "who issues tokens, where that is not the environment's"},
	[AZURE_AUTH_METHOD] = {.key = "auth_method",
		.env = {"AZURE_AUTH_METHOD"},
		.help = "how tokens are had: env (client_secret), msi (managed identity), wli "
			"or oidc; else what the other options fit"},
	[AZURE_AUTH_MSI_TIMEOUT] = {.key = "auth_msi_timeout",
		.env = {"AZURE_AUTH_MSI_TIMEOUT"},
		.type = SETTING_DURATION,
		.fallback = "2s",
		.help = "for one request to the managed identity"},
	[AZURE_IMDS_ENDPOINT] = {.key = "imds_endpoint",
		.env = {"IMDS_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST"},
		.type = SETTING_URL,
		.help = "where a virtual machine's identity answers, without the path"},
	[AZURE_IDENTITY_ENDPOINT] = {.key = "identity_endpoint",
		.env = {"IDENTITY_ENDPOINT"},
		.type = SETTING_URL,
		.help = "where an App Service's identity answers"},
	[AZURE_IDENTITY_HEADER] = {.key = "identity_header",
		.env = {"IDENTITY_HEADER"},
		.type = SETTING_SECRET,
		.help = "what that one wants to be shown"},
	[AZURE_OIDC_TOKEN] = {.key = "oidc_token",
		.env = {"AZURE_OIDC_TOKEN"},
		.type = SETTING_SECRET,
		.help = "another issuer's token, which is exchanged for one of Azure's"},
	[AZURE_OIDC_TOKEN_FILE_PATH] = {.key = "oidc_token_file_path",
		.env = {"AZURE_OIDC_TOKEN_FILE_PATH", "AZURE_FEDERATED_TOKEN_FILE"},
		.type = SETTING_PATH,
		.help = "a file that holds such a token, read each time"},
	[AZURE_OIDC_REQUEST_URL] = {.key = "oidc_request_url",
		.env = {"AZURE_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"},
		.help = "where such a token is asked for"},
	[AZURE_OIDC_REQUEST_TOKEN] = {.key = "oidc_request_token",
		.env = {"AZURE_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"},
		.type = SETTING_SECRET,
		.help = "what oidc_request_url wants to be shown"},
};

static const struct azure_cloud clouds[] = {
	{"public", "https://management.azure.com", "https://login.microsoftonline.com"},
	{"china", "https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"},
	{"usgovernment", "https://management.usgovcloudapi.net",
		"https://login.microsoftonline.us"},
};

static void clear(struct dns_provider *p)
{
	azure_token_clear(p->own);
	dns_api_clear(p->own);
	free(p->own);
}

/* All that decides whose token it is. */
static char *credentials_of(const struct dns_provider *p, const struct azure *a)
{
	struct str s = {0};

	str_addf(&s, "%d", a->auth);
	for (size_t row = AZURE_TENANT_ID; row < AZURE_OPTIONS; row++)
		if (row < AZURE_SUBSCRIPTION_ID || row > AZURE_PRIVATE_ZONE)
			str_addf(&s, "\n%s", dns_value(p, row) ? dns_value(p, row) : "");
	return s.data;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct azure *a = p->own = mem_zalloc(sizeof(*a));
	const char *environment = dns_value(p, AZURE_ENVIRONMENT);
	struct conf_strings *zone_name = &p->values[AZURE_ZONE_NAME].list;
	char *credentials, *zone = zone_name->n ? zone_name->v[0] : NULL;
	int rc;

	for (size_t i = 0; i < sizeof(clouds) / sizeof(*clouds); i++)
		if (strcasecmp(environment, clouds[i].name) == 0)
			a->cloud = &clouds[i];
	if (!a->cloud)
		return error_set(err,
			"environment: \"%.40s\" is none of public, china, usgovernment",
			environment);
	if (dns_value(p, AZURE_RESOURCE_GROUP) && !dns_value(p, AZURE_SUBSCRIPTION_ID))
		return error_set(err, "subscription_id is missing: resource_group is in one, which "
				      "is to be given with it");
	if (zone && zone[strlen(zone) - 1] == '.')
		zone[strlen(zone) - 1] = '\0';
	if (zone)
		str_lower(zone);
	if (azure_token_init(p, a, err) < 0)
		return -1;
	a->api.has_tokens = true;
	a->api.authorize = azure_authorize;
	a->api.explain = azure_explain;
	credentials = credentials_of(p, a);
	/* 200 writes at once for a principal, and 10 more each second. */
	rc = dns_api_init(p, &a->api, a->cloud->management, credentials, 200, 20000, err);
	OPENSSL_cleanse(credentials, strlen(credentials));
	free(credentials);
	return rc;
}

/* --- records --- */

/* Names of resource groups may have characters that a URL may not. */
static void add_path(struct str *s, const char *path)
{
	for (;; path++) {
		size_t len = strcspn(path, "/");
		char *part = mem_strndup(path, len);

		enc_url(s, part);
		free(part);
		path += len;
		if (!*path)
			return;
		str_add(s, "/", 1);
	}
}

/* The URL of the set of a name's TXT records. */
static char *path_of(const struct dns_job *j, const struct dns_txt *t)
{
	const struct dns_provider *p = j->provider;
	char relative[DNS_NAME_SIZE];
	struct str path = {0};

	dns_relative(t->name, t->zone, relative);
	if (t->zone_id) {
		add_path(&path, t->zone_id);
	} else {
		str_addf(&path, "/subscriptions/");
		enc_url(&path, dns_value(p, AZURE_SUBSCRIPTION_ID));
		str_addf(&path, "/resourceGroups/");
		enc_url(&path, dns_value(p, AZURE_RESOURCE_GROUP));
		str_addf(&path, "/providers/Microsoft.Network/%s/", azure_kind(j));
		enc_url(&path, t->zone);
	}
	str_addf(&path, "/TXT/");
	enc_url(&path, *relative ? relative : "@");
	str_addf(&path, "?api-version=%s", azure_version(j));
	return path.data;
}

/* What is there, as it came. */
struct set {
	struct dns_reply reply;
	const char *etag;                         /* NULL = there is no set */
	struct json_object *properties, *records; /* the latter NULL where there is no set */
};

static int read_set(const struct dns_job *j, const struct dns_txt *t, const char *path,
	struct set *s, const struct limits *l, struct error *err)
{
	char *step = mem_printf("reading the TXT records of %s", t->name);
	struct dns_call c = {.step = step, .method = "GET", .path = path};
	int rc = dns_api_call(j, j->provider->own, &c, &s->reply, l, err);

	if (rc < 0 && s->reply.http.status == 404) {
		rc = 0;
	} else if (rc == 0) {
		s->etag = answer_text(s->reply.json, "etag");
		s->properties = azure_member(s->reply.json, "properties", json_type_object);
		s->records = azure_member(s->properties, "TXTRecords", json_type_array);
		if (!s->etag || !s->records) {
			error_set(err, "%s: the answer has no records, or no etag", step);
			rc = DNS_AGAIN;
		}
	}
	free(step);
	return rc;
}

/* Long texts come in parts. */
static bool is_record(struct json_object *record, const char *value)
{
	struct json_object *parts = azure_member(record, "value", json_type_array);
	struct str text = {0};
	bool is;

	for (size_t i = 0; parts && i < json_object_array_length(parts); i++) {
		const char *part = json_object_get_string(json_object_array_get_idx(parts, i));

		str_addf(&text, "%s", part ? part : "");
	}
	is = text.data && dns_is_value(text.data, value);
	str_clear(&text);
	return is;
}

/* Puts the values in, or takes them out. Whether that changed it. Others stay as they are, part for
 * part. */
static bool merge(struct json_object *records, struct dns_txt *const *v, size_t n, bool add)
{
	bool changed = false;

	for (size_t i = 0; i < n; i++) {
		size_t at = 0, len = json_object_array_length(records);

		while (at < len && !is_record(json_object_array_get_idx(records, at), v[i]->value))
			at++;
		if (add == (at < len))
			continue;
		changed = true;
		if (add) {
			struct json_object *o = json_object_new_object(),
					   *parts = json_object_new_array();

			json_object_array_add(parts, json_object_new_string(v[i]->value));
			json_object_object_add(o, "value", parts);
			json_object_array_add(records, o);
		} else {
			json_object_array_del_idx(records, at, 1);
		}
	}
	return changed;
}

/* What the set becomes; TTL and metadata are its owner's. New. */
static struct json_object *new_set(
	const struct dns_job *j, const struct set *s, struct json_object *records)
{
	struct json_object *o = json_object_new_object(), *properties = json_object_new_object(),
			   *ttl = azure_member(s->properties, "TTL", json_type_int),
			   *metadata = azure_member(s->properties, "metadata", json_type_object);

	json_object_object_add(properties, azure_is_private(j) ? "ttl" : "TTL",
		ttl ? json_object_get(ttl) : json_object_new_int64(j->provider->ttl));
	if (metadata)
		json_object_object_add(properties, "metadata", json_object_get(metadata));
	json_object_object_add(properties, azure_is_private(j) ? "txtRecords" : "TXTRecords",
		json_object_get(records));
	json_object_object_add(o, "properties", properties);
	return o;
}

/* One try: `*status` is 412 when somebody else has changed the set since it was read. */
static int change_once(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const char *path, long *status, const struct limits *l, struct error *err)
{
	char *step = mem_printf("%s the TXT record of %s", add ? "adding" : "removing", v[0]->name);
	struct dns_call c = {.step = step, .method = "PUT", .path = path, .adds = true};
	struct json_object *records = NULL, *body = NULL;
	struct set s = {0};
	struct dns_reply r = {0};
	int rc = read_set(j, v[0], path, &s, l, err);

	*status = 0;
	if (rc == 0) {
		records = s.records ? json_object_get(s.records) : json_object_new_array();
		body = new_set(j, &s, records);
	}
	if (rc == 0 && merge(records, v, n, add)) {
		if (json_object_array_length(records))
			c.body = json_object_to_json_string(body);
		else
			c.method = "DELETE";
		if (s.etag)
			dns_call_header(&c, "If-Match", "%s", s.etag);
		else
			dns_call_header(&c, "If-None-Match", "*");
		rc = dns_api_call(j, j->provider->own, &c, &r, l, err);
		*status = r.http.status;
	}
	dns_reply_clear(&r);
	dns_reply_clear(&s.reply);
	json_object_put(body);
	json_object_put(records);
	free(step);
	return rc;
}

static int change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct limits *l, struct error *err)
{
	const struct azure *a = j->provider->own;
	char *path = path_of(j, v[0]);
	long status = 0;
	int rc = http_account_enter(a->api.account, HTTP_CHANGE, l, err);

	if (rc == 0) {
		for (unsigned tries = 0; tries < TRIES; tries++) {
			rc = change_once(j, v, n, add, path, &status, l, err);
			if (rc >= 0 || status != 412)
				break;
		}
		http_account_leave(a->api.account, HTTP_CHANGE);
	}
	free(path);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return change(j, v, n, true, l, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct limits *l, struct error *err)
{
	return change(j, v, n, false, l, err);
}

const struct dns_ops dns_azuredns = {
	.help = "Azure DNS",
	.options = options,
	.n_options = AZURE_OPTIONS,
	.ttl = 60,
	.ttl_min = 1,
	.patience = {.timeout_ms = 120000, .interval_ms = 2000},
	.init = init,
	.clear = clear,
	.batch = DNS_PER_NAME,
	.present = present,
	.cleanup = cleanup,
	.find_zone = azure_find_zone,
};
