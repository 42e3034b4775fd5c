/* HTTP requests by libcurl, one after the other: each blocks, has a deadline and a limit of bytes,
 * and can be cancelled at once. A struct fetch keeps connections open between its requests. One
 * thread each: a command, or a job. */
#ifndef LINTEL_HTTP_FETCH_H
#define LINTEL_HTTP_FETCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/stop.h"

struct fetch_header {
	char *name, *value;
};

struct fetch_request {
	const char *method; /* "GET", "POST", "HEAD" */
	const char *url;
	const char *unix_path;              /* connect there instead of the URL's host; NULL = no */
	const char *bearer;                 /* token; NULL = none */
	const char *body;                   /* NULL = none */
	const char *content_type;           /* of the body; NULL = application/json */
	const char *accept;                 /* NULL = anything */
	const struct fetch_header *headers; /* more of them */
	size_t n_headers;
	const char *ca_pem; /* roots beside the system's; NULL = none */
	bool use_proxy;     /* as the environment says; else directly */
	const char *where;  /* what stands in sentences, where the URL has secrets; NULL = URL */
	const struct stop *stop; /* NULL = cannot be cancelled */
	long timeout_ms;
	size_t max_bytes; /* a larger answer is an error */
	/* When set: called with each line of the answer as it comes, without its end, whatever the
	 * status; the body stays empty, and max_bytes does not count. */
	void (*on_line)(void *arg, const char *line);
	void *arg;
};

struct fetch_response {
	long status;
	char *body; /* NUL-terminated */
	size_t len;
	struct fetch_header *headers;
	size_t n_headers;
};

struct fetch;
struct fetch *fetch_new(void);
void fetch_free(struct fetch *f);
/* 0 with any HTTP status; -1 with a sentence when there was no whole answer. Redirects are not
 * followed. */
int fetch_run(struct fetch *f, const struct fetch_request *req, struct fetch_response *res,
	struct error *err);
/* Whether the last one has failed because the server's certificate is not to be trusted. */
bool fetch_is_untrusted(const struct fetch *f);

/* The three of them, for a single request. */
int fetch(const struct fetch_request *req, struct fetch_response *res, struct error *err);

/* The `i`-th header of that name, in any letter case; NULL beyond. */
const char *fetch_header(const struct fetch_response *res, const char *name, size_t i);
void fetch_response_clear(struct fetch_response *res);

#endif
