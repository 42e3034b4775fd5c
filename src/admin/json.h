/* What is put into JSON objects, in a line each. For this folder. */
#ifndef LINTEL_ADMIN_JSON_H
#define LINTEL_ADMIN_JSON_H

#include <json-c/json.h>
#include <stdint.h>

/* Takes `value`. */
static inline void add(struct json_object *to, const char *key, struct json_object *value)
{
	json_object_object_add(to, key, value);
}

static inline void add_uint(struct json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_object_new_uint64(value));
}

static inline void add_int(struct json_object *to, const char *key, int64_t value)
{
	json_object_object_add(to, key, json_object_new_int64(value));
}

static inline void add_bool(struct json_object *to, const char *key, bool value)
{
	json_object_object_add(to, key, json_object_new_boolean(value));
}

/* NULL becomes null. */
static inline void add_string(struct json_object *to, const char *key, const char *value)
{
	json_object_object_add(to, key, value ? json_object_new_string(value) : NULL);
}

#endif
