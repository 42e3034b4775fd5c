/* Routes and their servers: what they are now, and servers that are taken out and in by hand.
 * Control thread. */
#ifndef LINTEL_ADMIN_ROUTES_H
#define LINTEL_ADMIN_ROUTES_H

#include <event2/http.h>
#include <json-c/json.h>

#include "admin/admin.h"

#define ROUTES_PARTS_MAX 10000 /* hosts and servers in one answer, over all routes */

/* Up to ADMIN_LIST_MAX routes, with as many hosts and servers each. */
struct json_object *routes_json(const struct admin_view *v);

void get_routes(struct admin *a, struct evhttp_request *req);
void post_routes(struct admin *a, struct evhttp_request *req);

#endif
