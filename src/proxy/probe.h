/* A probe: one check of one server. It connects to the first of its addresses that takes the
 * connection, and asks what health_check says. Event-driven, on the control loop. Control thread
 * only. */
#ifndef LINTEL_PROXY_PROBE_H
#define LINTEL_PROXY_PROBE_H

#include <event2/event.h>
#include <openssl/ssl.h>

#include "proxy/route.h"

enum probe_result {
	PROBE_GOOD,
	PROBE_BAD,
	PROBE_UNKNOWN, /* it could not be made, for want of something on this side */
};

/* `why` is a sentence, empty when the result is good. The probe is gone after this. */
typedef void probe_done(void *arg, enum probe_result result, const char *why);

struct probe;

struct probe_task { /* whom it is for: a target of a route, which has an address */
	struct conf *conf;
	struct routes *routes; /* of that configuration */
	size_t route, target;
	SSL_CTX *tls; /* of a client */
};

/* Takes references of its own. `done` is called once, and never from within this. */
struct probe *probe_start(
	struct event_base *base, const struct probe_task *task, probe_done *done, void *arg);
void probe_cancel(struct probe *p); /* `done` is not called. NULL is fine */

#endif
