/* Listening sockets. A TCP address has one SO_REUSEPORT socket for each worker; a unix address has
 * one that every worker watches. Opened by build (start-up or a job); worker i owns fds[i] from the
 * publication on, and closes it once the listener is gone from the newest snapshot. A reload keeps
 * listeners whose address stays. */
#ifndef LINTEL_PROXY_LISTENER_H
#define LINTEL_PROXY_LISTENER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/cidr.h"
#include "conf/conf.h"

struct listener {
	atomic_uint refs;
	struct address address;
	bool shared; /* a unix socket: fds[0] for everyone, closed with the last reference */
	size_t n;    /* sockets; the workers' number, or 1 */
	int fds[];   /* -1 = closed */
};

struct listener_rules { /* what one configuration says of it; its sockets may be older */
	bool proxy_protocol;
	struct cidr *trusted;
	size_t n_trusted;
};

struct listeners { /* those of one snapshot, in the configuration's order */
	atomic_uint refs;
	struct listener_rules *rules; /* of each */
	size_t n;
	struct listener *v[];
};

/* Whether nobody else listens there: a second lintel is found although SO_REUSEPORT would let it
 * in. `others` (NULL = none) are listeners of this process, which may have the same port. To be
 * called for all addresses before the first is opened, as those of one configuration may overlap. A
 * stale unix socket is removed. */
int listener_check_free(
	const struct address *address, const struct listeners *others, struct error *err);
/* Binds and listens. */
struct listener *listener_open(const struct address *address, size_t workers, struct error *err);
/* Says what errno means for a bind to this address. Returns -1. */
int listener_bind_error(const struct address *a, struct error *err);
struct listener *listener_ref(struct listener *l);
void listener_unref(struct listener *l);

/* The caller fills v[] with references, and sets the rules. */
struct listeners *listeners_new(size_t n);
void listener_set_rules(struct listener_rules *r, const struct conf_listen *conf);
struct listeners *listeners_ref(struct listeners *l);
void listeners_unref(struct listeners *l);
/* The one with this address; NULL = none. Borrowed. */
struct listener *listeners_find(const struct listeners *l, const struct address *address);
/* Whether this peer may say, by a PROXY header, whose connection it is. */
bool listener_trusts(const struct listener_rules *r, const struct inet_address *peer);
/* Removes the path of a unix listener that is not in `now` (NULL = of none). */
void listeners_unlink_gone(const struct listeners *before, const struct listeners *now);

#endif
