/* The provider `pseudo`: a throw-away CA in state_dir/pseudo (ca.crt, ca.key; made on first use)
 * that mints certificates into the configured paths with no network at all. Blocking: start-up, or
 * a job. */
#ifndef LINTEL_AUTOCERT_PSEUDO_H
#define LINTEL_AUTOCERT_PSEUDO_H

#include "base/error.h"
#include "conf/conf.h"

/* Mints provider `a`'s certificate (its key type, domains, lifetime) when the pair at its paths is
 * missing, does not match, lacks a configured domain, was not issued by this CA or has less than a
 * third of its life left; else leaves it. Key 0600 PKCS#8, certificate 0644 leaf first, directories
 * 0755. Returns 1 when minted (which is logged, with the reason), 0 when kept, -1 with a sentence
 * that names the provider. */
int pseudo_ensure(const char *state_dir, const struct conf_autocert *a, struct error *err);

#endif
