/* The admin listener: evhttp on the control loop. What it shows it gets through a table of
 * functions that control fills; it knows nothing of control itself. Control thread only. */
#ifndef LINTEL_ADMIN_ADMIN_H
#define LINTEL_ADMIN_ADMIN_H

#include <event2/event.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "autocert/autocert.h"
#include "base/error.h"
#include "conf/conf.h"
#include "proxy/server.h"
#include "proxy/stats.h"
#include "tls/certs.h"

struct admin_listener { /* one line of /api/v1/status */
	const char *name, *address;
	bool up;
};

struct admin_server {
	const char *address;
	unsigned weight;
	bool backup;
	enum server_mode mode;
	bool down, no_address;
	int64_t since; /* Unix seconds: of the last change of these; 0 = it has had no address */
	uint64_t active, connects, failures; /* connections now; since start */
	uint64_t checks_good, checks_bad;    /* since start */
	uint64_t changes;                    /* down, or up again; since start */
	struct server *server; /* to be asked for its last failure; NULL = none is known */
};

/* Whether it gets new connections. */
static inline bool admin_server_is_up(const struct admin_server *s)
{
	return s->mode == SERVER_ENABLED && !s->down && !s->no_address;
}
/* "up", "down", "drain", "disabled" or "no address"; what was done by hand goes first. */
const char *admin_server_state(const struct admin_server *s);

struct admin_route {
	const char *key;
	const struct conf_route *conf;
	const struct admin_server *servers; /* in the order of the configuration */
	size_t n_servers;
};

struct admin_autocert { /* a provider of autocert */
	const struct conf_autocert *conf;
	const struct cert *cert;     /* that is served from its files; NULL = none */
	const struct obtained *last; /* what the last look found; NULL = `local`, or none yet */
	bool running;                /* a certificate is being obtained */
	uint64_t renewals, failures; /* since start */
};

struct admin_view {      /* the process at this moment; borrowed for the call that got it */
	int64_t started; /* Unix seconds */
	int64_t loaded;  /* when the running configuration was loaded */
	uint64_t reloads_ok, reloads_failed;
	const char *last_reload_error; /* first problem of the last reload when that failed, else
					  NULL */
	int workers;
	bool draining;
	struct stats_sum stats;
	const struct certs *certs;
	const struct conf *conf;
	const struct admin_listener *listeners;
	size_t n_listeners;
	const struct admin_route *routes;
	size_t n_routes;
	const struct admin_autocert *autocerts; /* main first */
	size_t n_autocerts;
};

/* `p` is empty when the reload succeeded. */
typedef void admin_reload_done(void *arg, const struct problems *p);

struct admin_ops {
	void *arg; /* given back to each */
	const struct admin_view *(*view)(void *arg);
	/* Adds why the process is not ready as sentences; none = ready. */
	void (*unready)(void *arg, struct problems *reasons);
	/* Takes a server out or in by hand, by its place in the view. */
	void (*set_mode)(void *arg, size_t route, size_t server, enum server_mode mode);
	/* Starts a reload; `done` is called once, later or at once, in this thread. */
	void (*reload)(void *arg, admin_reload_done *done, void *done_arg);
	/* What renew() would answer; `name` NULL = all. */
	enum autocert_asked (*may_renew)(void *arg, const char *name);
	/* As autocert_renew() and autocert_unwatch(). */
	enum autocert_asked (*renew)(void *arg, const char *name, struct autocert_watch *w);
	void (*unwatch)(void *arg, struct autocert_watch *w);
};

struct admin;

/* Binds the address (a unix path is unlinked when stale, 0660) and listens; no request is answered
 * before admin_start(). Opened before privileges are dropped. */
struct admin *admin_open(const struct conf_admin *conf, struct error *err);
int admin_start(
	struct admin *a, struct event_base *base, const struct admin_ops *ops, struct error *err);
/* A reload may have changed the token (never the address). */
void admin_configure(struct admin *a, const struct conf_admin *conf);
/* Ends open connections and removes a unix path. NULL is fine. A `done` that comes later than this
 * must not: control calls it before, with a problem. */
void admin_close(struct admin *a);

#endif
