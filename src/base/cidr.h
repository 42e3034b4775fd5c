/* Blocks of IP addresses as people write them: 10.0.0.0/8, 2001:db8::/32, or an address alone.
 * Plain data, any thread. */
#ifndef LINTEL_BASE_CIDR_H
#define LINTEL_BASE_CIDR_H

#include <stdbool.h>

#include "base/address.h"
#include "base/error.h"

struct cidr {
	struct in6_addr prefix; /* of IPv4 the mapped form, ::ffff:a.b.c.d */
	unsigned bits;          /* of it: 0 to 128 */
};

/* Refuses what has bits set behind its prefix: a typing error may be in either of them. */
int cidr_parse(struct cidr *c, const char *text, struct error *err);
/* An IPv4 address is the same whether it is mapped or not, and in no block of IPv6 like ::/0. One
 * that is no IP address is in none. */
bool cidr_contains(const struct cidr *c, const struct inet_address *a);

#endif
