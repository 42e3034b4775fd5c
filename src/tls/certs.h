/* The certificate table: server name -> certificates. Built at start and at each reload from the
 * configured files, in parallel, without an OpenSSL object; files that did not change since the
 * table before are not read again. Immutable and refcounted once built: any thread. */
#ifndef LINTEL_TLS_CERTS_H
#define LINTEL_TLS_CERTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "tls/cert.h"

struct certs;

/* Where certificates come from, in order of precedence. */
struct certs_source {
	/* Goes in front of its problems: "FILE:LINE:COLUMN: tls.certificates[0]". */
	const char *place;
	const char *cert, *key; /* a pair; key NULL = both in `cert` */
	const char *dir;        /* instead: every *.pem of a folder, by name */
	/* A pair that somebody looks after: where it is missing or no good, what the table before
	 * had from there goes on being served, else nothing is. No problem, but a warning unless
	 * both files are missing. */
	bool optional;
	/* No file of it is looked at: what the table before had from there is taken over. The
	 * sources are those of that table then, in the same order. */
	bool keep;
};

struct certs_entry { /* what one name has; at least one is set */
	struct cert *by_kind[CERT_KINDS];
};

/* Reads all sources with as many threads as there are CPUs. `before` may be NULL. Problems go to
 * `p`, all of them; the table is NULL then. A clash of names is logged once, at warn: a valid
 * certificate beats an expired one, else the first in order wins. No certificate at all is fine.
 * New reference. Blocking: start-up, or a job. */
struct certs *certs_build(const struct certs_source *sources, size_t n, const struct certs *before,
	struct problems *p);
struct certs *certs_ref(struct certs *t);
void certs_unref(struct certs *t);

/* `name` normalised. NULL = no match. Exact wins over wildcard. Borrowed from the table. */
const struct certs_entry *certs_find(const struct certs *t, const char *name);
/* The certificate for no name and for names without a match: the first of all. NULL = none. */
const struct certs_entry *certs_fallback(const struct certs *t);

/* All certificates, in order of precedence, each once. */
size_t certs_count(const struct certs *t);
struct cert *certs_at(const struct certs *t, size_t i);
/* The one that was read from this file, among the first `n`; NULL = none. Borrowed. */
const struct cert *certs_of_file(const struct certs *t, const char *file, size_t n);
/* How many of them this build read from disk, and how many it took over unread. */
void certs_loaded(const struct certs *t, size_t *read, size_t *kept);

#endif
