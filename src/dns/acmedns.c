/* The provider `acmedns`: acme-dns, a name server for challenges alone. CNAME records lead from
 * challenge names to names of its own, one for each domain; an account for each may do nothing but
 * set the values there. It shows the two newest, and has no way of removing one. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/api.h"

#define PREFIX      "_acme-challenge."
#define STORAGE_MAX ((size_t)1 << 20)
#define VALUES_MAX  2    /* that acme-dns shows */
#define AGE_MS      1000 /* it knows its values' ages in whole seconds */

enum {
	STORAGE_PATH = DNS_API_OWN_OPTIONS,
	ALLOW_LIST,
	USERNAME,
	PASSWORD,
	SUBDOMAIN,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_COMMON_OPTIONS("ACME_DNS_", "ACMEDNS_"),
	[DNS_BASE_URL] = {.key = "api_base",
		.env = {"ACME_DNS_API_BASE"},
		.type = SETTING_URL,
		.required = true,
		.help = "where the API of acme-dns is"},
	DNS_HTTP_OPTIONS("ACME_DNS_", "ACMEDNS_"),
	[STORAGE_PATH] = {.key = "storage_path",
		.env = {"ACME_DNS_STORAGE_PATH"},
		.type = SETTING_PATH,
		.help = "the file of the domains' accounts, which are registered as needed"},
	[ALLOW_LIST] = {.key = "allow_list",
		.env = {"ACME_DNS_ALLOWLIST"},
		.type = SETTING_LIST,
		.help = "networks such as 192.0.2.0/24 that may use accounts registered here"},
	[USERNAME] = {.key = "username",
		.env = {"ACME_DNS_USERNAME"},
		.help = "of the one account for all domains, instead of storage_path"},
	[PASSWORD] = {.key = "password",
		.env = {"ACME_DNS_PASSWORD"},
		.type = SETTING_SECRET,
		.help = "of that account"},
	[SUBDOMAIN] = {.key = "subdomain",
		.env = {"ACME_DNS_SUBDOMAIN"},
		.help = "of that account: the first label of what CNAME records lead to"},
};

/* Borrowed: of the options, or of the file's JSON. */
struct login {
	const char *username, *password, *subdomain, *fulldomain; /* the last one: NULL = unknown */
};

static bool explain(struct http_reply *r)
{
	http_reply_explain(r, answer_text(r->json, "error"),
		r->http.status == 401 ? "the account is unknown there, its password another, or "
					"this machine's address none of those that it allows"
				      : NULL);
	return false;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct http_api *api = p->own = mem_zalloc(sizeof(*api));
	const char *username = dns_value(p, USERNAME), *password = dns_value(p, PASSWORD),
		   *subdomain = dns_value(p, SUBDOMAIN), *storage = dns_value(p, STORAGE_PATH);
	bool fixed = username || password || subdomain;

	if (fixed && !(username && password && subdomain))
		return error_set(err, "%s is missing: username, password and subdomain go together",
			!username   ? "username"
			: !password ? "password"
				    : "subdomain");
	if (fixed && (storage || p->values[ALLOW_LIST].list.n))
		return error_set(err,
			"%s stands beside username: accounts are registered, or one is given",
			storage ? "storage_path" : "allow_list");
	if (!fixed && !storage)
		return error_set(err,
			"storage_path is missing: the file for accounts that are registered, such "
			"as acme-dns.json; or username, password and subdomain of an account");
	api->explain = explain;
	return dns_api_init(p, api, NULL, fixed ? username : storage, 0, 0, err);
}

/* --- the file: {domain: account}, as lego has it --- */

/* A new object. */
static struct json_object *read_storage(const char *path, struct error *err)
{
	struct json_object *all = NULL;
	size_t len;
	char *text;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return json_object_new_object();
	text = file_read(path, STORAGE_MAX, &len, err);
	if (!text)
		return NULL;
	if (answer_json(text, len, STORAGE_MAX, &all, err) < 0) {
		error_prefix(err, "%s", path);
	} else if (!json_object_is_type(all, json_type_object)) {
		error_set(err, "%s: this is no JSON object of domains and their accounts", path);
		json_object_put(all);
		all = NULL;
	}
	OPENSSL_cleanse(text, len);
	free(text);
	return all;
}

static int write_storage(const char *path, struct json_object *all, struct error *err)
{
	const char *text = json_object_to_json_string_ext(
		all, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

	int rc = file_make_folder(path, 0755, err);

	if (rc == 0)
		rc = file_write(path, text, strlen(text), 0600, err);
	OPENSSL_cleanse((char *)text, strlen(text)); /* json-c's own */
	return rc;
}

/* In any letter case: older clients wrote FullDomain. */
static const char *text_of(struct json_object *account, const char *key)
{
	return json_object_get_string(answer_member_any_case(account, key, json_type_string));
}

static bool read_login(struct json_object *account, struct login *a)
{
	*a = (struct login){
		.username = text_of(account, "username"),
		.password = text_of(account, "password"),
		.subdomain = text_of(account, "subdomain"),
		.fulldomain = text_of(account, "fulldomain"),
	};
	return a->username && a->password && a->subdomain && a->fulldomain;
}

/* A new object, with all that an account needs. */
static struct json_object *register_account(
	const struct dns_job *j, const char *domain, struct error *err)
{
	const struct conf_strings *allow = &j->provider->values[ALLOW_LIST].list;
	struct json_object *from = json_object_new_array(), *account = NULL;
	struct http_call c = {.method = "POST", .json = json_object_new_object(), .max = 16384};
	struct http_reply r;
	struct login a;

	str_addf(&c.step, "registering an account for %s", domain);
	str_addf(&c.path, "/register");
	for (size_t i = 0; i < allow->n; i++)
		json_object_array_add(from, json_object_new_string(allow->v[i]));
	json_object_object_add(c.json, "allowfrom", from);
	if (dns_send(j, &c, &r, err) == 0) {
		if (read_login(r.json, &a))
			account = json_object_get(r.json);
		else
			error_set(err, "%s: the answer is no account", r.step);
	}
	http_reply_clear(&r);
	return account;
}

/* The domain's account in `all`; registered and saved first where there is none. */
static int open_account(const struct dns_job *j, struct json_object *all, const struct dns_txt *t,
	struct login *a, struct error *err)
{
	const char *path = dns_value(j->provider, STORAGE_PATH),
		   *domain = t->fqdn + (str_starts(t->fqdn, PREFIX) ? strlen(PREFIX) : 0);
	struct json_object *account = NULL;

	if (!json_object_object_get_ex(all, domain, &account)) {
		account = register_account(j, domain, err);
		if (!account)
			return -1;
		json_object_object_add(all, domain, account);
		if (write_storage(path, all, err) < 0)
			return error_prefix(err, "keeping the new account of %s", domain);
	}
	if (!read_login(account, a))
		return error_set(err,
			"%s: the account of %s lacks username, password, subdomain or fulldomain",
			path, domain);
	return 0;
}

/* --- records --- */

/* Whether the CNAMEs from the challenge name end at the account's place. */
static bool leads_there(const struct dns_txt *t, const struct login *a)
{
	size_t len = strlen(a->subdomain);

	if (a->fulldomain)
		return strcasecmp(t->name, a->fulldomain) == 0;
	return strncasecmp(t->name, a->subdomain, len) == 0 && t->name[len] == '.';
}

/* A name and its wildcard are one. */
static bool is_first(struct dns_txt *const *v, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(v[k]->fqdn, v[i]->fqdn) == 0)
			return false;
	return true;
}

static void ask_for_cname(struct str *s, const struct dns_txt *t, const struct login *a)
{
	const char *where = a->fulldomain ? a->fulldomain : a->subdomain;
	char target[DNS_NAME_SIZE];

	str_escape(target, sizeof(target), where, strlen(where));
	str_addf(s, "%s%s. CNAME %s.%s", s->len ? ", " : "", t->fqdn, target,
		a->fulldomain ? "" : "(the domain of acme-dns)");
	if (strcmp(t->name, t->fqdn) != 0)
		str_addf(s, " (it leads to %s now)", t->name);
}

/* A value that is set twice takes both places: after an answer that was lost all of the order's are
 * set anew. */
static int update(
	const struct dns_job *j, const struct dns_txt *t, const struct login *a, struct error *err)
{
	struct http_call c = {.method = "POST", .json = json_object_new_object(), .adds = true};

	str_addf(&c.step, "setting the TXT value of %s", t->fqdn);
	str_addf(&c.path, "/update");
	http_call_header(&c, "X-Api-User", "%s", a->username);
	http_call_header(&c, "X-Api-Key", "%s", a->password);
	http_json_add(c.json, "subdomain", a->subdomain);
	http_json_add(c.json, "txt", t->value);
	return dns_command(j, &c, err);
}

/* A value takes the older one's place. Where a name gets two, what is there has to be older than
 * both of them. */
static int make_room(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	size_t most = 1;

	for (size_t i = 0; i < n; i++) {
		size_t same = 0;

		for (size_t k = 0; k < n; k++)
			same += strcmp(v[k]->name, v[i]->name) == 0;
		if (same > VALUES_MAX)
			return error_set(err,
				"acme-dns shows %d values at a name, and the challenges of this "
				"order have %zu at %s: give each domain an account of its own, by "
				"storage_path",
				VALUES_MAX, same, v[i]->name);
		most = same > most ? same : most;
	}
	if (most > 1 && stop_wait(j->limits.stop, AGE_MS))
		return error_set(err, "stopped");
	return 0;
}

/* All accounts first, so that all CNAMEs that are missing are told at once. */
static int set_all(const struct dns_job *j, struct json_object *all, struct dns_txt *const *v,
	size_t n, struct error *err)
{
	const struct login fixed = {.username = dns_value(j->provider, USERNAME),
		.password = dns_value(j->provider, PASSWORD),
		.subdomain = dns_value(j->provider, SUBDOMAIN)};
	struct login *a = mem_zalloc(n * sizeof(*a));
	struct str missing = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		a[i] = fixed;
		if (all)
			rc = open_account(j, all, v[i], &a[i], err);
		if (rc == 0 && !leads_there(v[i], &a[i]) && is_first(v, i))
			ask_for_cname(&missing, v[i], &a[i]);
	}
	if (rc == 0 && missing.len)
		rc = error_set(err,
			"a CNAME record is to lead to acme-dns, once and for good: set %s, then "
			"try again",
			missing.data);
	if (rc == 0)
		rc = make_room(j, v, n, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = update(j, v[i], &a[i], err);
	str_clear(&missing);
	free(a);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	const struct http_api *api = j->provider->own;
	const char *path = dns_value(j->provider, STORAGE_PATH);
	struct json_object *all = NULL;
	int rc;

	if (http_account_enter(api->account, HTTP_CHANGE, &j->limits, err) < 0)
		return -1;
	all = path ? read_storage(path, err) : NULL;
	rc = path && !all ? -1 : set_all(j, all, v, n, err);
	answer_wipe(all);
	http_account_leave(api->account, HTTP_CHANGE);
	return rc;
}

/* There is no such thing: the values stay until newer ones take their places. */
static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	(void)j;
	(void)v;
	(void)n;
	(void)err;
	return 0;
}

const struct dns_ops dns_acmedns = {
	.help = "acme-dns",
	.options = options,
	.n_options = N_OPTIONS,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = dns_api_free,
	.batch = DNS_PER_ZONE,
	.present = present,
	.cleanup = cleanup,
};
