/* What the certificates of clients and servers are held against, and what is shown to servers: made
 * from the files that routes name, by the job that reads the configuration, and shared by the
 * routes and servers that name the same. Immutable and refcounted, any thread; the routes of a
 * snapshot hold it. */
#ifndef LINTEL_PROXY_TRUST_H
#define LINTEL_PROXY_TRUST_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/error.h"
#include "conf/conf.h"
#include "tls/anchors.h"
#include "tls/outbound.h"

struct trust {
	atomic_uint refs;
	/* For each route of the configuration. */
	struct anchors **clients; /* NULL = asks for none */
	struct trust_servers {
		struct outbound **v; /* for each of its servers; NULL = talked to in clear */
		size_t n;
	} * servers;
	size_t n_routes;
};

/* New reference; NULL with each problem in `p`. Blocking. */
struct trust *trust_build(const struct conf *c, struct problems *p);
struct trust *trust_ref(struct trust *t);
void trust_unref(struct trust *t);

#endif
