/* The JSON answers of the admin listener, made from the view that control gives. Plain functions,
 * control thread. Each returns a new object. */
#ifndef LINTEL_ADMIN_API_H
#define LINTEL_ADMIN_API_H

#include <json-c/json.h>

#include "admin/admin.h"

/* What is listed one by one (certificates, routes, servers) is listed up to here: an answer must
 * not hold up the control loop. */
#define ADMIN_LIST_MAX 1000

struct json_object *api_version(void);
struct json_object *api_status(const struct admin_view *v);
/* The certificates in order of precedence, main first; NULL when there is none. */
struct json_object *api_cert_info(const struct admin_view *v);
/* Every provider of autocert with its certificate, times and last failure, then the other
 * certificates: {"certificates": [...]}. */
struct json_object *api_certs(const struct admin_view *v);
/* One line of a renewal that is watched. */
struct json_object *api_event(const struct autocert_event *e);
const char *api_level_name(enum log_level level);
/* {"message": ..., KEY: [...]}, the list left out when it is empty. */
struct json_object *api_message(const char *message, const char *key, const struct problems *list);

/* When the first certificate of the table ends, Unix seconds; 0 = there is none. */
int64_t api_earliest_not_after(const struct certs *certs);

#endif
