/* The connections of the admin listener, as far as evhttp does not look after them itself: it has
 * no limit on their number, its timeout is an idle timer that a byte now and then outlives, and
 * after an error page of its own it reads on, so that the rest of a refused body would be taken for
 * a request.
 *
 * Accepting pauses at CONNS_MAX connections; a connection has 10 s for its request and 10 s more to
 * take the answer, and carries one request only. Control thread. */
#ifndef LINTEL_ADMIN_CONNS_H
#define LINTEL_ADMIN_CONNS_H

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdbool.h>

#define CONNS_MAX         64
#define CONNS_DEADLINE_MS 10000

struct conns;

/* Takes `http` and its listener under control; conns_free() only after evhttp_free(). */
struct conns *conns_new(
	struct event_base *base, struct evhttp *http, struct evconnlistener *listener);
void conns_free(struct conns *cs);

/* At the start of each request, before anything is answered. False when the connection had an
 * answer before: what came after it must be refused. No deadline runs until conns_answer(). */
bool conns_begin(struct conns *cs, struct evhttp_request *req);
/* Before an answer that has no end yet: no deadline runs until conns_answer(). */
void conns_stream(struct conns *cs, struct evhttp_request *req);
/* Right before the answer, or its last part, is sent. */
void conns_answer(struct conns *cs, struct evhttp_request *req);

/* Right before evhttp ends a connection: what its socket takes at once is written, the rest lost.
 */
void conns_flush(struct bufferevent *bev);

#endif
