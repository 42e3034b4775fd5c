/* The head of an HTTP/1 request, read as RFC 9112 has it and not a byte more: what other readers
 * could take for something else is refused. Plain functions; any thread. */
#ifndef LINTEL_HTTP_REQUEST_H
#define LINTEL_HTTP_REQUEST_H

#include <stddef.h>

#include "base/names.h"

#define REQUEST_HEAD_MAX   8192 /* bytes */
#define REQUEST_FIELDS_MAX 100

struct request {
	/* Where it goes (RFC 9110, 7.1), without a port: a host name in lower case, an IPv4
	 * address, or an IPv6 address in brackets. */
	char host[NAME_SIZE];
	/* Path and query, borrowed from the head: "" or begins with "/" or "?". Nothing in it is
	 * white space, a control character, beyond ASCII, or one of "#<>\^. */
	const char *target;
	size_t target_len;
};

enum request_result {
	REQUEST_WHOLE,
	REQUEST_UNFINISHED,  /* good so far: more is needed */
	REQUEST_BAD,         /* 400 */
	REQUEST_TOO_LARGE,   /* 431 */
	REQUEST_BAD_VERSION, /* 505: none of HTTP/1 */
};

/* Reads the `len` bytes that have come, from the first one on. */
enum request_result request_parse(struct request *r, const char *head, size_t len);

#endif
