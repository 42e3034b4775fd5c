/* Who may ask what of the admin listener: the token, the Host and Origin headers. Plain functions,
 * any thread. */
#ifndef LINTEL_ADMIN_GUARD_H
#define LINTEL_ADMIN_GUARD_H

#include <stdbool.h>

#include "base/address.h"

/* `header` is the Authorization header or NULL. Takes the same time whatever the difference. */
bool guard_token_fits(const char *token, const char *header);

/* Whether a Host header names the configured address, localhost or a loopback address, with any
 * port. A browser that was led here by a name of somebody else's (DNS rebinding) says that name. */
bool guard_host_is_ours(const struct address *address, const char *host);

/* Whether a page of ours, or no page at all (`origin` NULL), asks for the change. */
bool guard_origin_fits(const char *origin, const char *host);

/* application/json, with or without parameters. */
bool guard_type_is_json(const char *content_type);

#endif
