/* Where a TXT record belongs: CNAMEs followed, and the zone of what they lead to; who serves a
 * zone. Names are lower-case ASCII without a dot at the end. Blocking: a job. */
#ifndef LINTEL_DNS_ZONE_H
#define LINTEL_DNS_ZONE_H

#include "base/address.h"
#include "conf/conf.h"
#include "dns/query.h"

#define DNS_NAME_SIZE 256

struct dns_servers { /* name servers to ask, one after the other */
	struct endpoint *v;
	char **names; /* what they are called in sentences */
	size_t n;
};

/* From host:port entries; names are looked up by getaddrinfo. */
int dns_servers_add(struct dns_servers *s, const struct conf_strings *list, struct error *err);
void dns_servers_add_one(struct dns_servers *s, const struct endpoint *e, const char *name);
/* Those of /etc/resolv.conf. */
void dns_servers_add_system(struct dns_servers *s);
void dns_servers_clear(struct dns_servers *s);

/* Whether `name` is `zone` or lies below it. */
bool dns_is_above(const char *zone, const char *name);
/* Follows CNAMEs from `name`, ten at most, and says where they end. */
int dns_follow(const struct dns_servers *resolvers, const char *name, char out[DNS_NAME_SIZE],
	const struct dns_limits *l, struct error *err);
/* The zone that `name` lies in: the closest SOA above it. */
int dns_find_zone(const struct dns_servers *resolvers, const char *name, char out[DNS_NAME_SIZE],
	const struct dns_limits *l, struct error *err);
/* Every address of every name server of the zone, port 53. */
int dns_find_servers(const struct dns_servers *resolvers, const char *zone, struct dns_servers *out,
	const struct dns_limits *l, struct error *err);

#endif
