#include "dns/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define CNAMES_MAX    10
#define SERVERS_MAX   32 /* of a zone, that are asked */
#define ADDRESSES_MAX 8  /* of one of them */

/* --- asking resolvers --- */

/* Whether the server knows, or has asked who knows: else it only points to others. */
static bool is_definite(const ldns_pkt *p)
{
	ldns_pkt_rcode rcode = ldns_pkt_get_rcode(p);

	return (rcode == LDNS_RCODE_NOERROR || rcode == LDNS_RCODE_NXDOMAIN) &&
	       (ldns_pkt_aa(p) || ldns_pkt_ra(p) || ldns_pkt_ancount(p));
}

static void explain(struct error *err, const struct dns_server *s, const ldns_pkt *p,
	const char *name, bool authoritative)
{
	char rcode[DNS_RCODE_SIZE];

	if (is_definite(p) && authoritative)
		error_set(err, "name server %s has no authority for %s", s->name, name);
	else if (ldns_pkt_get_rcode(p) == LDNS_RCODE_NOERROR)
		error_set(err,
			"name server %s does not know %s and asks nobody else: a resolver is "
			"wanted",
			s->name, name);
	else
		error_set(err, "name server %s answers %s for %s", s->name,
			dns_rcode_name(p, rcode), name);
}

/* The first usable answer: a server that fails, or refuses, leaves it to the next. */
static ldns_pkt *resolve(const struct dns_servers *servers, bool authoritative, const char *name,
	ldns_rr_type type, const struct limits *l, struct error *err)
{
	struct error all = {""}, why;

	for (size_t i = 0; i < servers->n; i++) {
		ldns_pkt *p = dns_server_ask(&servers->v[i], name, type, l, &why);
		size_t len = strlen(all.text);

		if (p && is_definite(p) && (ldns_pkt_aa(p) || !authoritative))
			return p;
		if (p)
			explain(&why, &servers->v[i], p, name, authoritative);
		ldns_pkt_free(p);
		if (stop_is_set(l->stop)) {
			error_set(err, "stopped");
			return NULL;
		}
		if (len < sizeof(all.text) / 2)
			snprintf(all.text + len, sizeof(all.text) - len, "%s%.400s",
				len ? "; " : "", why.text);
	}
	error_set(err, "%s", all.text);
	return NULL;
}

/* --- CNAMEs --- */

/* "a -> b -> c" */
static void show_chain(struct str *s, char (*seen)[DNS_NAME_SIZE], int n, const char *last)
{
	for (int i = 0; i < n; i++)
		str_addf(s, "%s -> ", seen[i]);
	str_addf(s, "%s", last);
}

int dns_follow(const struct dns_servers *resolvers, const char *name, char out[DNS_NAME_SIZE],
	const struct limits *l, struct error *err)
{
	char seen[CNAMES_MAX + 1][DNS_NAME_SIZE];
	struct str chain = {0};
	bool circle = false;

	snprintf(out, DNS_NAME_SIZE, "%s", name);
	for (int hops = 0; hops <= CNAMES_MAX && !circle; hops++) {
		ldns_pkt *p = resolve(resolvers, false, out, LDNS_RR_TYPE_CNAME, l, err);
		const ldns_rr *rr;
		bool good;

		if (!p)
			return error_prefix(err, "%s", name);
		rr = dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, out);
		memcpy(seen[hops], out, DNS_NAME_SIZE);
		good = !rr || dns_name_of(ldns_rr_rdf(rr, 0), out);
		ldns_pkt_free(p);
		if (!rr)
			return 0;
		if (!good)
			return error_set(err, "%s: the CNAME there leads to no host name", name);
		for (int i = 0; i <= hops; i++)
			circle = circle || strcmp(seen[i], out) == 0;
		if (circle)
			show_chain(&chain, seen, hops + 1, out);
	}
	if (circle)
		error_set(
			err, "%s: the CNAMEs from there run in a circle: %.600s", name, chain.data);
	else
		error_set(err, "%s: more than %d CNAMEs follow each other", name, CNAMES_MAX);
	str_clear(&chain);
	return -1;
}

/* --- zones --- */

/* Answers that there is none carry the zone's SOA in the authority section, so that one question
 * usually does. */
static bool zone_of(const ldns_pkt *p, const char *name, char out[DNS_NAME_SIZE])
{
	const ldns_rr *rr = dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_SOA, name);

	if (!rr && !dns_find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, name))
		rr = dns_find_rr(ldns_pkt_authority(p), LDNS_RR_TYPE_SOA, NULL);
	return rr && dns_name_of(ldns_rr_owner(rr), out) && dns_is_above(out, name) &&
	       strchr(out, '.');
}

int dns_find_zone(const struct dns_servers *servers, bool authoritative, const char *name,
	char out[DNS_NAME_SIZE], const struct limits *l, struct error *err)
{
	for (const char *at = name; at && strchr(at, '.'); at = strchr(at, '.') + 1) {
		ldns_pkt *p = resolve(servers, authoritative, at, LDNS_RR_TYPE_SOA, l, err);
		bool found = p && zone_of(p, at, out);

		if (!p)
			return error_prefix(err, "finding the zone of %s", name);
		ldns_pkt_free(p);
		if (found)
			return 0;
	}
	return error_set(err,
		"no zone was found that %s lies in: is the domain registered, and do the resolvers "
		"know it?",
		name);
}

/* --- the servers of a zone --- */

/* 0 too when the host has no address of that kind. */
static int add_addresses(const struct dns_servers *resolvers, struct dns_server *host,
	ldns_rr_type type, const struct limits *l, struct error *err)
{
	ldns_pkt *p = resolve(resolvers, false, host->name, type, l, err);
	struct endpoint e;

	if (!p)
		return error_prefix(err, "looking up the name server %s", host->name);
	for (size_t i = 0; i < ldns_rr_list_rr_count(ldns_pkt_answer(p)); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);

		if (ldns_rr_get_type(rr) == type && host->n < ADDRESSES_MAX &&
			dns_endpoint_of(rr, &e))
			dns_server_add_address(host, &e);
	}
	ldns_pkt_free(p);
	return 0;
}

/* IPv6 counts only where this machine has a way out by it. */
static bool has_ipv6(void)
{
	/* 2001:db8::1: nothing is sent. */
	struct sockaddr_in6 far = {.sin6_family = AF_INET6,
		.sin6_port = htons(DNS_PORT),
		.sin6_addr.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && connect(fd, (struct sockaddr *)&far, sizeof(far)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

int dns_find_servers(const struct dns_servers *resolvers, const char *zone, struct dns_servers *out,
	const struct limits *l, struct error *err)
{
	ldns_pkt *p = resolve(resolvers, false, zone, LDNS_RR_TYPE_NS, l, err);
	size_t n = p ? ldns_rr_list_rr_count(ldns_pkt_answer(p)) : 0, with_address = 0;
	bool ipv6 = has_ipv6();
	char host[DNS_NAME_SIZE];
	int rc = 0;

	if (!p)
		return error_prefix(err, "finding the name servers of %s", zone);
	for (size_t i = 0; rc == 0 && i < n && out->n < SERVERS_MAX; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);
		struct dns_server *s;

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_NS ||
			!dns_name_of(ldns_rr_rdf(rr, 0), host))
			continue;
		s = dns_servers_add_one(out, host);
		rc = add_addresses(resolvers, s, LDNS_RR_TYPE_A, l, err);
		if (rc == 0 && ipv6)
			rc = add_addresses(resolvers, s, LDNS_RR_TYPE_AAAA, l, err);
		with_address += s->n != 0;
	}
	ldns_pkt_free(p);
	if (rc == 0 && !with_address)
		rc = error_set(err,
			"the zone %s has no name server with an address that can be asked from "
			"here",
			zone);
	return rc;
}
