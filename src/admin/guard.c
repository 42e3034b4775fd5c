#include "admin/guard.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

bool guard_token_fits(const char *token, const char *header)
{
	unsigned char want[SHA256_DIGEST_LENGTH], got[SHA256_DIGEST_LENGTH];

	if (!header || strncasecmp(header, "Bearer ", 7) != 0)
		return false;
	header += 7;
	header += strspn(header, " ");
	/* Digests are of one length, so that not even the token's length shows in the time. */
	SHA256((const unsigned char *)token, strlen(token), want);
	SHA256((const unsigned char *)header, strlen(header), got);
	return CRYPTO_memcmp(want, got, sizeof(want)) == 0;
}

/* Takes "host", "host:port", "[v6]" and "[v6]:port" apart; false for anything else. */
static bool split_host(const char *value, char *host, size_t size)
{
	bool bracketed = *value == '[';
	const char *start = value + bracketed;
	size_t len = strcspn(start, bracketed ? "]" : ":");
	const char *rest = start + len;

	if (bracketed && *rest++ != ']')
		return false;
	if (*rest && (*rest != ':' || rest[1 + strspn(rest + 1, "0123456789")]))
		return false;
	if (!len || len >= size)
		return false;
	memcpy(host, start, len);
	host[len] = '\0';
	return true;
}

static bool is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool guard_host_is_ours(const struct address *address, const char *host)
{
	char name[256];

	if (!host || !split_host(host, name, sizeof(name)))
		return false;
	return is_loopback(name) || (address->host && strcasecmp(name, address->host) == 0);
}

bool guard_origin_fits(const char *origin, const char *host)
{
	if (!origin)
		return true;
	if (!host)
		return false;
	if (strncasecmp(origin, "http://", 7) == 0)
		return strcasecmp(origin + 7, host) == 0;
	if (strncasecmp(origin, "https://", 8) == 0)
		return strcasecmp(origin + 8, host) == 0;
	return false;
}

bool guard_type_is_json(const char *content_type)
{
	static const char json[] = "application/json";
	const char *rest;

	if (!content_type || strncasecmp(content_type, json, sizeof(json) - 1) != 0)
		return false;
	rest = content_type + sizeof(json) - 1;
	rest += strspn(rest, " \t");
	return !*rest || *rest == ';';
}
