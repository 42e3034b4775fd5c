/* A worker: one thread, one event_base without locks, its own SO_REUSEPORT sockets, sessions and
 * counters. Workers share nothing that changes but what src/README lists. Control makes them and
 * talks to them by message. */
#ifndef LINTEL_PROXY_WORKER_H
#define LINTEL_PROXY_WORKER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mailbox.h"
#include "proxy/snapshot.h"
#include "proxy/stats.h"
#include "proxy/wheel.h"
#include "proxy/wire.h"

#define SCRATCH_RECV  (64u << 10) /* bytes that one recv() may bring */
#define SCRATCH_PLAIN (96u << 10) /* decrypted out of one, and a partial record from before */

struct session;
struct worker;
struct worker_listener;
TAILQ_HEAD(session_list, session);

/* What a worker posts home; the receiver frees it. */
struct worker_report {
	struct mail mail;
	bool ended; /* the thread is over; else: a published snapshot is in use */
};

struct worker {
	/* Set by control before the thread starts, read by any. */
	size_t index;
	atomic_uint_fast64_t *connections; /* of all workers together */
	struct mailbox *home;              /* control's */
	pthread_t thread;
	struct mailbox inbox;
	struct stats stats; /* written here, read by control */

	/* The worker's thread only. */
	struct event_base *base;
	struct event *ev_inbox, *ev_tick;
	int tick_fd;      /* a timerfd */
	int64_t tick_due; /* ms: what it is set to; WHEEL_NEVER = it is not */
	struct snapshot *snapshot;
	struct clients *clients; /* the process's; NULL until a snapshot has it */
	TAILQ_HEAD(, worker_listener) listeners;
	bool paused, draining, stopping;
	int64_t paused_since, pause_logged; /* ms */
	struct cert_cache *cache;
	struct onward_pool *onward; /* NULL until a server is talked to in TLS */
	struct wheel wheel;
	struct session_list sessions, dead;
	size_t n_sessions;
	uint64_t id, n_opened; /* random; sessions so far: session_id() */
	int64_t now;           /* ms, at the start of the callback */
	struct {               /* worker_may_log() */
		int64_t second;
		unsigned lines, suppressed;
	} log;

	/* One callback's input and output; nothing lies here between two. */
	unsigned char *recv, *plain;
	struct wire wire; /* of clients */
};

/* What control posts to a worker's inbox. */
enum worker_verb {
	WORKER_PUBLISH, /* use this snapshot from now on; the reference is the worker's */
	WORKER_DRAIN,   /* accept what is queued, close listeners, end when no session is left */
	WORKER_STOP,    /* close what is left, end */
};

/* Starts worker `index`, which takes over the reference to `first`. */
struct worker *worker_start(size_t index, struct snapshot *first, atomic_uint_fast64_t *connections,
	struct mailbox *home, struct error *err);
void worker_post(struct worker *w, enum worker_verb verb, struct snapshot *snapshot);
/* Waits for the thread, which has posted its end, and frees the worker. */
void worker_join(struct worker *w);

/* For session.c: a connection of this worker is over. */
void worker_session_closed(struct worker *w);
/* True when one more line about peers may be logged in this second; a flood is cut to a count. */
bool worker_may_log(struct worker *w);

#endif
