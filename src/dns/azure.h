/* What Azure DNS (azuredns.c), its zones (azurezones.c) and the tokens that its API wants
 * (azuretoken.c) share. */
#ifndef LINTEL_DNS_AZURE_H
#define LINTEL_DNS_AZURE_H

#include "dns/api.h"

enum { /* rows of the options */
	AZURE_TENANT_ID = DNS_API_OWN_OPTIONS,
	AZURE_CLIENT_ID,
	AZURE_CLIENT_SECRET,
	AZURE_SUBSCRIPTION_ID,
	AZURE_RESOURCE_GROUP,
	AZURE_ZONE_NAME,
	AZURE_PRIVATE_ZONE,
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
	AZURE_OPTIONS,
};

struct azure_cloud {
	const char *name;
	const char *management; /* the API, which tokens are for whatever base_url says */
	const char *authority;  /* who issues them */
};

enum azure_auth {
	AZURE_BY_SECRET,
	AZURE_BY_IDENTITY,  /* of the machine */
	AZURE_BY_ASSERTION, /* another issuer's token, which is exchanged */
};

struct azure { /* a provider's `own` */
	struct dns_api api;
	const struct azure_cloud *cloud;
	enum azure_auth auth;
	char *authority; /* URL */
	char *identity;  /* URL of the machine's own issuer */
};

/* Takes in how tokens are had. -1 with a sentence that begins with an option's name. */
int azure_token_init(struct dns_provider *p, struct azure *a, struct error *err);
void azure_token_clear(struct azure *a);
/* As in struct dns_api: the account's token, or a new one. */
int azure_authorize(const struct dns_job *j, struct dns_call *c, bool again, const struct limits *l,
	struct error *err);
bool azure_explain(struct dns_reply *r);

/* Public and private zones are two kinds of resources, which have versions of their own. */
bool azure_is_private(const struct dns_job *j);
const char *azure_kind(const struct dns_job *j);
const char *azure_version(const struct dns_job *j);
/* A member by its name in any letter case, which the API does not keep. Borrowed; NULL where there
 * is none, or one of another type. */
struct json_object *azure_member(struct json_object *o, const char *key, enum json_type type);
/* As in struct dns_ops. A zone's id is its path in the API. */
int azure_find_zone(const struct dns_job *j, const char *name, struct dns_zone *z,
	const struct limits *l, struct error *err);

#endif
