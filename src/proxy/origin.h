/* Where a connection comes from, when it is carried by proxies: the PROXY header that comes first
 * on a listener with proxy_protocol, and the one that a route with proxy_protocol sends first to
 * its server. The worker's thread only. */
#ifndef LINTEL_PROXY_ORIGIN_H
#define LINTEL_PROXY_ORIGIN_H

#include "proxy/session.h"

struct origin { /* of a session whose peer has to say it; until it is connected to a server */
	struct inet_address to; /* what the client has connected to; AF_UNSPEC = not told */
	unsigned char *part;    /* of the header: what has come so far */
	size_t part_len;        /* less than PPROTO_READ_MAX */
};

/* Whether a header has to come first: from everybody who is trusted there, and nobody else. */
bool origin_is_awaited(const struct session *s);
/* What these bytes, which are no TLS (or no request), are, when they are a header that is none of
 * ours, and why; else NULL. */
const char *origin_misplaced(const struct session *s, const void *data, size_t len);
void origin_start(struct session *s);
/* Takes what belongs to the header out of the worker's input. True once it is whole: the session's
 * address is the client's from then on. */
bool origin_read(struct session *s);
void origin_client_gone(struct session *s); /* before it was whole */
void origin_expire(struct session *s);
void origin_clear(struct session *s); /* callable twice */

/* The header for the server that was connected to just now, in front of everything else. */
void origin_send(struct session *s);

#endif
