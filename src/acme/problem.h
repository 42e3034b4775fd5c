/* Problem documents (RFC 7807; RFC 8555, 6.7) as sentences, and the JSON and HTTP pieces that every
 * answer of a CA is read with. Plain functions; all of it is what a stranger wrote. */
#ifndef LINTEL_ACME_PROBLEM_H
#define LINTEL_ACME_PROBLEM_H

#include <json-c/json.h>
#include <stdbool.h>

#include "base/error.h"

#define ACME_TYPE_SIZE 64

/* "rateLimited" of "urn:ietf:params:acme:error:rateLimited"; the whole URI when it is another one,
 * cut; "" where there is none. */
void acme_type_of(struct json_object *problem, char out[ACME_TYPE_SIZE]);
/* "rejectedIdentifier: detail (example.org: its own detail; ...)". Sets the sentence; returns -1.
 */
int acme_problem_set(struct error *err, struct json_object *problem);
/* Whether the same again will fail again, whenever it is tried. */
bool acme_is_input(const char *type);

/* Whether it is an absolute URL that can be asked and shown: printable ASCII, of sane length. */
bool acme_is_url(const char *text);
/* The next URL of the relation "alternate" in a Link header (RFC 8288); *header moves on. A new
 * string; NULL = no more. */
char *acme_next_alternate(const char **header);

/* Text of at most 1 MiB as a JSON object of at most 32 levels. NULL with a sentence. */
struct json_object *acme_json_parse(const char *text, size_t len, struct error *err);
/* A member that must be there, borrowed; NULL with a sentence. */
const char *acme_json_string(struct json_object *o, const char *key, struct error *err);
struct json_object *acme_json_array(struct json_object *o, const char *key, struct error *err);
const char *acme_json_url(struct json_object *o, const char *key, struct error *err);

#endif
