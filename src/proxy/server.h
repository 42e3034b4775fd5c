/* Servers: what is known of each over reloads. A route's server is another one than a second
 * route's with the same address: its health, and what was done to it by hand, are the route's own.
 *
 * They live in control's registry for as long as a route has them; workers reach them through the
 * routes and pin one while a session uses it. What changes is atomic: workers write the counters
 * and what connects tell of it, control the rest (proxy/health.h). A sentence cannot be: why it
 * failed last is locked, by whoever saw it fail for as long as it is written. */
#ifndef LINTEL_PROXY_SERVER_H
#define LINTEL_PROXY_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "proxy/registry.h"

enum server_mode { /* by hand */
	SERVER_ENABLED,
	SERVER_DRAIN,    /* no new connections; its health is looked after */
	SERVER_DISABLED, /* no new connections, no checks */
	SERVER_MODES
};

struct server_failure {
	int64_t time;   /* Unix seconds */
	char text[200]; /* a sentence in printable ASCII, cut where it is longer */
};

struct watch; /* of proxy/health.h */

struct server {
	struct keyed keyed; /* its key is the route's and the address */
	uint64_t build;     /* of the registry: when it was asked for last. Control thread */
	struct address address;
	atomic_uint_fast64_t active, connects, failures;
	atomic_uint failed;            /* connects in a row */
	atomic_bool down;              /* taken out: they, or its checks, failed too often */
	atomic_int mode;               /* enum server_mode */
	atomic_int_fast64_t since;     /* Unix seconds: when `down` or `mode` changed, else when it
					* got an address; 0 = it has had none yet */
	atomic_int_fast64_t warm_from; /* ms; slow start began; 0 = it takes its whole share */
	atomic_uint_fast64_t changes;  /* of `down` */
	pthread_mutex_t lock;          /* of the next one */
	struct server_failure failure; /* the last one: of a connect, or of a check */
	/* Control's own: */
	struct watch *watch;              /* its checks; NULL = none are made */
	uint64_t checks_good, checks_bad; /* since start */
};

/* Control's registry of all servers, by key. Control thread only. */
struct servers {
	struct registry registry;
	uint64_t build; /* counts the times that the routes were built */
};

/* The routes are built anew: those that servers_get() is not asked for are no longer theirs. */
void servers_begin(struct servers *all);
/* The server with this key, made when the routes had none of it before. New reference. */
struct server *servers_get(
	struct servers *all, const char *route_key, const struct address *address);
void servers_sweep(struct servers *all); /* forgets those that nobody else refers to */
void servers_clear(struct servers *all);
struct server *server_ref(struct server *s);
void server_unref(struct server *s); /* NULL is fine */

/* Whether new connections may go there. */
static inline bool server_is_usable(const struct server *s)
{
	return !atomic_load_explicit(&s->down, memory_order_relaxed) &&
	       atomic_load_explicit(&s->mode, memory_order_relaxed) == SERVER_ENABLED;
}

/* A connect went well. */
static inline void server_connected(struct server *s)
{
	atomic_fetch_add_explicit(&s->connects, 1, memory_order_relaxed);
	if (atomic_load_explicit(&s->failed, memory_order_relaxed))
		atomic_store_explicit(&s->failed, 0, memory_order_relaxed);
}

/* One did not. True for the one caller whose failure, the `fall`th in a row, takes it out; 0 = none
 * does. */
bool server_failed(struct server *s, unsigned fall);
/* What was wrong with it, for server_last_failure(): "its check failed: HTTP 503". Any thread. */
void server_note_failure(struct server *s, const char *what, const char *why);
/* False = it has had none. Any thread. */
bool server_last_failure(struct server *s, struct server_failure *out);
/* Down, or up again; `since` is set. False when it was so already. Any thread. */
bool server_set_down(struct server *s, bool down);
/* The same by hand. Control thread. */
bool server_set_mode(struct server *s, enum server_mode mode);
/* It has an address: when nothing was known of it before, its state begins. Control thread. */
void server_begin(struct server *s);
/* Whether an errno value of socket() or connect() says something of the server: being out of
 * something on this side does not. */
bool server_is_to_blame(int err);

extern const char *const server_mode_names[SERVER_MODES]; /* "enabled", ... */

#endif
