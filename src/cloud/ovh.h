/* Where OVH's API is, and who asks it: signed requests, by the clock of the API; OAuth2 with the
 * credentials of a service account; or a token that somebody else keeps fresh. Blocking: a job. */
#ifndef LINTEL_CLOUD_OVH_H
#define LINTEL_CLOUD_OVH_H

#include "http/api.h"

/* The settings of its users, after those of every API: see OVH_SETTINGS. */
enum {
	OVH_ENDPOINT = HTTP_OWN_SETTINGS,
	OVH_APPLICATION_KEY,
	OVH_APPLICATION_SECRET,
	OVH_CONSUMER_KEY,
	OVH_CLIENT_ID,
	OVH_CLIENT_SECRET,
	OVH_TOKEN_URL,
	OVH_ACCESS_TOKEN,
	OVH_N_SETTINGS,
};

/* Their rows, in a table whose base_url is row FIRST. The keys that are no secrets are
 * SETTING_SECRET for their KEY_file: lego knows OVH_APPLICATION_KEY_FILE and OVH_CLIENT_ID_FILE. */
/* clang-format off */
#define OVH_SETTINGS(FIRST)                                                                        \
	[FIRST + OVH_ENDPOINT] = {.key = "api_endpoint",                                           \
		.env = {"OVH_ENDPOINT", "endpoint"},                                               \
		.fallback = "ovh-eu",                                                              \
		.help = "which API: ovh-eu, ovh-ca, ovh-us, kimsufi-eu, kimsufi-ca, "              \
			"soyoustart-eu, soyoustart-ca, or a URL"},                                 \
	[FIRST + OVH_APPLICATION_KEY] = {.key = "application_key",                                 \
		.env = {"OVH_APPLICATION_KEY", "OVH_APP_KEY"},                                     \
		.type = SETTING_SECRET,                                                            \
		.help = "of the application, with application_secret and consumer_key"},           \
	[FIRST + OVH_APPLICATION_SECRET] = {.key = "application_secret",                           \
		.env = {"OVH_APPLICATION_SECRET", "OVH_APP_SECRET"},                               \
		.type = SETTING_SECRET,                                                            \
		.help = "signs the requests"},                                                     \
	[FIRST + OVH_CONSUMER_KEY] = {.key = "consumer_key",                                       \
		.env = {"OVH_CONSUMER_KEY"},                                                       \
		.type = SETTING_SECRET,                                                            \
		.help = "with the rights GET, POST and DELETE on /domain/zone/*"},                 \
	[FIRST + OVH_CLIENT_ID] = {.key = "client_id",                                             \
		.env = {"OVH_CLIENT_ID", "oauth2_config.client_id"},                               \
		.type = SETTING_SECRET,                                                            \
		.help = "of a service account, with client_secret: OAuth2"},                       \
	[FIRST + OVH_CLIENT_SECRET] = {.key = "client_secret",                                     \
		.env = {"OVH_CLIENT_SECRET", "oauth2_config.client_secret"},                       \
		.type = SETTING_SECRET,                                                            \
		.help = "of the service account"},                                                 \
	[FIRST + OVH_TOKEN_URL] = {.key = "token_url",                                             \
		.env = {"OVH_TOKEN_URL", "oauth2_config.token_url"},                               \
		.type = SETTING_URL,                                                               \
		.help = "where OAuth2 gives tokens, unless api_endpoint says"},                    \
	[FIRST + OVH_ACCESS_TOKEN] = {.key = "access_token",                                       \
		.env = {"OVH_ACCESS_TOKEN"},                                                       \
		.type = SETTING_SECRET,                                                            \
		.help = "a token that somebody else keeps fresh"}
/* clang-format on */

struct ovh {
	struct http_api api;
	const struct setting_value *v;
	char *token_url; /* OAuth2; NULL = not used */
};

/* Checks and takes in the settings, which have to outlive it, as it has to stay where it is. `name`
 * tells its accounts apart from others'. */
int ovh_init(struct ovh *o, const struct setting_value *v, const char *name, struct error *err);
void ovh_clear(struct ovh *o);
const char *ovh_text(const struct ovh *o, size_t setting); /* NULL = not given */
/* Whether the credentials are good, but not for this very call. */
bool ovh_is_ungranted(const struct http_reply *r);

#endif
