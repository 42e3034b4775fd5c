/* An HTTP/1 response as it comes in pieces (RFC 9112): its status, and whether its body holds a
 * text. Head and body are bounded: what comes after the limit is not looked at. Plain functions;
 * any thread. */
#ifndef LINTEL_HTTP_RESPONSE_H
#define LINTEL_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define RESPONSE_HEAD_MAX 16384 /* bytes, those of interim responses (1xx) included */
#define RESPONSE_BODY_MAX 65536

enum response_state {
	RESPONSE_HEAD,
	RESPONSE_BODY,   /* of a known length, or until the connection ends */
	RESPONSE_CHUNKS, /* RFC 9112, 7.1 */
	RESPONSE_WHOLE,  /* all that was asked for is known */
	RESPONSE_BAD,
};

struct response {
	enum response_state state;
	const char *wanted; /* the text; NULL = the body is of no interest */
	int status;         /* from RESPONSE_BODY on */
	bool found;         /* the text is in the body */
	struct str head, body;
	size_t heads;  /* bytes of heads so far */
	uint64_t left; /* of the body or of this chunk; UINT64_MAX = until the end */
	enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END } chunk;
	int digits; /* of the chunk's size */
};

/* `wanted` is borrowed. */
void response_init(struct response *r, const char *wanted);
/* Takes the next bytes. -1 with a sentence when this is no HTTP response, or when its head is too
 * long. Once its state is RESPONSE_WHOLE it takes no more. */
int response_add(struct response *r, const char *data, size_t len, struct error *err);
/* The connection has ended. -1 with a sentence when that cuts it off. */
int response_end(struct response *r, struct error *err);
void response_clear(struct response *r);

#endif
