/* The text of a scalar: variables expanded, and read as what an option wants. Pure functions (but
 * for the environment that is read); any thread. Sentences do not begin with the option's name. */
#ifndef LINTEL_CONF_VALUE_H
#define LINTEL_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define VALUE_MAX_BYTES ((size_t)1 << 20) /* of an expanded scalar */

/* ${NAME}, ${NAME:-default} (also when NAME is empty) and $$, once: what comes out is not looked at
 * again. A $ before anything else is itself. Returns new text; NULL with a sentence that names the
 * variable, but never shows the text, which may be a secret. */
char *value_expand(const char *text, struct error *err);

int value_bool(const char *text, bool *out, struct error *err);
int value_int(const char *text, int64_t min, int64_t max, int64_t *out, struct error *err);
/* A whole number and one of ms, s, m, h, d; limits and result in milliseconds. */
int value_duration(const char *text, int64_t min, int64_t max, int64_t *out, struct error *err);
/* A rate, like "50/s": a whole number, and s, m or h. The result is the time between two, in
 * nanoseconds. */
int value_rate(const char *text, int64_t *every_ns, struct error *err);
/* A set of HTTP statuses, like "200" or "200-299,301": 1 when `status` is in it, 0 when it is not,
 * -1 with a sentence when it is no such set. */
int value_statuses(const char *text, int status, struct error *err);

#endif
