/* The provider `gcloud`, whose files share this: gcloud.c has its options and zones,
 * gcloud_change.c changes records; who asks is told by gcloud_account.c and proved by
 * gcloud_token.c: a service account with its key, a person with a refresh token, or the machine's
 * own account, whose tokens its metadata server gives; and the service account that one of them
 * stands in for. `own` of struct dns_provider is a struct gcloud. Blocking: a job. */
#ifndef LINTEL_DNS_GCLOUD_H
#define LINTEL_DNS_GCLOUD_H

#include <openssl/evp.h>

#include "dns/api.h"

enum { /* the rows of gcloud's options */
	GCLOUD_SERVICE_ACCOUNT = DNS_API_OWN_OPTIONS,
	GCLOUD_CREDENTIALS,
	GCLOUD_PROJECT,
	GCLOUD_ZONE_ID,
	GCLOUD_ALLOW_PRIVATE_ZONE,
	GCLOUD_IMPERSONATE,
	GCLOUD_TOKEN_URL,
	GCLOUD_IAM_URL,
	GCLOUD_METADATA_HOST,
	GCLOUD_N_OPTIONS,
};

struct gcloud {
	struct dns_api api;   /* Cloud DNS; its account has the token that is shown there */
	struct dns_api login; /* where tokens come from */
	struct dns_api iam;   /* lends the token of another account to one of ours, which its
			       * account has */
	struct http_account *machine; /* its token is no token, but the machine's project */
	char *project;                /* as the options say; NULL = the machine's */
	char *token_url;
	/* A service account (key is set), a person (refresh_token is), or the machine (neither). */
	EVP_PKEY *key;
	char *key_id, *email;
	char *client_id, *client_secret, *refresh_token;
};

/* Takes in the options, and the JSON of the account (gcloud_account.c). */
int gcloud_auth_init(struct dns_provider *p, struct error *err);
void gcloud_auth_clear(struct gcloud *g);
/* How each of the three APIs is told who asks, and how it speaks (gcloud_token.c). */
void gcloud_token_init(struct gcloud *g);
/* The project whose zones these are. A new string; NULL with a sentence. */
char *gcloud_project(const struct dns_job *j, const struct limits *l, struct error *err);

/* dns_api_call() of Cloud DNS. Each good answer of it is an object; an empty one is none, and gives
 * DNS_AGAIN. */
int gcloud_ask(const struct dns_job *j, struct dns_call *c, struct dns_reply *r,
	const struct limits *l, struct error *err);
/* Adds or removes records of one zone, and waits until Google's name servers have it. 0, -1 or
 * DNS_AGAIN. */
int gcloud_change(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct limits *l, struct error *err);

#endif
