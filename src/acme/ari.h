/* ACME Renewal Information (RFC 9773). One job thread. */
#ifndef LINTEL_ACME_ARI_H
#define LINTEL_ACME_ARI_H

#include "acme/client.h"

struct acme_ari {
	int64_t start, end; /* the window, Unix seconds */
	int64_t retry_at;   /* when to ask again; 0 = not said */
	char *explanation;  /* a URL; NULL = none */
};

/* The certificate's identifier (4.1): base64url of its authority key identifier's key id, ".",
 * base64url of its serial number's DER value. A new string; NULL when it has no such identifier. */
char *acme_ari_id(const uint8_t *leaf, size_t len);
/* What the CA suggests. `out` is to be cleared when 0 is returned. */
int acme_ari_get(struct acme *a, const char *id, struct acme_ari *out, struct error *err);
void acme_ari_clear(struct acme_ari *ari);

#endif
