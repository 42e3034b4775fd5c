/* A snapshot: everything a worker needs to know, immutable once published. Control builds it wholly
 * and mails each worker a reference; the worker swaps its pointer between two callbacks. A session
 * holds the snapshot it was accepted under until it is connected to a server. Any thread may ref,
 * unref and read; control makes them.
 *
 * Its parts are refcounted by themselves, so that a snapshot that differs in one part (a rotated
 * ticket key, a server's new address, a renewed certificate) shares all others. */
#ifndef LINTEL_PROXY_SNAPSHOT_H
#define LINTEL_PROXY_SNAPSHOT_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "proxy/clients.h"
#include "proxy/listener.h"
#include "proxy/route.h"
#include "tls/certs.h"
#include "tls/tickets.h"

struct snapshot {
	atomic_uint refs;
	struct conf *conf;
	SSL_CTX *ctx;
	struct certs *certs;
	struct tickets *tickets;
	struct listeners *listeners;
	struct routes *routes; /* made for these listeners: same indices */
	bool strict_sni;
	/* The process's table, borrowed; NULL = clients are not limited by address. */
	struct clients *clients;
	struct client_limits client_limits;
	int64_t handshake_ms;     /* 0 = no limit */
	uint64_t max_connections; /* over all workers; never 0 */
};

/* Takes over the references in `parts`. */
struct snapshot *snapshot_new(const struct snapshot *parts);
/* A copy that shares every part; the caller replaces some before publishing. */
struct snapshot *snapshot_copy(const struct snapshot *s);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s);

#endif
