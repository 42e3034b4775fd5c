#include "dns/zone.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define CNAMES_MAX  10
#define SERVERS_MAX 64 /* of a zone, that are asked */
#define DNS_PORT    53

/* ---- lists of servers ---- */

void dns_servers_add_one(struct dns_servers *s, const struct endpoint *e, const char *name)
{
	*(char **)mem_grow(&s->names, s->n, sizeof(*s->names)) = mem_strdup(name);
	*(struct endpoint *)mem_grow(&s->v, s->n++, sizeof(*s->v)) = *e;
}

static int add_by_name(struct dns_servers *s, const struct address *a, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list;
	struct endpoint e;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", a->port);
	rc = getaddrinfo(a->host, port, &hints, &list);
	if (rc)
		return error_set(
			err, "looking up the name server %s: %s", a->host, gai_strerror(rc));
	for (struct addrinfo *i = list; i; i = i->ai_next) {
		if (i->ai_addrlen > sizeof(e.in6))
			continue;
		memcpy(&e, i->ai_addr, i->ai_addrlen);
		e.len = i->ai_addrlen;
		dns_servers_add_one(s, &e, a->text);
	}
	freeaddrinfo(list);
	return 0;
}

int dns_servers_add(struct dns_servers *s, const struct conf_strings *list, struct error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		struct endpoint e;
		struct address a;
		int rc;

		if (address_parse(&a, list->v[i], err) < 0)
			return -1;
		if (a.kind == ADDRESS_NAME) {
			rc = add_by_name(s, &a, err);
		} else {
			rc = address_to_endpoint(&a, &e, err);
			if (rc == 0)
				dns_servers_add_one(s, &e, a.text);
		}
		address_clear(&a);
		if (rc < 0)
			return -1;
	}
	return 0;
}

void dns_servers_add_system(struct dns_servers *s)
{
	FILE *f = fopen("/etc/resolv.conf", "re");
	char line[256], host[128], text[160];
	size_t before = s->n;

	while (f && fgets(line, sizeof(line), f)) {
		struct address a;
		struct endpoint e;

		if (sscanf(line, " nameserver %127s", host) != 1)
			continue;
		snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
			DNS_PORT);
		if (address_parse(&a, text, NULL) < 0)
			continue;
		if (a.kind == ADDRESS_IP && address_to_endpoint(&a, &e, NULL) == 0)
			dns_servers_add_one(s, &e, a.text);
		address_clear(&a);
	}
	if (f)
		fclose(f);
	if (s->n == before) { /* resolv.conf(5) */
		struct endpoint local = {.in = {.sin_family = AF_INET,
						 .sin_port = htons(DNS_PORT),
						 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
			.len = sizeof(local.in)};

		dns_servers_add_one(s, &local, "127.0.0.1:53");
	}
}

void dns_servers_clear(struct dns_servers *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->names[i]);
	free(s->names);
	free(s->v);
	*s = (struct dns_servers){0};
}

/* ---- asking resolvers ---- */

/* The first usable answer: one that fails, or refuses, leaves it to the next. */
static ldns_pkt *resolve(const struct dns_servers *resolvers, const char *name, ldns_rr_type type,
	const struct dns_limits *l, struct error *err)
{
	char rcode[16];

	for (size_t i = 0; i < resolvers->n; i++) {
		ldns_pkt *p = dns_ask(&resolvers->v[i], name, type, l, err);

		if (!p)
			continue;
		if (ldns_pkt_get_rcode(p) == LDNS_RCODE_NOERROR ||
			ldns_pkt_get_rcode(p) == LDNS_RCODE_NXDOMAIN)
			return p;
		error_set(err, "name server %s answers %s for %s", resolvers->names[i],
			dns_rcode_name(p, rcode), name);
		ldns_pkt_free(p);
	}
	return NULL;
}

/* A name of an answer, in our form; false when it cannot be one. */
static bool name_of(const ldns_rdf *rdf, char out[DNS_NAME_SIZE])
{
	char *text = rdf ? ldns_rdf2str(rdf) : NULL;
	size_t len = text ? strlen(text) : 0;
	bool good;

	if (len > 1 && text[len - 1] == '.')
		text[--len] = '\0';
	good = len && len < DNS_NAME_SIZE;
	for (size_t i = 0; good && i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		good = isalnum(c) || c == '-' || c == '_' || c == '.' || c == '*';
		out[i] = (char)tolower(c);
	}
	if (good)
		out[len] = '\0';
	free(text);
	return good;
}

static const ldns_rr *find_rr(const ldns_rr_list *list, ldns_rr_type type, const char *owner)
{
	char name[DNS_NAME_SIZE];

	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		const ldns_rr *rr = ldns_rr_list_rr(list, i);

		if (ldns_rr_get_type(rr) == type && name_of(ldns_rr_owner(rr), name) &&
			(!owner || strcmp(name, owner) == 0))
			return rr;
	}
	return NULL;
}

int dns_follow(const struct dns_servers *resolvers, const char *name, char out[DNS_NAME_SIZE],
	const struct dns_limits *l, struct error *err)
{
	char seen[CNAMES_MAX + 1][DNS_NAME_SIZE];

	snprintf(out, DNS_NAME_SIZE, "%s", name);
	for (int hops = 0;; hops++) {
		ldns_pkt *p = resolve(resolvers, out, LDNS_RR_TYPE_CNAME, l, err);
		const ldns_rr *rr;
		bool good = true;

		if (!p)
			return -1;
		rr = find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, out);
		if (!rr) {
			ldns_pkt_free(p);
			return 0;
		}
		memcpy(seen[hops], out, DNS_NAME_SIZE);
		good = name_of(ldns_rr_rdf(rr, 0), out);
		ldns_pkt_free(p);
		if (!good)
			return error_set(err, "%s: the CNAME there leads to no host name", name);
		for (int i = 0; i <= hops; i++)
			if (strcmp(seen[i], out) == 0)
				return error_set(
					err, "%s: the CNAMEs from there run in a circle", name);
		if (hops == CNAMES_MAX - 1)
			return error_set(
				err, "%s: more than %d CNAMEs follow each other", name, CNAMES_MAX);
	}
}

bool dns_is_above(const char *zone, const char *name)
{
	size_t z = strlen(zone), n = strlen(name);

	return n >= z && strcmp(name + n - z, zone) == 0 && (n == z || name[n - z - 1] == '.');
}

/* Answers that there is none carry the zone's SOA in the authority section, so that one question
 * usually does. */
int dns_find_zone(const struct dns_servers *resolvers, const char *name, char out[DNS_NAME_SIZE],
	const struct dns_limits *l, struct error *err)
{
	const char *at = name;

	while (at && strchr(at, '.')) {
		ldns_pkt *p = resolve(resolvers, at, LDNS_RR_TYPE_SOA, l, err);
		const ldns_rr *rr;
		bool found;

		if (!p)
			return error_prefix(err, "finding the zone of %s", name);
		rr = find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_SOA, at);
		if (!rr && !find_rr(ldns_pkt_answer(p), LDNS_RR_TYPE_CNAME, at))
			rr = find_rr(ldns_pkt_authority(p), LDNS_RR_TYPE_SOA, NULL);
		found = rr && name_of(ldns_rr_owner(rr), out) && dns_is_above(out, at) &&
			strchr(out, '.');
		ldns_pkt_free(p);
		if (found)
			return 0;
		at = strchr(at, '.');
		at = at ? at + 1 : NULL;
	}
	return error_set(err,
		"no zone was found that %s lies in: is the domain registered, and do "
		"the resolvers know it?",
		name);
}

/* ---- the servers of a zone ---- */

static void add_addresses(const struct dns_servers *resolvers, const char *host, ldns_rr_type type,
	struct dns_servers *out, const struct dns_limits *l, struct error *err)
{
	ldns_pkt *p = resolve(resolvers, host, type, l, err);
	size_t n = p ? ldns_rr_list_rr_count(ldns_pkt_answer(p)) : 0;

	for (size_t i = 0; i < n && out->n < SERVERS_MAX; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);
		const ldns_rdf *rdf = ldns_rr_rdf(rr, 0);
		struct endpoint e = {0};

		if (ldns_rr_get_type(rr) != type)
			continue;
		if (type == LDNS_RR_TYPE_A && ldns_rdf_size(rdf) == 4) {
			e.in.sin_family = AF_INET;
			e.in.sin_port = htons(DNS_PORT);
			memcpy(&e.in.sin_addr, ldns_rdf_data(rdf), 4);
			e.len = sizeof(e.in);
		} else if (type == LDNS_RR_TYPE_AAAA && ldns_rdf_size(rdf) == 16) {
			e.in6.sin6_family = AF_INET6;
			e.in6.sin6_port = htons(DNS_PORT);
			memcpy(&e.in6.sin6_addr, ldns_rdf_data(rdf), 16);
			e.len = sizeof(e.in6);
		} else {
			continue;
		}
		dns_servers_add_one(out, &e, host);
	}
	ldns_pkt_free(p);
}

/* IPv6 counts only where this machine has a way out by it. */
static bool has_ipv6(void)
{
	struct sockaddr_in6 far = {.sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has;

	far.sin6_addr.s6_addr[0] = 0x20; /* 2001:db8::1: nothing is sent */
	far.sin6_addr.s6_addr[1] = 0x01;
	far.sin6_addr.s6_addr[2] = 0x0d;
	far.sin6_addr.s6_addr[3] = 0xb8;
	far.sin6_addr.s6_addr[15] = 1;
	has = fd >= 0 && connect(fd, (struct sockaddr *)&far, sizeof(far)) == 0;
	if (fd >= 0)
		close(fd);
	return has;
}

int dns_find_servers(const struct dns_servers *resolvers, const char *zone, struct dns_servers *out,
	const struct dns_limits *l, struct error *err)
{
	ldns_pkt *p = resolve(resolvers, zone, LDNS_RR_TYPE_NS, l, err);
	size_t n = p ? ldns_rr_list_rr_count(ldns_pkt_answer(p)) : 0;
	bool ipv6 = has_ipv6();
	char host[DNS_NAME_SIZE];

	if (!p)
		return error_prefix(err, "finding the name servers of %s", zone);
	for (size_t i = 0; i < n; i++) {
		const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_answer(p), i);

		if (ldns_rr_get_type(rr) != LDNS_RR_TYPE_NS || !name_of(ldns_rr_rdf(rr, 0), host))
			continue;
		add_addresses(resolvers, host, LDNS_RR_TYPE_A, out, l, err);
		if (ipv6)
			add_addresses(resolvers, host, LDNS_RR_TYPE_AAAA, out, l, err);
	}
	ldns_pkt_free(p);
	if (out->n)
		return 0;
	return error_set(err, "the zone %s has no name server with an address", zone);
}
