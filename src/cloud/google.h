/* Who asks Google's APIs, and the tokens that prove it: a service account with its key, a person
 * with a refresh token, or the machine's own account, whose tokens its metadata server gives; and
 * the service account that one of them stands in for. Blocking: a job. */
#ifndef LINTEL_CLOUD_GOOGLE_H
#define LINTEL_CLOUD_GOOGLE_H

#include <openssl/evp.h>

#include "http/api.h"

/* The settings of a service, after those of every API: see GOOGLE_SETTINGS. */
enum {
	GOOGLE_SERVICE_ACCOUNT = HTTP_OWN_SETTINGS,
	GOOGLE_CREDENTIALS,
	GOOGLE_PROJECT,
	GOOGLE_IMPERSONATE,
	GOOGLE_TOKEN_URL,
	GOOGLE_IAM_URL,
	GOOGLE_METADATA_HOST,
	GOOGLE_N_SETTINGS,
};

/* Their rows, in a table whose base_url is row FIRST. */
/* clang-format off */
#define GOOGLE_SETTINGS(FIRST)                                                                     \
	[FIRST + GOOGLE_SERVICE_ACCOUNT] = {.key = "service_account",                              \
		.env = {"GCE_SERVICE_ACCOUNT", "service_account_json"},                            \
		.type = SETTING_SECRET,                                                            \
		.lines = true,                                                                     \
		.help = "the JSON of a service account's key, or of a person's credentials"},      \
	[FIRST + GOOGLE_CREDENTIALS] = {.key = "application_credentials",                          \
		.env = {"GOOGLE_APPLICATION_CREDENTIALS"},                                         \
		.type = SETTING_PATH,                                                              \
		.help = "the file with that JSON, where there is no service_account; without "     \
			"both the metadata server is asked"},                                      \
	[FIRST + GOOGLE_PROJECT] = {.key = "project",                                              \
		.env = {"GCE_PROJECT"},                                                            \
		.help = "the id of the project whose zones these are, unless it is that of the "   \
			"credentials"},                                                            \
	[FIRST + GOOGLE_IMPERSONATE] = {.key = "impersonate_service_account",                      \
		.env = {"GCE_IMPERSONATE_SERVICE_ACCOUNT"},                                        \
		.help = "the address of another service account, to act as that one"},             \
	[FIRST + GOOGLE_TOKEN_URL] = {.key = "token_url",                                          \
		.type = SETTING_URL,                                                               \
		.help = "where tokens come from, instead of the credentials' token_uri"},          \
	[FIRST + GOOGLE_IAM_URL] = {.key = "iam_url",                                              \
		.type = SETTING_URL,                                                               \
		.help = "where the IAM credentials API is, for impersonate_service_account"},      \
	[FIRST + GOOGLE_METADATA_HOST] = {.key = "metadata_host",                                  \
		.env = {"GCE_METADATA_HOST"},                                                      \
		.fallback = "metadata.google.internal",                                            \
		.help = "the metadata server: HOST or HOST:PORT"}
/* clang-format on */

struct google {
	struct http_api api;   /* the service; its account has the token that is shown there */
	struct http_api login; /* where tokens come from */
	struct http_api iam;   /* lends the token of another account to one of ours, which its
				* account has */
	const struct setting_value *v;
	const char *scope;            /* what a token of the service may do */
	struct http_account *machine; /* its token is no token, but the machine's project */
	char *project;                /* as the settings say; NULL = the machine's */
	char *token_url;
	/* A service account (key is set), a person (refresh_token is), or the machine (neither). */
	EVP_PKEY *key;
	char *key_id, *email;
	char *client_id, *client_secret, *refresh_token;
};

/* Takes in the settings, which have to outlive it, as it has to stay where it is, and the JSON of
 * the account. `base` and `scope` are the service's. `name` tells its accounts apart from others'.
 */
int google_init(struct google *g, const struct setting_value *v, const char *name, const char *base,
	const char *scope, struct error *err);
void google_clear(struct google *g);
const char *google_text(const struct google *g, size_t setting); /* NULL = not given */
/* What credentials are there: fills in the account, its project and token URL. */
int google_account_read(struct google *g, struct error *err);

/* The project that the service is asked about. A new string; NULL with a sentence. */
char *google_project(const struct google *g, const struct limits *l, struct error *err);
/* http_send() to the service. Each good answer of it is an object; an empty one is none, and gives
 * HTTP_AGAIN. */
int google_ask(const struct google *g, struct http_call *c, struct http_reply *r,
	const struct limits *l, struct error *err);

#endif
