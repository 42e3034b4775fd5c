/* From a session whose route is known to a server that is connected: who is asked, the tries of the
 * next one, and what that tells of servers. The worker's thread only. */
#ifndef LINTEL_PROXY_CONNECT_H
#define LINTEL_PROXY_CONNECT_H

#include "proxy/session.h"

/* The handshake has ended: chooses a server and connects to it. */
void connect_start(struct session *s);
/* At the end of a callback while connecting: is it there, or what to wait for. */
void connect_settle(struct session *s);
/* A send has found out: it is connected; or not, with an errno value. */
void connect_succeeded(struct session *s);
/* And where the server is talked to in TLS, that is done. */
void connect_done(struct session *s);
/* Or it failed, with a sentence; `its_own` when that is not for what the client had asked for. */
void connect_refused(struct session *s, const char *what, const char *why, bool its_own);
void connect_failed(struct session *s, int err);
void connect_expire(struct session *s); /* the deadline of a try has come */
void connect_clear(struct session *s);  /* frees what it holds; callable twice */

#endif
