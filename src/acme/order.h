/* Orders and their certificates (RFC 8555, 7.4 and 7.6). One job thread; after acme_account_open().
 * Waits end after five minutes. */
#ifndef LINTEL_ACME_ORDER_H
#define LINTEL_ACME_ORDER_H

#include "acme/client.h"

enum acme_status { /* of orders and authorizations (7.1.6) */
	ACME_PENDING,
	ACME_READY,
	ACME_PROCESSING,
	ACME_VALID,
	ACME_INVALID,
	ACME_DEACTIVATED,
	ACME_EXPIRED,
	ACME_REVOKED,
};

struct acme_order {
	char *url;
	enum acme_status status;
	char *finalize;
	char *certificate; /* NULL before it is valid */
	struct conf_strings authorizations;
	int64_t retry_at; /* when to look again; 0 = not said */
};

/* What the CA does not like about `replaces` (RFC 9773, 5) or `profile` is left out in a second
 * try. Both may be NULL. */
int acme_order_new(struct acme *a, const struct conf_strings *domains, const char *profile,
	const char *replaces, struct acme_order *o, struct error *err);
int acme_order_get(struct acme *a, const char *url, struct acme_order *o, struct error *err);
void acme_order_clear(struct acme_order *o);
/* The member "status" of an order or an authorization. */
int acme_read_status(struct json_object *o, enum acme_status *status, struct error *err);

/* With all names proved: sends the CSR when the order is ready, and waits until it is valid. A CA
 * that is busy meanwhile is waited for. */
int acme_order_finalize(
	struct acme *a, struct acme_order *o, const uint8_t *csr, size_t len, struct error *err);
/* The chain, leaf first, as PEM: the one whose topmost issuer has the CN `preferred` (NULL = none)
 * where the CA offers such a one, else the CA's own choice. A new string. */
char *acme_order_download(
	struct acme *a, const struct acme_order *o, const char *preferred, struct error *err);

/* `leaf` is DER, `reason` a code of RFC 5280, 5.3.1. */
int acme_revoke(struct acme *a, const uint8_t *leaf, size_t len, int reason, struct error *err);

#endif
