/* The JSON of a service account, or of a person's credentials. */
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cloud/google.h"

#define JSON_MAX ((size_t)64 << 10)

static int take_key(struct google *g, const char *pem, struct error *err)
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

static int take_account(struct google *g, struct json_object *o, struct error *err)
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
		http_wipe(pem);
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

static int take_json(struct google *g, const char *text, const char *option, struct error *err)
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
	answer_wipe(o);
	return rc < 0 ? error_prefix(err, "%s", option) : 0;
}

/* Settings that are given win over those of the environment. */
int google_account_read(struct google *g, struct error *err)
{
	const struct setting_value *inlined = &g->v[GOOGLE_SERVICE_ACCOUNT],
				   *file = &g->v[GOOGLE_CREDENTIALS];
	const char *json = setting_text(inlined), *path = setting_text(file);
	size_t len;
	char *text;
	int rc;

	if (json && !(inlined->from_environment && path && !file->from_environment))
		return take_json(g, json, "service_account", err);
	if (!path)
		return 0;
	text = file_read(path, JSON_MAX, &len, err);
	if (!text)
		return error_prefix(err, "application_credentials");
	rc = take_json(g, text, "application_credentials", err);
	http_wipe(text);
	return rc;
}
