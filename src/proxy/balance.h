/* Which server of a route a new connection goes to: by turns, by connections, at random or by the
 * client's address. Servers that are down or taken out by hand get none; backup servers get some
 * when no other is left.
 *
 * Shares are by weight: smooth weighted round robin (after nginx), exact to one connection for each
 * worker; connections for each unit of weight; two servers drawn by weight, of which the one with
 * fewer gets it ("the power of two choices"); weighted rendezvous hashing, so that a server that
 * leaves moves only its own clients. */
#ifndef LINTEL_PROXY_BALANCE_H
#define LINTEL_PROXY_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

struct route;
struct target;

/* What one worker remembers for a route. It alone writes it. */
struct turns {
	uint64_t random;   /* the generator's state */
	int64_t current[]; /* of each target: what it is owed */
};

/* For `workers`, each beginning at another server. Returns new memory, to be freed as one. */
void *balance_turns_new(const struct route *r, size_t workers);
struct turns *balance_turns(const struct route *r, size_t worker);

/* `from` is the client's address; `now` in ms. Targets whose bit in `tried` (NULL = none) is set
 * are left out. NULL = there is none. */
struct target *balance_choose(const struct route *r, size_t worker, const struct inet_address *from,
	int64_t now, const unsigned char *tried);

/* Whether balance_choose() would have another one than `but`. */
bool balance_has_other(const struct route *r, const struct target *but, const unsigned char *tried);

/* What `source` knows a server by. */
uint64_t balance_hash(const void *data, size_t len);

#endif
