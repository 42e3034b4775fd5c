#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0.0.0.0/96 (RFC 4291, 2.5.5.2) */

static void map_inet(struct in6_addr *to, const void *bytes)
{
	*to = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&to->s6_addr[12], bytes, 4);
}

/* The number behind the slash, up to `max`; -1 = it is none. */
static int parse_bits(const char *text, unsigned max)
{
	size_t len = strlen(text);

	if (!len || len > 3 || strspn(text, "0123456789") != len || (*text == '0' && len > 1))
		return -1;
	return strtoul(text, NULL, 10) <= max ? (int)strtoul(text, NULL, 10) : -1;
}

static void keep_bits(struct in6_addr *a, unsigned bits)
{
	for (unsigned i = 0; i < sizeof(a->s6_addr); i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;

		if (kept < 8)
			a->s6_addr[i] &= (unsigned char)(0xff00 >> kept);
	}
}

static bool same_bits(const struct in6_addr *a, const struct in6_addr *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 &&
	       (!rest || (a->s6_addr[whole] ^ b->s6_addr[whole]) >> (8 - rest) == 0);
}

int cidr_parse(struct cidr *c, const char *text, struct error *err)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char ip[INET6_ADDRSTRLEN] = "";
	unsigned char bin[4];
	struct in6_addr first;
	bool is_inet;
	int bits;

	if (len < sizeof(ip))
		snprintf(ip, sizeof(ip), "%.*s", (int)len, text);
	is_inet = inet_pton(AF_INET, ip, bin) == 1;
	if (is_inet)
		map_inet(&c->prefix, bin);
	else if (inet_pton(AF_INET6, ip, &c->prefix) != 1)
		return error_set(
			err, "\"%.100s\" is no block of IP addresses like 192.0.2.0/24", text);
	bits = slash ? parse_bits(slash + 1, is_inet ? 32 : 128) : (is_inet ? 32 : 128);
	if (bits < 0)
		return error_set(err, "\"%.100s\": behind the slash stands a number up to %d", text,
			is_inet ? 32 : 128);
	c->bits = (unsigned)bits + (is_inet ? MAPPED_BITS : 0);
	first = c->prefix;
	keep_bits(&first, c->bits);
	if (memcmp(&first, &c->prefix, sizeof(first)) == 0)
		return 0;
	inet_ntop(is_inet ? AF_INET : AF_INET6, is_inet ? &first.s6_addr[12] : first.s6_addr, ip,
		sizeof(ip));
	return error_set(err, "\"%.100s\" is no block: one of that size begins with %s", text, ip);
}

bool cidr_contains(const struct cidr *c, const struct inet_address *a)
{
	struct in6_addr full;

	switch (a->sa.sa_family) {
	case AF_INET: map_inet(&full, &a->in.sin_addr); break;
	case AF_INET6: full = a->in6.sin6_addr; break;
	default: return false;
	}
	if (c->bits < MAPPED_BITS && IN6_IS_ADDR_V4MAPPED(&full))
		return false;
	return same_bits(&c->prefix, &full, c->bits);
}
