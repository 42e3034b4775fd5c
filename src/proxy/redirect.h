/* What a listener with `redirect: https` says: to every request 308 to the same place by https, and
 * the end of the connection. Pure functions. */
#ifndef LINTEL_PROXY_REDIRECT_H
#define LINTEL_PROXY_REDIRECT_H

#include <stddef.h>
#include <stdint.h>

#include "http/request.h"

#define HTTPS_PORT          443 /* RFC 9110, 4.2.2 */
#define REDIRECT_ANSWER_MAX (REQUEST_HEAD_MAX + 512)

enum redirect_status {
	REDIRECT_308,
	REDIRECT_400, /* Bad Request */
	REDIRECT_408, /* Request Timeout: limits.handshake */
	REDIRECT_431, /* Request Header Fields Too Large */
	REDIRECT_505, /* HTTP Version Not Supported */
	REDIRECT_STATUSES
};

extern const char *const redirect_status_names[REDIRECT_STATUSES]; /* "308", ... */

/* The answer to what has come; REDIRECT_STATUSES = more is needed. */
enum redirect_status redirect_read(struct request *r, const char *head, size_t len);
/* Writes an answer. `r` (308 only) was read; `port` is where https is; `now` in Unix seconds.
 * Returns its length. */
size_t redirect_write(char out[REDIRECT_ANSWER_MAX], enum redirect_status status,
	const struct request *r, uint16_t port, int64_t now);

#endif
