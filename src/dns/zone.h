/* Where a TXT record belongs: CNAMEs followed, and the zone of what they lead to; who serves a
 * zone. Names are lower-case ASCII without a dot at the end. Blocking: a job. */
#ifndef LINTEL_DNS_ZONE_H
#define LINTEL_DNS_ZONE_H

#include "dns/servers.h"

/* Follows CNAMEs from `name`, ten at most, and says where they end. */
int dns_follow(const struct dns_servers *resolvers, const char *name, char out[DNS_NAME_SIZE],
	const struct limits *l, struct error *err);
/* The zone that `name` lies in: the closest SOA above it, never the root or a single label.
 * `authoritative`: the servers are not resolvers, and count where they speak with authority. */
int dns_find_zone(const struct dns_servers *servers, bool authoritative, const char *name,
	char out[DNS_NAME_SIZE], const struct limits *l, struct error *err);
/* The name servers of the zone with their addresses, port 53. */
int dns_find_servers(const struct dns_servers *resolvers, const char *zone, struct dns_servers *out,
	const struct limits *l, struct error *err);

#endif
