/* Accounts (RFC 8555, 7.3). One job thread; after acme_open() and acme_use_key(). */
#ifndef LINTEL_ACME_ACCOUNT_H
#define LINTEL_ACME_ACCOUNT_H

#include "acme/client.h"

struct acme_eab {               /* external account binding: what the CA gave out */
	const char *kid, *hmac; /* the latter base64url */
};

/* Looks the account up by its key; where the CA does not know it, registers it, the terms of
 * service agreed. `email` and `eab` may be NULL. */
int acme_account_open(struct acme *a, const char *email, const struct acme_eab *eab, bool *is_new,
	struct error *err);
/* Only looks it up. */
int acme_account_find(struct acme *a, struct error *err);
/* After that has failed: whether the CA has no account of this key. */
bool acme_account_is_unknown(const struct acme *a);
/* The account as the CA shows it. New reference; NULL with a sentence. */
struct json_object *acme_account_show(struct acme *a, struct error *err);
/* Makes `to` the account's key (7.3.5); the conversation goes on with it, borrowed as the old one.
 */
int acme_account_rollover(struct acme *a, EVP_PKEY *to, struct error *err);

#endif
