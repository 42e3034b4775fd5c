/* Trust anchors: the CAs of a file, and the CRLs that come with them, as a store that chains are
 * verified against. Each certificate of the file is trusted by itself, an intermediate too.
 * Loading blocks (start-up, or a job); afterwards it is immutable and refcounted: any thread. */
#ifndef LINTEL_TLS_ANCHORS_H
#define LINTEL_TLS_ANCHORS_H

#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define ANCHORS_FILE_MAX (4 << 20)  /* bytes; larger files are refused */
#define CRL_FILE_MAX     (64 << 20) /* of large CAs */

struct anchors {
	atomic_uint refs;
	X509_STORE *store;
	STACK_OF(X509) *certs;      /* in the file's order */
	STACK_OF(X509_NAME) *names; /* their subjects; NULL = too many to send to a client */
	unsigned char hash[32];     /* SHA-256 over what the files hold */
	int64_t crls_until;         /* Unix s: the first CRL is out of date then; else INT64_MAX */
};

/* New reference, or NULL with a sentence that names the file and what would mend it. */
struct anchors *anchors_load(const char *file, struct error *err);
/* The roots that this system trusts. */
struct anchors *anchors_load_system(struct error *err);
void anchors_warn_expired(const struct anchors *a, const char *file);
/* From now on a certificate is good only with a CRL of its issuer that does not list it. The file
 * is PEM with any number of CRLs, or one in DER; each must be of a CA of these anchors. */
int anchors_add_crls(struct anchors *a, const char *file, struct error *err);
/* The index of the first that may not issue certificates, -1 = all may. */
int anchors_find_no_ca(const struct anchors *a);
struct anchors *anchors_ref(struct anchors *a);
void anchors_unref(struct anchors *a);

#define TLS_NAME_SIZE 256
/* A subject or issuer as RFC 2253 has it, in printable ASCII, cut with "..." where it does not fit.
 * Returns `out`. */
const char *tls_name_text(char out[TLS_NAME_SIZE], const X509_NAME *name);

#endif
