/* Authorizations and their dns-01 challenges (RFC 8555, 7.5 and 8.4). One job thread; with an order
 * that is pending. Waits end after five minutes. */
#ifndef LINTEL_ACME_CHALLENGE_H
#define LINTEL_ACME_CHALLENGE_H

#include "acme/order.h"

struct acme_challenge { /* the dns-01 challenge of a pending authorization */
	char *domain;   /* as it was asked for, without "*." */
	char *fqdn;     /* _acme-challenge.DOMAIN */
	char *value;    /* of the TXT record */
	char *token;
	char *key_authorization; /* 8.1 */
	char *url;               /* of the challenge */
	char *authorization;     /* URL */
	bool answered;           /* the CA knows already that it is met: before a crash, say */
	bool valid;
	int64_t retry_at; /* when to look again; 0 = not said */
};

/* Where the TXT record for a domain is looked for, "*." or not (8.4). A new string. */
char *acme_challenge_name(const char *domain);
/* Those that are still to be met; authorizations that are valid have none. All of them must be for
 * names that were asked for, `domains`. *v is to be freed with *n even when -1 is returned. */
int acme_order_challenges(struct acme *a, const struct acme_order *o,
	const struct conf_strings *domains, struct acme_challenge **v, size_t *n,
	struct error *err);
/* Tells the CA that all are met, and waits until it has seen so. A CA that is busy meanwhile is
 * waited for. */
int acme_challenges_meet(struct acme *a, struct acme_challenge *v, size_t n, struct error *err);
/* Gives up the authorizations that are still pending (7.5.2), as far as that goes. */
void acme_challenges_give_up(struct acme *a, const struct acme_challenge *v, size_t n);
void acme_challenges_free(struct acme_challenge *v, size_t n);

#endif
