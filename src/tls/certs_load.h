/* The reading half of the certificate table: sources become a list of pairs of files, which are
 * read by as many short-lived threads as there are CPUs, or taken over unread from the list before.
 * What comes out does not depend on the threads. Belongs to certs.c. Blocking. */
#ifndef LINTEL_TLS_CERTS_LOAD_H
#define LINTEL_TLS_CERTS_LOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "tls/cert.h"
#include "tls/cert_file.h"
#include "tls/certs.h"

struct certs_key_file { /* of a pair; a combined file has none */
	struct cert_stamp stamp;
	char path[];
};

struct certs_item { /* a loaded certificate, and what tells whether its files changed */
	struct cert *cert;
	struct certs_key_file *key; /* NULL = the key is in the certificate's file */
	struct cert_stamp stamp;
	unsigned source; /* index in the sources that it was loaded by */
	bool in_dir;     /* that source was a folder */
	bool kept;       /* taken over from the list before */
};

/* Returns 0 and the items, in order of the sources (new; certs_items_free), or -1 with each problem
 * in `p`. `before` are the items of the table before. */
int certs_load_items(const struct certs_source *sources, size_t n_sources,
	const struct certs_item *before, size_t n_before, struct certs_item **items, size_t *n,
	struct problems *p);
void certs_items_free(struct certs_item *items, size_t n);

#endif
