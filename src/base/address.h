/* Addresses as people write them (host:port, [v6]:port, :port, unix:/path) and as the kernel takes
 * them. Plain data, any thread. */
#ifndef LINTEL_BASE_ADDRESS_H
#define LINTEL_BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"

enum address_kind {
	ADDRESS_ANY,  /* ":443", every IPv4 and IPv6 address; to listen on only */
	ADDRESS_IP,   /* an IPv4 or IPv6 literal */
	ADDRESS_NAME, /* a host name, to be resolved (by whom, is the caller's business) */
	ADDRESS_UNIX,
};

struct address {
	enum address_kind kind;
	char *text;    /* as written */
	char *host;    /* without brackets; the path for a unix address; NULL for ADDRESS_ANY */
	uint16_t port; /* 0 for a unix address */
};

/* Fills `a` (owned by the caller from then on: address_clear). A port is required, but for unix. */
int address_parse(struct address *a, const char *text, struct error *err);
#define DNS_PORT  53 /* RFC 1035, 4.2 */
#define HTTP_PORT 80 /* RFC 9110, 4.2.1 */
/* The same for host, host:port, v6, [v6], [v6]:port: without a port it is `port`, and `a->text` has
 * it then. An IP address or a name, nothing else. */
int address_parse_default(struct address *a, const char *text, uint16_t port, struct error *err);
void address_copy(struct address *to, const struct address *from);
void address_clear(struct address *a);
bool address_is_loopback(const struct address *a); /* 127/8, ::1, localhost */
/* Whether nobody on the way reads what is sent to a URL: https://, or http:// to an address as
 * above. No user may stand in the latter. */
bool address_is_secure_url(const char *url);

struct endpoint {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

/* For ADDRESS_ANY it is [::] (listen dual-stack), and ADDRESS_NAME is refused. */
int address_to_endpoint(const struct address *a, struct endpoint *e, struct error *err);

#define ENDPOINT_TEXT_SIZE 128
/* "127.0.0.1:443", "[::1]:443", "unix:/path"; an IPv4-mapped address as IPv4. Returns `out`. */
const char *endpoint_text(char out[ENDPOINT_TEXT_SIZE], const struct endpoint *e);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* Where a client comes from. AF_UNIX and AF_UNSPEC: this machine, without an address. Smaller than
 * an endpoint, as each connection has one. */
struct inet_address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

/* The address without the port: 4 bytes, also of an IPv4-mapped one, or 16; *len is 0 without one.
 * Borrows from `a`. */
const void *inet_bytes(const struct inet_address *a, size_t *len);
/* As endpoint_text(); "unix:" for a local one. Returns `out`. */
const char *inet_text(char out[ENDPOINT_TEXT_SIZE], const struct inet_address *a);

#endif
