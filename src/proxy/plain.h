/* Sessions of listeners that redirect: (header ->) request -> answered -> dead. They have no TLS,
 * no route and no server; limits hold for them as for others. One request is answered, whatever
 * follows it is dropped until the client has closed its end or has had enough time for it: closing
 * on bytes that were not read would be a reset, which can take the answer away from the client. The
 * worker's thread only. */
#ifndef LINTEL_PROXY_PLAIN_H
#define LINTEL_PROXY_PLAIN_H

#include "proxy/session.h"

void plain_begin(struct session *s);
void plain_take(struct session *s, const unsigned char *data, size_t len); /* from the client */
void plain_client_gone(struct session *s, ssize_t n); /* what recv() has returned */
void plain_expire(struct session *s);

static inline bool session_is_plain(const struct session *s)
{
	return s->state == SESSION_REQUEST || s->state == SESSION_ANSWERED;
}

#endif
