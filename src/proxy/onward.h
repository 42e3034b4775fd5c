/* TLS onward: a session whose server is talked to in TLS. The handshake with it is a part of
 * connecting: within its deadline, and a failure leads to the next server. Afterwards the bytes
 * that relay.c would send to the socket go through OpenSSL here, by a BIO over buffers of the
 * worker, and what comes is decrypted before relay.c passes it on. The worker's thread only. */
#ifndef LINTEL_PROXY_ONWARD_H
#define LINTEL_PROXY_ONWARD_H

#include "proxy/session.h"

/* The connection to the server being tried is there, nothing was sent on it but, maybe, a PROXY
 * header: begins the handshake. */
void onward_start(struct session *s);
/* Relaying: bytes for the server. */
void onward_send(struct session *s, const void *data, size_t len);
/* The client's stream has ended, cleanly or not: so does ours. The FIN is the caller's. */
void onward_end(struct session *s);
void onward_free(struct session *s); /* callable twice */

/* A worker's buffers and sessions for it; made at the first use. */
struct onward_pool;
void onward_pool_free(struct onward_pool *pool);

#endif
