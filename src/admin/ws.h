/* One WebSocket (RFC 6455), server side: wslay makes and reads the frames, over the connection of
 * an evhttp request that is taken over. Only text is sent; what the client sends is checked,
 * answered where the protocol wants it (ping, close) and otherwise let go. Control thread only. */
#ifndef LINTEL_ADMIN_WS_H
#define LINTEL_ADMIN_WS_H

#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

#include "base/error.h"

struct ws;

/* Whether the request asks for one rightly (RFC 6455, 4.2.1); -1 with a sentence and the status to
 * answer: 426 or 400. */
int ws_check(struct evhttp_request *req, int *status, struct error *err);

/* Takes over the connection of a request that ws_check() likes, and answers 101. `gone` is called
 * once, when the connection is over, whoever has ended it; never within a call from here. */
struct ws *ws_accept(
	struct event_base *base, struct evhttp_request *req, void (*gone)(void *arg), void *arg);
void ws_send(struct ws *ws, const char *text);
/* Closes with that code once all text is sent; the client has 10 s for its part. */
void ws_close(struct ws *ws, unsigned code);
/* At the end of all: evhttp is about to free the connection. gone() is not called. */
void ws_abandon(struct ws *ws);

#endif
