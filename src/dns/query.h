/* Asking one name server: the sockets are ours, because ldns's own take any datagram for the answer
 * and cannot be told to stop. Blocking: a job. */
#ifndef LINTEL_DNS_QUERY_H
#define LINTEL_DNS_QUERY_H

#include "base/address.h"
#include "base/error.h"
#include "base/stop.h"
#include "dns/message.h"

/* The answer, whatever its RCODE: over UDP (EDNS, 1232 bytes), then over TCP where that was cut or
 * lost; 5 s at most. New packet; NULL with a sentence that begins with the server. */
ldns_pkt *dns_ask(const struct endpoint *server, const char *name, ldns_rr_type type,
	const struct limits *l, struct error *err);
/* One message over TCP (RFC 1035, 4.2.2) and the one that comes back, not looked into. New bytes;
 * NULL with a sentence without the server, and whether it is worth another try. */
uint8_t *dns_exchange(const struct endpoint *server, const uint8_t *wire, size_t len,
	size_t *answer_len, const struct limits *l, bool *again, struct error *err);

#endif
