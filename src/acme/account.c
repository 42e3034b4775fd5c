#include "acme/account.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "acme/jws.h"
#include "acme/key.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"

static void add(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

/* newAccount; its answer's Location is the account's URL. Takes the payload. */
static int new_account(struct acme *a, struct json_object *payload, bool *is_new, struct error *err)
{
	const char *url = acme_resource(a, "newAccount", err), *location;
	struct acme_answer ans;
	int rc = url ? acme_post_by_key(a, url, payload, &ans, err) : -1;

	json_object_put(payload);
	if (rc < 0)
		return -1;
	location = fetch_header(&ans.http, "Location", 0);
	if (location && acme_is_url(location)) {
		acme_set_account_url(a, location);
		*is_new = ans.status == 201;
	} else {
		error_set(err, "it has no Location, or one that is no URL");
		rc = acme_nonsense(a, url, err);
	}
	acme_answer_clear(&ans);
	return rc;
}

int acme_account_find(struct acme *a, struct error *err)
{
	struct json_object *payload = json_object_new_object();
	bool is_new;

	json_object_object_add(payload, "onlyReturnExisting", json_object_new_boolean(true));
	return new_account(a, payload, &is_new, err);
}

bool acme_account_is_unknown(const struct acme *a)
{
	return strcmp(acme_fault_type(a), "accountDoesNotExist") == 0;
}

static int add_binding(
	struct acme *a, struct json_object *payload, const struct acme_eab *eab, struct error *err)
{
	const char *url = acme_resource(a, "newAccount", err);
	char *jws = NULL;
	size_t len;
	uint8_t *mac_key = url ? enc_base64url_decode(eab->hmac, &len, err) : NULL;

	if (!mac_key)
		return error_prefix(err, "eab_hmac");
	jws = jws_bind(acme_key(a), eab->kid, mac_key, len, url, err);
	OPENSSL_cleanse(mac_key, len);
	free(mac_key);
	if (!jws)
		return -1;
	json_object_object_add(payload, "externalAccountBinding", json_tokener_parse(jws));
	free(jws);
	return 0;
}

static int register_account(struct acme *a, const char *email, const struct acme_eab *eab,
	bool *is_new, struct error *err)
{
	struct json_object *payload = json_object_new_object(), *contact;
	char *mail;

	json_object_object_add(payload, "termsOfServiceAgreed", json_object_new_boolean(true));
	if (email) {
		contact = json_object_new_array();
		mail = mem_printf("mailto:%s", email);
		json_object_array_add(contact, json_object_new_string(mail));
		json_object_object_add(payload, "contact", contact);
		free(mail);
	}
	if (eab && add_binding(a, payload, eab, err) < 0) {
		json_object_put(payload);
		return -1;
	}
	return new_account(a, payload, is_new, err);
}

int acme_account_open(struct acme *a, const char *email, const struct acme_eab *eab, bool *is_new,
	struct error *err)
{
	*is_new = false;
	if (acme_account_find(a, err) == 0)
		return 0;
	if (!acme_account_is_unknown(a))
		return error_prefix(err, "account");
	if (register_account(a, email, eab, is_new, err) < 0)
		return error_prefix(err, "registering an account");
	return 0;
}

struct json_object *acme_account_show(struct acme *a, struct error *err)
{
	struct acme_answer ans;
	struct json_object *o;

	if (acme_post(a, acme_account_url(a), NULL, &ans, err) < 0)
		return NULL;
	o = json_object_get(ans.json);
	acme_answer_clear(&ans);
	if (!o) {
		error_set(err, "it is empty");
		acme_nonsense(a, acme_account_url(a), err);
	}
	return o;
}

int acme_account_rollover(struct acme *a, EVP_PKEY *to, struct error *err)
{
	const char *url = acme_resource(a, "keyChange", err);
	struct json_object *inner = json_object_new_object(), *payload = NULL;
	char *old_jwk = acme_key_jwk(acme_key(a)), *jws = NULL;
	struct acme_answer ans;
	int rc = -1;

	add(inner, "account", acme_account_url(a));
	json_object_object_add(inner, "oldKey", json_tokener_parse(old_jwk));
	if (url)
		jws = jws_sign(to, NULL, NULL, url,
			json_object_to_json_string_ext(
				inner, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			err);
	if (jws) {
		payload = json_tokener_parse(jws);
		rc = acme_post(a, url, payload, &ans, err);
	}
	if (rc == 0) {
		acme_answer_clear(&ans);
		acme_use_key(a, to);
	}
	json_object_put(payload);
	json_object_put(inner);
	free(jws);
	free(old_jwk);
	return rc;
}
