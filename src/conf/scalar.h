/* One scalar of the file: its node read as what its row wants, and put into its place. One thread;
 * blocks when a secret stands in a file. */
#ifndef LINTEL_CONF_SCALAR_H
#define LINTEL_CONF_SCALAR_H

#include "base/address.h"
#include "conf/option.h"

/* What a scalar was read as, before it goes to its place. */
struct scalar {
	int64_t n; /* booleans, numbers, durations, enums */
	char *text;
	struct address address;
};

/* False after a problem was added; `out` is empty then. `from_file`: the node has the path of a
 * file, which holds the value (KEY_file). */
bool scalar_read(const struct option_loader *ld, const struct option *row, const struct node *node,
	bool from_file, struct scalar *out);
/* Moves the value to where the row says. */
void scalar_store(
	const struct option_loader *ld, const struct option *row, struct scalar *v, void *target);
void scalar_clear(struct scalar *v);

#endif
