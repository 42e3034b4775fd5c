/* What the certificates of clients are held against: made from the files that routes name, by the
 * job that reads the configuration, and shared by the routes that name the same. Immutable and
 * refcounted, any thread; the routes of a snapshot hold it. */
#ifndef LINTEL_PROXY_TRUST_H
#define LINTEL_PROXY_TRUST_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"
#include "conf/conf.h"
#include "tls/anchors.h"

struct trust {
	atomic_uint refs;
	struct anchors **clients; /* for each route of the configuration; NULL = asks for none */
	size_t n_routes;
};

/* New reference; NULL with each problem in `p`. Blocking. */
struct trust *trust_build(const struct conf *c, struct problems *p);
struct trust *trust_ref(struct trust *t);
void trust_unref(struct trust *t);

#endif
