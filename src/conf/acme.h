/* What a provider of autocert has beside its plain option rows: the options of its DNS provider,
 * defaults that depend on others, and the names of the files that belong to it. One thread; part of
 * providers.c. */
#ifndef LINTEL_CONF_ACME_H
#define LINTEL_CONF_ACME_H

#include "conf/conf.h"
#include "conf/option.h"

/* Takes in `options` of a DNS provider as they stand (NULL = none): what they mean is known to
 * dns/. */
void acme_load_options(
	struct option_loader *ld, const struct node *options, struct conf_autocert *a);
/* Account key, file names and fingerprint. `main` NULL: `a` is main; `ca_given`: ca_dir_url stands
 * in the file; the paths as written. */
void acme_complete(const struct option_loader *ld, struct conf_autocert *a,
	const struct conf_autocert *main, bool ca_given, const char *cert_path,
	const char *key_path);
void acme_clear(struct conf_autocert *a);

#endif
