/* The options of gcloud that say who asks, and the JSON of a service account or of a person. */
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/gcloud.h"

#define TOKEN_URL     "https://oauth2.googleapis.com/token"
#define IAM_URL       "https://iamcredentials.googleapis.com"
#define METADATA_HOST "metadata.google.internal"
#define JSON_MAX      ((size_t)64 << 10)

static void wipe(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

static int take_key(struct gcloud *g, const char *pem, struct error *err)
{
	char no_passphrase[] = ""; /* else it is asked for on the terminal */
	BIO *bio = BIO_new_mem_buf(pem, -1);

	g->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, no_passphrase) : NULL;
	BIO_free(bio);
	if (!g->key || !EVP_PKEY_is_a(g->key, "RSA"))
		return error_set(err, "private_key is no RSA key in PEM: download a new key file");
	return 0;
}

static int take_member(struct json_object *o, const char *key, char **to, struct error *err)
{
	*to = mem_strdup(answer_text(o, key));
	return *to ? 0 : error_set(err, "the JSON has no %s", key);
}

static int take_account(struct gcloud *g, struct json_object *o, struct error *err)
{
	const char *type = answer_text(o, "type");
	char shown[80];
	char *pem = NULL;
	int rc = -1;

	g->project = mem_strdup(answer_text(o, "project_id"));
	g->token_url = mem_strdup(answer_text(o, "token_uri"));
	if (type && strcmp(type, "service_account") == 0) {
		g->key_id = mem_strdup(answer_text(o, "private_key_id"));
		if (take_member(o, "client_email", &g->email, err) == 0 &&
			take_member(o, "private_key", &pem, err) == 0)
			rc = take_key(g, pem, err);
		wipe(pem);
		return rc;
	}
	if (type && strcmp(type, "authorized_user") == 0)
		return take_member(o, "client_id", &g->client_id, err) < 0 ||
				       take_member(o, "client_secret", &g->client_secret, err) <
					       0 ||
				       take_member(o, "refresh_token", &g->refresh_token, err) < 0
			       ? -1
			       : 0;
	return error_set(err,
		"the JSON's type is \"%s\": service_account and authorized_user are known",
		str_escape(shown, sizeof(shown), type ? type : "", type ? strlen(type) : 0));
}

/* The texts that are secret are wiped where json-c has them, too. */
static void wipe_json(struct json_object *o)
{
	static const char *const secret[] = {"private_key", "client_secret", "refresh_token"};

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++) {
		const char *text = answer_text(o, secret[i]);

		if (text)
			OPENSSL_cleanse((char *)text, strlen(text));
	}
	json_object_put(o);
}

static int take_json(struct gcloud *g, const char *text, const char *option, struct error *err)
{
	struct json_object *o = NULL;
	size_t len = strlen(text);
	int rc;

	rc = answer_json(text, len, JSON_MAX, &o, err);
	if (rc == 0 && json_object_is_type(o, json_type_object))
		rc = take_account(g, o, err);
	else
		rc = error_set(err, "is no JSON object: the text of the key file is wanted, or its "
				    "path in service_account_file");
	wipe_json(o);
	return rc < 0 ? error_prefix(err, "%s", option) : 0;
}

/* The JSON, from wherever it is. */
static int take_credentials(
	const struct dns_provider *p, struct gcloud *g, const char *json, struct error *err)
{
	const char *path = dns_value(p, GCLOUD_CREDENTIALS);
	size_t len;
	char *text;
	int rc;

	if (json || !path)
		return json ? take_json(g, json, "service_account", err) : 0;
	text = file_read(path, JSON_MAX, &len, err);
	if (!text)
		return error_prefix(err, "application_credentials");
	rc = take_json(g, text, "application_credentials", err);
	wipe(text);
	return rc;
}

/* The token goes over plain HTTP there: only where nobody else can be. */
static int check_metadata_host(const struct dns_provider *p, struct error *err)
{
	const char *host = dns_value(p, GCLOUD_METADATA_HOST);
	size_t len = strcspn(host, ":");
	char *url = mem_printf("http://%s/", host);
	bool good = strcmp(host, METADATA_HOST) == 0 || address_is_secure_url(url) ||
		    (len == 15 && strncmp(host, "169.254.169.254", len) == 0) ||
		    dns_is_true(p, DNS_INSECURE_HTTP);

	free(url);
	if (strpbrk(host, "/?#@ \t"))
		return error_set(err,
			"metadata_host: \"%.200s\" is no HOST or HOST:PORT: nothing stands before "
			"and behind it",
			host);
	return good ? 0
		    : error_set(err,
			      "metadata_host: \"%.200s\" would send a token in the clear: it is %s "
			      "or 169.254.169.254, else set insecure_http",
			      host, METADATA_HOST);
}

static int take_urls(struct dns_provider *p, struct gcloud *g, struct error *err)
{
	bool given = dns_value(p, GCLOUD_TOKEN_URL);
	char *url = dns_api_url(p, GCLOUD_TOKEN_URL, g->token_url ? g->token_url : TOKEN_URL, err);

	free(g->token_url);
	g->token_url = url;
	if (!url)
		return -1;
	if (!given && !address_is_secure_url(url) && !dns_is_true(p, DNS_INSECURE_HTTP))
		return error_set(err,
			"service_account: its token_uri \"%.200s\" is no https:// URL: set "
			"token_url",
			url);
	g->iam.base = dns_api_url(p, GCLOUD_IAM_URL, IAM_URL, err);
	return g->iam.base ? check_metadata_host(p, err) : -1;
}

/* Accounts are told apart by all that a token depends on. */
static int take_accounts(
	struct dns_provider *p, struct gcloud *g, const char *json, struct error *err)
{
	const char *other = dns_value(p, GCLOUD_IMPERSONATE);
	char *who = mem_printf("%s\n%s\n%s\n%s\n%s", json ? json : "", g->token_url,
		     g->refresh_token ? g->refresh_token : "", g->email ? g->email : "",
		     dns_value(p, GCLOUD_METADATA_HOST)),
	     *for_whom = mem_printf("%s\n%s", who, other ? other : "");
	int rc = dns_api_init(p, &g->api, "https://dns.googleapis.com", for_whom, 0, 0, err);

	g->login.timeout_ms = g->iam.timeout_ms = g->api.timeout_ms;
	g->login.account = g->iam.account = http_account_get("gcloud: own", who, 0, 0);
	g->machine = http_account_get("gcloud: project", dns_value(p, GCLOUD_METADATA_HOST), 0, 0);
	wipe(for_whom);
	wipe(who);
	return rc;
}

int gcloud_auth_init(struct dns_provider *p, struct error *err)
{
	struct gcloud *g = p->own;
	const char *text = dns_value(p, GCLOUD_SERVICE_ACCOUNT),
		   *project = dns_value(p, GCLOUD_PROJECT);

	/* Options win over the environment. */
	if (p->values[GCLOUD_SERVICE_ACCOUNT].from_environment &&
		dns_value(p, GCLOUD_CREDENTIALS) && !p->values[GCLOUD_CREDENTIALS].from_environment)
		text = NULL;
	gcloud_token_init(g);
	if (take_credentials(p, g, text, err) < 0 || take_urls(p, g, err) < 0 ||
		take_accounts(p, g, text, err) < 0)
		return -1;
	if (project) {
		free(g->project);
		g->project = mem_strdup(project);
	}
	if (!g->project && (g->key || g->refresh_token))
		return error_set(err, "project is missing: the id of the project whose zones these "
				      "are, which the credentials do not tell");
	return 0;
}

void gcloud_auth_clear(struct gcloud *g)
{
	dns_api_clear(&g->api);
	dns_api_clear(&g->iam);
	EVP_PKEY_free(g->key);
	free(g->project);
	free(g->token_url);
	free(g->key_id);
	free(g->email);
	free(g->client_id);
	wipe(g->client_secret);
	wipe(g->refresh_token);
}
