/* What servers answer, read: JSON within limits (json-c), and the times of HTTP. All of it is what
 * a stranger wrote. Plain functions; any thread. */
#ifndef LINTEL_HTTP_ANSWER_H
#define LINTEL_HTTP_ANSWER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Text of at most `max` bytes and 32 levels as any JSON value; null is NULL. *out is new. -1 with a
 * sentence. */
int answer_json(
	const char *text, size_t len, size_t max, struct json_object **out, struct error *err);
/* json_object_put() of what has secrets in it: its texts are wiped first, also for others who hold
 * a part of it. NULL is fine. */
void answer_wipe(struct json_object *o);
/* A member of an object, borrowed; NULL where there is none, or one of another type. */
struct json_object *answer_member(struct json_object *o, const char *key, enum json_type type);
/* The same, by its name in any letter case. */
struct json_object *answer_member_any_case(
	struct json_object *o, const char *key, enum json_type type);
/* A member that is a text. */
const char *answer_text(struct json_object *o, const char *key);

/* An HTTP date (RFC 9110, 5.6.7) as Unix seconds; 0 = it is none. */
int64_t answer_date(const char *value);
/* A Retry-After header (RFC 9110, 10.2.3) as Unix seconds; 0 = there is none that can be read. Not
 * more than a year away. */
int64_t answer_retry_after(const char *value, int64_t now);

#endif
