/* Asking one name server: messages by ldns, sockets by us, because ldns's own take any datagram for
 * the answer and cannot be told to stop. Blocking: a job. */
#ifndef LINTEL_DNS_QUERY_H
#define LINTEL_DNS_QUERY_H

#include <ldns/ldns.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/stop.h"

struct dns_limits {
	const struct stop *stop;
	int64_t deadline_ms; /* clock_mono_ms() */
};

/* The answer, whatever its RCODE, checked to be one to this question: over UDP (EDNS, 1232 bytes),
 * over TCP where that was cut or lost. New packet; NULL with a sentence that names the server. */
ldns_pkt *dns_ask(const struct endpoint *server, const char *name, ldns_rr_type type,
	const struct dns_limits *l, struct error *err);
/* One message over TCP (RFC 1035, 4.2.2) and the one that comes back. New bytes. */
uint8_t *dns_exchange(const struct endpoint *server, const uint8_t *wire, size_t len,
	size_t *answer_len, const struct dns_limits *l, struct error *err);

/* "NXDOMAIN", "REFUSED", ... */
const char *dns_rcode_name(const ldns_pkt *p, char out[16]);

#endif
