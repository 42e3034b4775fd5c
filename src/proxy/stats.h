/* What a worker counts. One writer, its worker; the admin listener adds all of them up. */
#ifndef LINTEL_PROXY_STATS_H
#define LINTEL_PROXY_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "proxy/redirect.h"

enum handshake_failure {
	HANDSHAKE_TIMEOUT,     /* limits.handshake */
	HANDSHAKE_CLOSED,      /* the client left */
	HANDSHAKE_NO_CERT,     /* unrecognized_name: strict_sni, or no certificate yet */
	HANDSHAKE_NO_ALPN,     /* no_application_protocol */
	HANDSHAKE_NO_ROUTE,    /* no route for this name here */
	HANDSHAKE_BAD_CERT,    /* a certificate of the table that does not parse */
	HANDSHAKE_CLIENT_CERT, /* the client's is missing, or not one that its route takes */
	HANDSHAKE_PROTOCOL,    /* whatever else TLS refuses */
	HANDSHAKE_FAILURES
};

enum refusal { /* of a connection, by a limit */
	REFUSED_PER_IP,
	REFUSED_RATE,
	REFUSED_HANDSHAKE_RATE,
	REFUSED_ROUTE,
	REFUSALS
};

#define STATS_FIELDS(X)                                                                            \
	X(accepted)      /* connections taken from listeners */                                    \
	X(closed)        /* of these, over */                                                      \
	X(proxy_headers) /* taken */                                                               \
	X(proxy_header_timeouts)                                                                   \
	X(proxy_headers_cut) /* the connection ended before they were whole */                     \
	X(proxy_headers_malformed)                                                                 \
	X(handshakes_tls12) /* completed, full */                                                  \
	X(handshakes_tls13)                                                                        \
	X(resumed_tls12) /* completed, resumed */                                                  \
	X(resumed_tls13)                                                                           \
	X(passed_through) /* connections whose TLS is their server's */                            \
	X(bytes_in)       /* from clients, decrypted unless passed through */                      \
	X(bytes_out)      /* to clients, the same */                                               \
	X(truncated)      /* a client's FIN without close_notify */                                \
	X(aborted)        /* ended by a reset or a TLS error after the handshake */                \
	X(idle_timeouts)                                                                           \
	X(half_closed_timeouts)                                                                    \
	X(backend_connects)  /* established */                                                     \
	X(backend_failures)  /* tries that failed */                                               \
	X(backend_unreached) /* sessions that ran out of servers */                                \
	X(backend_tls)       /* TLS handshakes with servers, done */                               \
	X(backend_tls_resumed)                                                                     \
	X(backend_truncated) /* a server's FIN without close_notify */                             \
	X(accept_pauses)     /* times accepting paused for limits.connections or descriptors */    \
	X(accept_paused_ms)  /* and for how long together */                                       \
	X(clients_untracked) /* not limited by address: the table of addresses was full */         \
	X(listening)         /* sockets that this worker accepts from, now */

struct stats {
#define X(name) atomic_uint_fast64_t name;
	STATS_FIELDS(X)
#undef X
	atomic_uint_fast64_t handshake_failures[HANDSHAKE_FAILURES];
	atomic_uint_fast64_t refused[REFUSALS];
	atomic_uint_fast64_t answered[REDIRECT_STATUSES]; /* requests, by listeners that redirect */
};

struct stats_sum { /* the same, added over workers */
#define X(name) uint64_t name;
	STATS_FIELDS(X)
#undef X
	uint64_t handshake_failures[HANDSHAKE_FAILURES];
	uint64_t refused[REFUSALS];
	uint64_t answered[REDIRECT_STATUSES];
};

extern const char *const handshake_failure_names[HANDSHAKE_FAILURES]; /* "timeout", ... */
extern const char *const refusal_names[REFUSALS];                     /* "per_ip", ... */

void stats_add(struct stats_sum *sum, const struct stats *s);
/* Connections now. Workers go on while they are added up, so that more may have closed by then than
 * were accepted before: none are there then. */
uint64_t stats_active(const struct stats_sum *sum);

static inline void stats_count(atomic_uint_fast64_t *counter, uint64_t n)
{
	/* The only writer may load and store: no locked instruction. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

#endif
