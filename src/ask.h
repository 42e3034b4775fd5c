/* How the commands ask the running daemon: through the admin listener of its configuration. */
#ifndef LINTEL_ASK_H
#define LINTEL_ASK_H

#include <json-c/json.h>

#include "http/fetch.h"

/* Fills in where to ask, and asks. -1 after saying why there is no answer. */
int ask_daemon(const char *conf_file, struct fetch_request *req, const char *path,
	struct fetch_response *res);
/* Says what the daemon answered instead of what was asked for. */
void ask_say_refusal(const struct fetch_response *res, struct json_object *answer);

#endif
