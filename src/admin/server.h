/* The inside of the admin listener, shared by server.c and those that answer in their own way.
 * Control thread only; for this folder. */
#ifndef LINTEL_ADMIN_SERVER_H
#define LINTEL_ADMIN_SERVER_H

#include <event2/http.h>
#include <json-c/json.h>
#include <sys/queue.h>

#include "admin/admin.h"
#include "admin/conns.h"
#include "admin/socket.h"

struct waiting;
struct watcher;

struct admin {
	struct address address;
	char *token; /* NULL = none */
	struct admin_socket socket;
	struct event_base *base;
	struct evhttp *http; /* NULL before admin_start(); owns the descriptor after */
	struct conns *conns;
	struct admin_ops ops;
	LIST_HEAD(, waiting) waiting;  /* for the result of a reload */
	LIST_HEAD(, watcher) watchers; /* of renewals */
	unsigned n_watchers;
};

const char *admin_header(struct evhttp_request *req, const char *name); /* NULL = none */
/* Takes `o`. */
void admin_answer_json(
	struct admin *a, struct evhttp_request *req, int code, struct json_object *o);
void admin_answer_message(
	struct admin *a, struct evhttp_request *req, int code, const char *message);
/* Whether the Origin is one that may change something; answers else. */
bool admin_origin_fits(struct admin *a, struct evhttp_request *req);

/* renew.c */
void get_renew(struct admin *a, struct evhttp_request *req);
void post_renew(struct admin *a, struct evhttp_request *req);
void watchers_close(struct admin *a); /* before evhttp is freed */

#endif
