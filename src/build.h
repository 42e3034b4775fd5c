/* From a configuration to what a snapshot is made of. Whatever can fail fails here, with every
 * problem listed, and leaves what runs as it was. Blocking: start-up, or a job. */
#ifndef LINTEL_BUILD_H
#define LINTEL_BUILD_H

#include "conf/conf.h"
#include "proxy/listener.h"
#include "proxy/trust.h"
#include "tls/certs.h"

struct built {
	struct conf *conf;
	struct listeners *listeners; /* in the order of conf->listens */
	SSL_CTX *ctx;
	struct certs *certs;
	struct trust *trust;
};

/* What the reload before it left: NULL at start. References are held by the caller meanwhile. */
struct build_before {
	const struct conf *conf;
	const struct listeners *listeners;
	const struct certs *certs;
};

/* Loads `file` and does all of it. -1 and problems in `p`: `b` is empty then. */
int build_all(
	struct built *b, const char *file, const struct build_before *before, struct problems *p);
/* The two halves, for the start, which drops privileges in between; b->conf is set. */
int build_listeners(struct built *b, const struct listeners *before, struct problems *p);
/* `dry`: nothing on disk is made or mended, as `check` wants it. Of a configuration that is refused
 * it checks the certificates' files only. */
int build_tls(struct built *b, const struct certs *before, bool dry, struct problems *p);
/* Only b->certs: the pairs of autocert read anew, all others taken over without a look. */
int build_autocert(struct built *b, const struct build_before *before, struct problems *p);
void built_clear(struct built *b);

#endif
