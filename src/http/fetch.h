/* One blocking HTTP request by libcurl, with a deadline and a limit of bytes. For the commands that
 * talk to the daemon. */
#ifndef LINTEL_HTTP_FETCH_H
#define LINTEL_HTTP_FETCH_H

#include <stddef.h>

#include "base/error.h"

struct fetch_request {
	const char *method; /* "GET", "POST" */
	const char *url;
	const char *unix_path; /* connect there instead of the URL's host; NULL = no */
	const char *bearer;    /* token; NULL = none */
	const char *body;      /* sent as application/json; NULL = none */
	long timeout_ms;
	size_t max_bytes; /* a larger answer is an error */
};

struct fetch_response {
	long status;
	char *body; /* NUL-terminated; free */
	size_t len;
};

/* 0 with any HTTP status, -1 with a sentence when there was no whole answer. */
int fetch(const struct fetch_request *req, struct fetch_response *res, struct error *err);

#endif
