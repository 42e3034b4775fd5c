/* The provider `pseudo`: a throw-away CA in state_dir/pseudo (ca.crt, ca.key; made on first use)
 * that mints certificates with no network at all. Blocking: a job. */
#ifndef LINTEL_AUTOCERT_PSEUDO_H
#define LINTEL_AUTOCERT_PSEUDO_H

#include <stdbool.h>

#include "base/error.h"
#include "conf/conf.h"
#include "tls/cert.h"

struct pseudo; /* the CA, opened for one job */

/* The CA of this state_dir, made where there is none; one that cannot be used is kept aside with a
 * warning and a new one made. NULL with a sentence where it may not be read. */
struct pseudo *pseudo_open(const char *state_dir, struct error *err);
void pseudo_close(struct pseudo *p); /* NULL is fine */
bool pseudo_is_issuer(const struct pseudo *p, const struct cert *c);
/* The same of the CA of this state_dir, where there is one: none is made. */
bool pseudo_has_issued(const char *state_dir, const struct cert *c);
/* A certificate by `a`'s domains, key type and lifetime, with its key, as PEM: new strings, the
 * second for key_pem_free(). */
int pseudo_mint(const struct pseudo *p, const struct conf_autocert *a, char **cert_text,
	char **key_text, struct error *err);

#endif
