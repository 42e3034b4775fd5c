/* The PROXY protocol (proxy-protocol.txt, in HAProxy's documentation; its sections are meant here):
 * a header in front of a connection's bytes that says whose connection it is, as a line of text
 * (version 1) or binary (version 2). Bytes to addresses and back, nothing of sockets. Any thread.
 */
#ifndef LINTEL_PROXY_PPROTO_H
#define LINTEL_PROXY_PPROTO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/error.h"

#define PPROTO_READ_MAX 4096 /* bytes; a longer header is refused */
#define PPROTO_TEXT_MAX 255  /* of a text that is written; a longer one is left out */
/* The longest that is written: addresses, three TLVs and PP2_TYPE_SSL with its five, the checksum.
 */
#define PPROTO_WRITE_MAX (16 + 36 + 8 * (3 + PPROTO_TEXT_MAX) + 8 + 7)

/* Both ends of the client's connection. AF_UNSPEC: not told, so those of the connection that the
 * header came by are meant. AF_UNIX: a unix socket, whatever its path. */
struct pproto_ends {
	struct inet_address from, to;
};

/* Reads the header that `data` begins with. Returns its length, 0 when more must come first, or -1
 * when it is none. What cannot become one is refused with the first byte that tells; however the
 * bytes were cut, the answer is the same. */
int pproto_read(struct pproto_ends *ends, const void *data, size_t len, struct error *err);

/* Whether `data` begins as a header does, for a sentence about one where none belongs. */
bool pproto_is_header(const void *data, size_t len);

struct pproto_tls { /* PP2_TYPE_SSL; texts may be NULL */
	const char *version, *cipher;
	const char *sig_alg, *key_alg; /* of our certificate: how it is signed, its key */
	bool has_cert;                 /* the client has shown a certificate in this session, */
	bool resumed;                  /* which another connection began */
	bool verified;                 /* with has_cert: it is good */
	const char *cn;                /* of the client's certificate */
};

struct pproto_tlvs {                       /* what version 2 says beside the addresses */
	const char *authority, *unique_id; /* NULL or "" = none */
	const unsigned char *alpn;
	size_t alpn_len;
	const struct pproto_tls *tls; /* NULL = not terminated here */
};

/* Write a header, and return its length. Ends that are not both IP addresses are unknown ones:
 * "UNKNOWN", LOCAL. IPv4-mapped addresses are IPv4. */
size_t pproto_write_v1(unsigned char out[PPROTO_WRITE_MAX], const struct pproto_ends *ends);
size_t pproto_write_v2(unsigned char out[PPROTO_WRITE_MAX], const struct pproto_ends *ends,
	const struct pproto_tlvs *tlvs);

#endif
