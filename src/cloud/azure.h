/* Azure's Resource Manager: who asks, proved by tokens of OAuth 2.0, which are had for a client's
 * secret, for the token of another issuer that Azure trusts (workload identity, OIDC), or from the
 * machine that this runs on; its errors and its lists. Blocking: a job. */
#ifndef LINTEL_CLOUD_AZURE_H
#define LINTEL_CLOUD_AZURE_H

#include "http/api.h"

/* The settings of a service, after those of every API: see AZURE_SETTINGS. */
enum {
	AZURE_TENANT_ID = HTTP_OWN_SETTINGS,
	AZURE_CLIENT_ID,
	AZURE_CLIENT_SECRET,
	AZURE_ENVIRONMENT,
	AZURE_AUTHORITY_HOST,
	AZURE_AUTH_METHOD,
	AZURE_AUTH_MSI_TIMEOUT,
	AZURE_IMDS_ENDPOINT,
	AZURE_IDENTITY_ENDPOINT,
	AZURE_IDENTITY_HEADER,
	AZURE_OIDC_TOKEN,
	AZURE_OIDC_TOKEN_FILE_PATH,
	AZURE_OIDC_REQUEST_URL,
	AZURE_OIDC_REQUEST_TOKEN,
	AZURE_SUBSCRIPTION_ID,
	AZURE_RESOURCE_GROUP,
	AZURE_DISCOVERY_FILTER,
	AZURE_N_SETTINGS,
};

/* Their rows, in a table whose base_url is row FIRST. */
/* clang-format off */
#define AZURE_SETTINGS(FIRST)                                                                      \
	[FIRST + AZURE_TENANT_ID] = {.key = "tenant_id",                                           \
		.env = {"AZURE_TENANT_ID"},                                                        \
		.help = "the directory that the app is registered in"},                            \
	[FIRST + AZURE_CLIENT_ID] = {.key = "client_id",                                           \
		.env = {"AZURE_CLIENT_ID"},                                                        \
		.help = "the app's ID, or that of a managed identity assigned by the user"},       \
	[FIRST + AZURE_CLIENT_SECRET] = {.key = "client_secret",                                   \
		.env = {"AZURE_CLIENT_SECRET"},                                                    \
		.type = SETTING_SECRET,                                                            \
		.help = "the value of a secret of the app"},                                       \
	[FIRST + AZURE_ENVIRONMENT] = {.key = "environment",                                       \
		.env = {"AZURE_ENVIRONMENT"},                                                      \
		.fallback = "public",                                                              \
		.help = "which Azure: public, china or usgovernment"},                             \
	[FIRST + AZURE_AUTHORITY_HOST] = {.key = "authority_host",                                 \
		.env = {"AZURE_AUTHORITY_HOST"},                                                   \
		.type = SETTING_URL,                                                               \
		.help = "who issues tokens, where that is not the environment's"},                 \
	[FIRST + AZURE_AUTH_METHOD] = {.key = "auth_method",                                       \
		.env = {"AZURE_AUTH_METHOD"},                                                      \
		.help = "how tokens are had: env (client_secret), msi (managed identity), wli "    \
			"or oidc; else what the other options fit"},                               \
	[FIRST + AZURE_AUTH_MSI_TIMEOUT] = {.key = "auth_msi_timeout",                             \
		.env = {"AZURE_AUTH_MSI_TIMEOUT"},                                                 \
		.type = SETTING_DURATION,                                                          \
		.fallback = "2s",                                                                  \
		.help = "for one request to the managed identity"},                                \
	[FIRST + AZURE_IMDS_ENDPOINT] = {.key = "imds_endpoint",                                   \
		.env = {"IMDS_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST"},                     \
		.type = SETTING_URL,                                                               \
		.help = "where a virtual machine's identity answers, without the path"},           \
	[FIRST + AZURE_IDENTITY_ENDPOINT] = {.key = "identity_endpoint",                           \
		.env = {"IDENTITY_ENDPOINT"},                                                      \
		.type = SETTING_URL,                                                               \
		.help = "where an App Service's identity answers"},                                \
	[FIRST + AZURE_IDENTITY_HEADER] = {.key = "identity_header",                               \
		.env = {"IDENTITY_HEADER"},                                                        \
		.type = SETTING_SECRET,                                                            \
		.help = "what that one wants to be shown"},                                        \
	[FIRST + AZURE_OIDC_TOKEN] = {.key = "oidc_token",                                         \
		.env = {"AZURE_OIDC_TOKEN"},                                                       \
		.type = SETTING_SECRET,                                                            \
		.help = "another issuer's token, which is exchanged for one of Azure's"},          \
	[FIRST + AZURE_OIDC_TOKEN_FILE_PATH] = {.key = "oidc_token_file_path",                     \
		.env = {"AZURE_OIDC_TOKEN_FILE_PATH", "AZURE_FEDERATED_TOKEN_FILE"},               \
		.type = SETTING_PATH,                                                              \
		.help = "a file that holds such a token, read each time"},                         \
	[FIRST + AZURE_OIDC_REQUEST_URL] = {.key = "oidc_request_url",                             \
		.env = {"AZURE_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"},                 \
		.help = "where such a token is asked for"},                                        \
	[FIRST + AZURE_OIDC_REQUEST_TOKEN] = {.key = "oidc_request_token",                         \
		.env = {"AZURE_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"},             \
		.type = SETTING_SECRET,                                                            \
		.help = "what oidc_request_url wants to be shown"},                                \
	[FIRST + AZURE_SUBSCRIPTION_ID] = {.key = "subscription_id",                               \
		.env = {"AZURE_SUBSCRIPTION_ID"},                                                  \
		.help = "where the zones are; else all subscriptions are looked through"},         \
	[FIRST + AZURE_RESOURCE_GROUP] = {.key = "resource_group",                                 \
		.env = {"AZURE_RESOURCE_GROUP"},                                                   \
		.help = "where in the subscription; else all groups are looked through"},          \
	[FIRST + AZURE_DISCOVERY_FILTER] = {.key = "service_discovery_filter",                     \
		.env = {"AZURE_SERVICEDISCOVERY_FILTER"},                                          \
		.help = "zones are found by Resource Graph, and have to pass this part of the "    \
			"query, such as where tags.env == 'prod'"}
/* clang-format on */

enum azure_auth {
	AZURE_BY_SECRET,
	AZURE_BY_IDENTITY,  /* of the machine */
	AZURE_BY_ASSERTION, /* another issuer's token, which is exchanged */
};

struct azure_cloud;
struct azure {
	struct http_api api;
	const struct setting_value *v;
	const struct azure_cloud *cloud;
	enum azure_auth auth;
	char *authority; /* URL */
	char *identity;  /* URL of the machine's own issuer */
};

/* Checks and takes in the settings, which have to outlive it, as it has to stay where it is. `name`
 * tells its accounts apart from others'. -1 with a sentence that begins with a setting's key. */
int azure_init(struct azure *a, const struct setting_value *v, const char *name, struct error *err);
void azure_clear(struct azure *a);
const char *azure_text(const struct azure *a, size_t setting); /* NULL = not given */

struct azure_query {
	const char *step;    /* "looking for ..." */
	const char *kind;    /* "Microsoft.Network/dnsZones" */
	const char *version; /* of the API for this kind */
	/* Called with each resource that is found: whether it is of use. */
	bool (*take)(void *arg, struct json_object *o);
	void *arg;
};
/* The resources of a kind: in the group, the subscription, or all that there are, as the settings
 * say. `*status` is that of the last answer. As http_send(). */
int azure_find(const struct azure *a, const struct azure_query *q, long *status,
	const struct limits *l, struct error *err);

#endif
